//! Amazon Bedrock: Anthropic's messages through InvokeModel.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::HeaderName;

use crate::amazon_error::AmazonError;
use crate::bedrock::{
    BEDROCK, BEDROCK_PORTABLE, BEDROCK_REQUEST_ID, SIGNATURE_PARAMETERS, read_bedrock_path,
};
use crate::dialect::CREDENTIALS;
use crate::json::Cursor;
use crate::{
    Answer, AnswerFacts, AnthropicMessages, Dialect, Event, EventFacts, Failure, RequestError,
    RequestFacts,
};

/// Bedrock's `/model/{id}/invoke` and `/model/{id}/invoke-with-response-stream`, for Anthropic's models.
///
/// Path, credentials and failures are those of [`BedrockConverse`](crate::BedrockConverse). The body is that
/// of [`AnthropicMessages`] without a `model` and with an `anthropic_version`, and so is a whole answer. In a
/// stream each of Anthropic's events is wrapped: base64 in JSON in a binary frame, to be unwrapped on the
/// stack unless it is large. The id of such an answer is not told; the request's is in `x-amzn-requestid`.
///
/// Sources: the Bedrock Runtime API reference (`InvokeModelWithResponseStream`, `PayloadPart`), Anthropic's
/// "Claude on Amazon Bedrock".
#[derive(Clone, Copy, Debug, Default)]
pub struct BedrockAnthropic;

impl Dialect for BedrockAnthropic {
    fn name(&self) -> &'static str {
        "bedrock-anthropic"
    }

    fn provider(&self) -> &'static str {
        BEDROCK
    }

    fn carries_model(&self) -> bool {
        true
    }

    /// The body is not looked at: the path tells all.
    fn read_request(&self, path: &str, _body: &[u8]) -> Result<RequestFacts, RequestError> {
        read_bedrock_path(path, "invoke-with-response-stream")
    }

    fn portable_headers(&self) -> &'static [HeaderName] {
        &BEDROCK_PORTABLE
    }

    fn credential_headers(&self) -> &'static [HeaderName] {
        &CREDENTIALS
    }

    fn credential_parameters(&self) -> &'static [&'static str] {
        &SIGNATURE_PARAMETERS
    }

    fn request_id_headers(&self) -> &'static [HeaderName] {
        &BEDROCK_REQUEST_ID
    }

    fn classify(&self, answer: &Answer<'_>) -> Failure {
        AmazonError::of_answer(answer).classify(answer)
    }

    fn read_event<'a>(&self, event: &Event<'a>) -> EventFacts<'a> {
        if event.exception {
            return EventFacts {
                error: Some(AmazonError::of_frame(event).in_band()),
                ..EventFacts::default()
            };
        }
        let encoded = match event.name {
            b"chunk" => wrapped(event.data).unwrap_or_default(),
            _ => Cow::default(),
        };
        let mut on_stack = [0; SHORT_EVENT_BYTES];
        let mut on_heap;
        let room = base64::decoded_len_estimate(encoded.len());
        let buffer = if room <= on_stack.len() {
            &mut on_stack[..]
        } else {
            on_heap = vec![0; room];
            &mut on_heap[..]
        };
        let length = STANDARD.decode_slice(&*encoded, buffer).unwrap_or(0);
        let facts = AnthropicMessages.read_event(&Event {
            data: &buffer[..length],
            ..Event::default()
        });
        EventFacts {
            progress: facts.progress,
            finished: facts.finished,
            ended: facts.ended,
            error: facts.error,
            refused: facts.refused,
            // It lies in the buffer, which nobody sees after this.
            response_id: None,
            usage: facts.usage,
        }
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        AnthropicMessages.read_answer(body)
    }
}

/// Events up to this length are unwrapped on the stack.
const SHORT_EVENT_BYTES: usize = 2048;

/// What the payload of a chunk wraps; `None` if it is anything else.
fn wrapped(payload: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut bytes = None;
    let mut cursor = Cursor::new(payload);
    cursor
        .object(|cursor, key| match key {
            b"bytes" => {
                bytes = cursor.text()?;
                Ok(())
            }
            _ => cursor.skip(),
        })
        .ok()?;
    cursor.peek().is_none().then_some(bytes?)
}
