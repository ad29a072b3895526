//! A frame of whole events is read without touching the heap.

mod frames;

use std::alloc::System;

use backstay_dialect::{
    AnthropicMessages, AzureOpenAi, BedrockAnthropic, BedrockConverse, CohereChat, Dialect,
    Framing, Gemini, Groq, Mistral, OpenAiChat, OpenAiCompatible, OpenAiResponses, OpenRouter,
    Progress, StreamObserver, VertexAnthropic,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const OPENAI: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
const RESPONSES: &str = "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":4,\"item_id\":\"msg_1\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hi\"}\n\nevent: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"response\":{\"id\":\"resp_1\",\"status\":\"in_progress\",\"error\":null,\"incomplete_details\":null,\"usage\":null}}\n\n";
const AZURE: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"content_filter_results\":{\"hate\":{\"filtered\":false,\"severity\":\"safe\"}},\"delta\":{\"content\":\"Hi\"},\"finish_reason\":null}]}\n\n";
const MISTRAL: &str = "data: {\"id\":\"a1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":\"hm\"}]},{\"type\":\"text\",\"text\":\"Hi\"}]},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n";
const GROQ: &str = "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"delta\":{\"reasoning\":\"hm\",\"content\":\"Hi\"}}],\"x_groq\":{\"id\":\"req_1\",\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}}\n\n";
const OPENROUTER: &str = ": OPENROUTER PROCESSING\n\ndata: {\"id\":\"gen-1\",\"provider\":\"X\",\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"Hi\",\"reasoning\":null},\"finish_reason\":null,\"native_finish_reason\":null}]}\n\n";
const ANTHROPIC: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n: ping\n\n";
const GEMINI: &str = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hm\",\"thought\":true},{\"text\":\"Hi\"}],\"role\":\"model\"},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"promptTokenCount\":1,\"candidatesTokenCount\":2},\"responseId\":\"r-1\"}\r\n\r\n";
const COHERE: &str = "event: content-delta\ndata: {\"type\":\"content-delta\",\"index\":0,\"delta\":{\"message\":{\"content\":{\"text\":\"Hi\"}}}}\n\n";
const CONVERSE: &str = "{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"},\"p\":\"abcdefgh\"}";
/// `{"type":"content_block_delta","delta":{"type":"text_delta","text":"Hi"}}`
const WRAPPED: &str = "{\"bytes\":\"eyJ0eXBlIjoiY29udGVudF9ibG9ja19kZWx0YSIsImRlbHRhIjp7InR5cGUiOiJ0ZXh0X2RlbHRhIiwidGV4dCI6IkhpIn19\",\"p\":\"abcd\"}";

// One test only: another one beside it would be counted too.
#[test]
fn whole_frames_cost_no_allocation() {
    let converse = frames::event("contentBlockDelta", CONVERSE);
    let wrapped = frames::event("chunk", WRAPPED);
    let array = GEMINI.replace("data: ", "").replace("\r\n\r\n", ",");
    let server_sent = [
        (&OpenAiChat as &dyn Dialect, OPENAI),
        (&OpenAiResponses, RESPONSES),
        (&AzureOpenAi, AZURE),
        (&Mistral, MISTRAL),
        (&Groq, GROQ),
        (&OpenRouter, OPENROUTER),
        (&OpenAiCompatible::SELF_HOSTED, OPENAI),
        (&AnthropicMessages, ANTHROPIC),
        (&VertexAnthropic, ANTHROPIC),
        (&Gemini, GEMINI),
        (&CohereChat, COHERE),
    ]
    .map(|(dialect, frame)| (dialect, Framing::ServerSent, frame.as_bytes()));
    let others: [(&dyn Dialect, _, &[u8]); 3] = [
        (&BedrockConverse, Framing::EventStream, &converse),
        (&BedrockAnthropic, Framing::EventStream, &wrapped),
        (&Gemini, Framing::JsonArray, array.as_bytes()),
    ];
    for (dialect, framing, frame) in server_sent.into_iter().chain(others) {
        let mut observer = StreamObserver::new(framing);
        if framing == Framing::JsonArray {
            observer.observe(dialect, b"[");
        }
        // The first frame shows the id, which is kept.
        observer.observe(dialect, frame);

        // The test harness has a thread of its own, which allocates when it likes: the turn that it left alone
        // counts.
        let turns = (0..20).map(|_| {
            let region = Region::new(GLOBAL);
            for _ in 0..100 {
                let seen = observer.observe(dialect, frame);
                assert_eq!(seen.progress, Progress::Content);
            }
            region.change().allocations
        });
        assert_eq!(turns.min(), Some(0), "{dialect:?}");
    }
}
