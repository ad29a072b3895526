//! What a whole stream says, and that no cut changes it.

mod support;

use backstay_dialect::{
    AnthropicMessages, Dialect, OpenAiChat, OpenAiResponses, Plain, Progress, Usage,
};
use proptest::prelude::*;
use support::{observe, whole};

const OPENAI: &str = concat!(
    "\u{feff}: OPENROUTER PROCESSING\n\n",
    "data: {\"id\":\"chatcmpl-1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
    "data: {\"id\":\"chatcmpl-2\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"hm\"}}]}\r\n\r\n",
    "id: 7\rretry: 10\rdata:{\"id\":\"chatcmpl-1\",\rdata: \"choices\":[{\"delta\":{\"content\":\"H\u{e9}\u{2028}llo \\\"\"}}]}\r\r",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\r\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":34,\"total_tokens\":46}}\n\n",
    "data: [DONE]\n\n",
    "data: {\"error\":{\"code\":\"late\"}}\n\n",
);

const ANTHROPIC: &str = concat!(
    "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"stop_reason\":null,\"content\":[],\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":5,\"cache_creation_input_tokens\":2,\"output_tokens\":1}}}\n\n",
    "event: ping\ndata: {\"type\":\"ping\"}\n\n",
    "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
    "event: content_block_delta\r\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\r\n\r\n",
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    "event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":9}}\n\n",
    "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
    "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\"}}\n\n",
);

#[test]
fn an_openai_stream() {
    let seen = whole(&OpenAiChat, OPENAI);
    assert_eq!(seen.progress, Progress::Content);
    assert!(seen.finished && seen.ended);
    assert_eq!(seen.error, None);
    assert_eq!(seen.response_id.as_deref(), Some("chatcmpl-1"));
    let usage = Usage {
        input: Some(12),
        output: Some(34),
    };
    assert_eq!(seen.usage, Some(usage));
    assert_eq!(seen.events, 6);
}

#[test]
fn an_anthropic_stream() {
    let seen = whole(&AnthropicMessages, ANTHROPIC);
    assert_eq!(seen.progress, Progress::Content);
    assert!(seen.finished && seen.ended);
    assert_eq!(seen.error, None);
    assert_eq!(seen.response_id.as_deref(), Some("msg_1"));
    let usage = Usage {
        input: Some(17),
        output: Some(9),
    };
    assert_eq!(seen.usage, Some(usage));
    assert_eq!(seen.events, 7);
}

#[test]
fn a_stream_may_be_cut_at_every_byte() {
    for (dialect, stream) in [
        (&OpenAiChat as &dyn Dialect, OPENAI),
        (&AnthropicMessages, ANTHROPIC),
        (&Plain, ANTHROPIC),
    ] {
        let bytes = stream.as_bytes();
        for limit in [60, 1 << 20] {
            let expected = observe(dialect, limit, [bytes]);
            assert_eq!(observe(dialect, limit, bytes.chunks(1)), expected);
            for cut in 0..=bytes.len() {
                let (left, right) = bytes.split_at(cut);
                assert_eq!(observe(dialect, limit, [left, right]), expected, "{cut}");
            }
        }
    }
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn cuts_change_nothing(cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..20), limit in 0..200_usize) {
        for (dialect, stream) in [(&OpenAiChat as &dyn Dialect, OPENAI), (&AnthropicMessages, ANTHROPIC)] {
            let bytes = stream.as_bytes();
            prop_assert_eq!(observe(dialect, limit, pieces(bytes, &cuts)), observe(dialect, limit, [bytes]));
        }
    }

    #[test]
    fn cuts_change_nothing_in_any_soup(
        words in proptest::collection::vec(prop::sample::select(&["data", "event", ":", " ", "\r", "\n", "\n\n", "\u{feff}", "{\"choices\":[{\"delta\":{\"content\":\"a\"}}]}", "[DONE]", "x", "data: 1"][..]), 0..40),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..10),
        limit in 0..30_usize,
    ) {
        let stream = words.concat();
        for dialect in [&OpenAiChat as &dyn Dialect, &Plain] {
            let expected = observe(dialect, limit, [stream.as_bytes()]);
            prop_assert_eq!(observe(dialect, limit, pieces(stream.as_bytes(), &cuts)), expected.clone());
            prop_assert_eq!(observe(dialect, limit, stream.as_bytes().chunks(1)), expected);
        }
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), limit in 0..50_usize) {
        observe(&OpenAiChat, limit, bytes.chunks(7));
        observe(&AnthropicMessages, limit, [&bytes[..]]);
        observe(&OpenAiResponses, limit, [&bytes[..]]);
    }
}
