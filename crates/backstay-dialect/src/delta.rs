//! The deltas that make up nearly all of a stream, in the very bytes that the providers write them in.
//!
//! Reading one is comparing a few known pieces and finding the end of a string, a fraction of what
//! reading members one by one takes. What differs by a byte, a blank even, is none of these, and is
//! read as any other document: both ways say the same.

use crate::json::Cursor;
use crate::{Progress, Usage};

/// Anthropic's `content_block_delta` event with one string in it, whole.
pub(crate) fn anthropic(data: &[u8]) -> Option<Progress> {
    let mut cursor = Cursor::new(data);
    let opened = cursor.accept(br#"{"type":"content_block_delta","index":"#)
        && cursor.accept_digits()
        && cursor.accept(br#","delta":{"type":""#);
    if !opened {
        return None;
    }
    let (progress, of_no_length) = if cursor.accept(br#"text_delta","text":"#) {
        (Progress::Content, Progress::None)
    } else if cursor.accept(br#"input_json_delta","partial_json":"#) {
        // The call that it belongs to was shown already.
        (Progress::Content, Progress::Content)
    } else if cursor.accept(br#"thinking_delta","thinking":"#) {
        (Progress::Reasoning, Progress::None)
    } else {
        return None;
    };
    let delta = cursor.accept_string()?;
    let closed = cursor.accept(b"}}") && cursor.peek().is_none();
    closed.then_some(if delta.is_empty() {
        of_no_length
    } else {
        progress
    })
}

/// An OpenAI chunk as OpenAI and vLLM order its members, whole: one piece of content, and sums of tokens
/// perhaps.
pub(crate) struct OpenAiChunk<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) progress: Progress,
    pub(crate) usage: Option<Usage>,
}

impl<'a> OpenAiChunk<'a> {
    #[inline]
    pub(crate) fn read(data: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor::new(data);
        if !cursor.accept(br#"{"id":"#) {
            return None;
        }
        let id = cursor.accept_string()?;
        let opened = cursor.accept(br#","object":"chat.completion.chunk","created":"#)
            && cursor.accept_digits()
            && cursor.accept(br#","model":"#);
        if !opened {
            return None;
        }
        cursor.accept_string()?;
        for other in [
            br#","service_tier":"#.as_slice(),
            br#","system_fingerprint":"#,
        ] {
            if cursor.accept(other) {
                cursor.skip().ok()?;
            }
        }
        if !cursor.accept(br#","choices":"#) {
            return None;
        }
        let progress = openai_choices(&mut cursor)?;
        let usage = match cursor.accept(br#","usage":"#) {
            true if !cursor.accept(b"null") => Some(openai_sums(&mut cursor)?),
            _ => None,
        };
        if cursor.accept(br#","obfuscation":"#) {
            cursor.accept_string()?;
        }
        let closed = cursor.accept(b"}") && cursor.peek().is_none();
        closed.then_some(Self {
            id,
            progress,
            usage,
        })
    }
}

fn openai_sums(cursor: &mut Cursor<'_>) -> Option<Usage> {
    let mut usage = Usage::default();
    let mut more = cursor.accept(b"{");
    while more {
        if cursor.accept(br#""prompt_tokens":"#) {
            usage.input = Some(cursor.accept_number()?);
        } else if cursor.accept(br#""completion_tokens":"#) {
            usage.output = Some(cursor.accept_number()?);
        } else if cursor.accept(br#""total_tokens":"#) {
            cursor.accept_number()?;
        } else {
            return None;
        }
        more = cursor.accept(b",");
    }
    cursor.accept(b"}").then_some(usage)
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

/// A delta event of OpenAI Responses with one string in it, whole, as OpenAI orders its members.
pub(crate) fn responses(data: &[u8]) -> Option<Progress> {
    let mut cursor = Cursor::new(data);
    if !cursor.accept(br#"{"type":"response."#) {
        return None;
    }
    let progress =
        if cursor.accept(b"output_text.delta") || cursor.accept(b"function_call_arguments.delta") {
            Progress::Content
        } else if cursor.accept(b"reasoning_summary_text.delta")
            || cursor.accept(b"reasoning_text.delta")
        {
            Progress::Reasoning
        } else {
            return None;
        };
    let numbered = cursor.accept(br#"","sequence_number":"#) && cursor.accept_digits();
    if !numbered || !cursor.accept(br#","item_id":"#) {
        return None;
    }
    cursor.accept_string()?;
    let placed = cursor.accept(br#","output_index":"#) && cursor.accept_digits();
    let part = cursor.accept(br#","content_index":"#) || cursor.accept(br#","summary_index":"#);
    if !placed || (part && !cursor.accept_digits()) || !cursor.accept(br#","delta":"#) {
        return None;
    }
    let delta = cursor.accept_string()?;
    cursor.accept(br#","logprobs":[]"#);
    if cursor.accept(br#","obfuscation":"#) {
        cursor.accept_string()?;
    }
    let closed = cursor.accept(b"}") && cursor.peek().is_none();
    closed.then_some(if delta.is_empty() {
        Progress::None
    } else {
        progress
    })
}
