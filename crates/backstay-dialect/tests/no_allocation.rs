//! A frame of whole events is read without touching the heap.

use std::alloc::System;

use backstay_dialect::{AnthropicMessages, Dialect, Framing, OpenAiChat, Progress, StreamObserver};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

// One test only: another one beside it would be counted too.
#[test]
fn whole_frames_cost_no_allocation() {
    let openai: &[u8] = b"data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
    let anthropic: &[u8] = b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n: ping\n\n";
    for (dialect, frame) in [
        (&OpenAiChat as &dyn Dialect, openai),
        (&AnthropicMessages, anthropic),
    ] {
        let mut observer = StreamObserver::new(Framing::ServerSent);
        // The first frame shows the id, which is kept.
        observer.observe(dialect, frame);

        let region = Region::new(GLOBAL);
        for _ in 0..100 {
            let seen = observer.observe(dialect, frame);
            assert_eq!(seen.progress, Progress::Content);
        }
        assert_eq!(region.change().allocations, 0, "{dialect:?}");
    }
}
