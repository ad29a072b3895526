//! Amazon Bedrock: Converse and ConverseStream.

use http::HeaderName;

use crate::amazon_error::AmazonError;
use crate::counts::Counts;
use crate::dialect::CREDENTIALS;
use crate::json::{Cursor, Stopped};
use crate::path_model::before_last;
use crate::{
    Answer, AnswerFacts, Dialect, Event, EventFacts, Failure, Progress, RequestError, RequestFacts,
};

/// Bedrock's `/model/{id}/converse` and `/model/{id}/converse-stream`.
///
/// The model, or its ARN percent-encoded, is in the path, and so is whether the answer is a stream. A
/// stream is binary ([`Framing::EventStream`](crate::Framing::EventStream)); failures in it are frames of
/// their own kind. Requests are signed over path and body (SigV4), hence after any rewrite, or carry a
/// bearer key.
///
/// An answer that ended because of a guardrail or a content filter is no error but
/// [`refused`](EventFacts::refused). Answers have no id of their own; the request's is in
/// `x-amzn-requestid`.
///
/// Sources: the Bedrock Runtime API reference (`Converse`, `ConverseStream`, `TokenUsage`).
#[derive(Clone, Copy, Debug, Default)]
pub struct BedrockConverse;

impl Dialect for BedrockConverse {
    fn name(&self) -> &'static str {
        "bedrock-converse"
    }

    fn provider(&self) -> &'static str {
        BEDROCK
    }

    fn carries_model(&self) -> bool {
        true
    }

    /// The body is not looked at: the path tells all.
    fn read_request(&self, path: &str, _body: &[u8]) -> Result<RequestFacts, RequestError> {
        read_bedrock_path(path, "converse-stream")
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
        let mut facts = EventFacts::default();
        if event.exception {
            facts.error = Some(AmazonError::of_frame(event).in_band());
            return facts;
        }
        let Some(document) = Document::whole(event.data) else {
            return facts;
        };
        match event.name {
            // The start of a block only announces it, and of a tool's call tells the name.
            b"contentBlockDelta" => facts.progress = document.progress,
            b"messageStop" => {
                facts.finished = document.stopped;
                facts.refused = document.refused;
            }
            // The last event of all.
            b"metadata" => {
                facts.ended = true;
                facts.usage = document.usage.total();
            }
            _ => {}
        }
        facts
    }

    fn read_answer(&self, body: &[u8]) -> AnswerFacts {
        let document = Document::whole(body).unwrap_or_default();
        AnswerFacts {
            error: None,
            refused: document.refused,
            response_id: None,
            usage: document.usage.total(),
        }
    }
}

pub(crate) const BEDROCK: &str = "aws.bedrock";

pub(crate) static BEDROCK_PORTABLE: [HeaderName; 3] = [
    HeaderName::from_static("x-amzn-bedrock-trace"),
    HeaderName::from_static("x-amzn-bedrock-service-tier"),
    HeaderName::from_static("x-amzn-bedrock-performanceconfig-latency"),
];

pub(crate) static BEDROCK_REQUEST_ID: [HeaderName; 1] =
    [HeaderName::from_static("x-amzn-requestid")];

/// A signature that rides in the query (SigV4, "presigned").
pub(crate) static SIGNATURE_PARAMETERS: [&str; 7] = [
    "X-Amz-Algorithm",
    "X-Amz-Credential",
    "X-Amz-Date",
    "X-Amz-Expires",
    "X-Amz-Security-Token",
    "X-Amz-Signature",
    "X-Amz-SignedHeaders",
];

/// `/model/{id}/{verb}`, of which one verb asks for a stream.
pub(crate) fn read_bedrock_path(path: &str, streams: &str) -> Result<RequestFacts, RequestError> {
    let (model, verb) = before_last(path, "model").ok_or(RequestError::NoModelInPath)?;
    Ok(RequestFacts {
        model: None,
        path_model: Some(model),
        stream: verb == streams,
    })
}

/// An event's payload or a whole answer: their members do not collide.
#[derive(Default)]
struct Document {
    progress: Progress,
    stopped: bool,
    refused: bool,
    usage: Counts,
}

// === impl Document ===

impl Document {
    /// Reads a whole document; `None` if it is anything else.
    fn whole(bytes: &[u8]) -> Option<Self> {
        let mut document = Self::default();
        let mut cursor = Cursor::new(bytes);
        document.read(&mut cursor).ok()?;
        cursor.peek().is_none().then_some(document)
    }

    fn read(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stopped> {
        cursor.object(|cursor, key| match key {
            b"delta" => cursor.object(|cursor, key| {
                let progress = match key {
                    b"reasoningContent" => Progress::Reasoning,
                    // Text, a tool's call or result, a citation, an image, and what is still to be invented.
                    _ => Progress::Content,
                };
                let holds = match cursor.peek() {
                    // What a tool is called with, and reasoning, are one object further in.
                    Some(b'{') => cursor.holds_further_in()?,
                    _ => cursor.holds()?,
                };
                if holds {
                    self.progress = self.progress.max(progress);
                }
                Ok(())
            }),
            b"stopReason" => {
                match cursor.text()?.as_deref() {
                    None | Some(b"") => {}
                    Some(reason) => {
                        self.stopped = true;
                        self.refused =
                            matches!(reason, b"guardrail_intervened" | b"content_filtered");
                    }
                }
                Ok(())
            }
            b"usage" => read_counts(&mut self.usage, cursor),
            _ => cursor.skip(),
        })
    }
}

fn read_counts(counts: &mut Counts, cursor: &mut Cursor<'_>) -> Result<(), Stopped> {
    cursor.object(|cursor, key| {
        match key {
            b"inputTokens" => counts.input = cursor.number()?,
            b"outputTokens" => counts.output = cursor.number()?,
            b"cacheReadInputTokens" => counts.cache_read = cursor.number()?,
            b"cacheWriteInputTokens" => counts.cache_written = cursor.number()?,
            _ => cursor.skip()?,
        }
        Ok(())
    })
}
