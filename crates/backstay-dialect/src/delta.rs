//! The deltas that make up nearly all of a stream, in the very bytes that the providers write them in.
//!
//! Reading one is comparing a few known pieces and finding the end of a string, a fraction of what
//! reading members one by one takes. What differs by a byte, a blank even, is none of these, and is
//! read as any other document: both ways say the same.

use crate::Progress;
use crate::json::Cursor;

/// Anthropic's `content_block_delta` event with one string in it, whole.
pub(crate) fn anthropic(data: &[u8]) -> Option<Progress> {
    let mut cursor = Cursor::new(data);
    let opened = cursor.accept(br#"{"type":"content_block_delta","index":"#)
        && cursor.accept_digits()
        && cursor.accept(br#","delta":{"type":""#);
    if !opened {
        return None;
    }
    let progress = if cursor.accept(br#"text_delta","text":"#)
        || cursor.accept(br#"input_json_delta","partial_json":"#)
    {
        Progress::Content
    } else if cursor.accept(br#"thinking_delta","thinking":"#) {
        Progress::Reasoning
    } else {
        return None;
    };
    cursor.accept_string()?;
    let closed = cursor.accept(b"}}");
    (closed && cursor.peek().is_none()).then_some(progress)
}

/// The `choices` of an OpenAI chunk that holds one piece of content and nothing else. The cursor moves
/// past them if they are that, else it stays.
pub(crate) fn openai(cursor: &mut Cursor<'_>) -> Option<Progress> {
    let start = cursor.position();
    let found = openai_choices(cursor);
    if found.is_none() {
        cursor.back_to(start);
    }
    found
}

fn openai_choices(cursor: &mut Cursor<'_>) -> Option<Progress> {
    let opened = cursor.accept(br#"[{"index":"#)
        && cursor.accept_digits()
        && cursor.accept(br#","delta":{"content":"#);
    if !opened {
        return None;
    }
    let content = cursor.accept_string()?;
    let closed = cursor.accept(br#"},"finish_reason":null}]"#)
        || cursor.accept(br#"},"logprobs":null,"finish_reason":null}]"#);
    closed.then_some(if content.is_empty() {
        Progress::None
    } else {
        Progress::Content
    })
}
