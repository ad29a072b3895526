//! One scripted answer: what is said, how slowly, and what goes wrong.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::fault::Fault;

/// One answer of the mock, to one attempt.
///
/// The default, [`Reply::ok`], is a prompt 200 with a few deterministic words, in the shape of whatever
/// endpoint was asked; for embeddings and the vector store it is the true answer. The builder methods
/// change the content, the timing and the framing, and add **at most one fault**: of several, the last
/// one set stands. A fault that speaks of tokens cuts a unary answer in the middle of its body.
///
/// ```
/// use std::time::Duration;
/// use backstay_mock::Reply;
///
/// let slow_then_silent = Reply::tokens(["one ", "two ", "three"])
///     .delay_first_token(Duration::from_millis(50))
///     .stall_after_tokens(2);
/// # let _ = slow_then_silent;
/// ```
#[derive(Clone, Default)]
pub struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) code: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Option<Bytes>,
    pub(crate) tokens: Option<Vec<String>>,
    pub(crate) reasoning: Vec<String>,
    pub(crate) tool_calls: Vec<(String, String)>,
    pub(crate) finish_reason: Option<String>,
    pub(crate) delay_headers: Duration,
    pub(crate) delay_first_token: Duration,
    pub(crate) delay_between_tokens: Duration,
    pub(crate) delay_reasoning: Option<Duration>,
    pub(crate) beats: Vec<Beat>,
    pub(crate) gzip: bool,
    pub(crate) split: Option<usize>,
    pub(crate) fault: Fault,
    pub(crate) stays_open: bool,
}

/// Signs of life that are not content: `count` of them, each after `every`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Beat {
    pub(crate) kind: BeatKind,
    pub(crate) after_tokens: usize,
    pub(crate) count: usize,
    pub(crate) every: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BeatKind {
    Ping,
    Comment,
}

// === impl Reply: content ===

impl Reply {
    /// A 200 with deterministic words, at once.
    #[must_use]
    pub fn ok() -> Self {
        Self::default()
    }

    /// A 200 that says `text`, cut into one token per word.
    #[must_use]
    pub fn text(text: impl AsRef<str>) -> Self {
        Self::tokens(text.as_ref().split_inclusive(' '))
    }

    /// A 200 with exactly these tokens: one chunk each in a stream, joined in a unary answer.
    #[must_use]
    pub fn tokens<I>(tokens: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self {
            tokens: Some(tokens.into_iter().map(Into::into).collect()),
            ..Self::default()
        }
    }

    /// An answer with this status. Outside 2xx and without a [`body`](Self::body) it carries an error
    /// document in the endpoint's own shape. A number that is no status becomes 500.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::ok().with_status(status)
    }

    /// Accepts the request and never says a word.
    #[must_use]
    pub fn never_answer() -> Self {
        Self::ok().fault(Fault::NeverAnswer)
    }

    /// Changes the status; see [`Reply::status`].
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self
    }

    /// The code inside the error document (`insufficient_quota`, `overloaded_error`), where the status's
    /// own would not do.
    #[must_use]
    pub fn code(mut self, code: impl Into<String>) -> Self {
        self.code = Some(code.into());
        self
    }

    /// Adds a header, or replaces one of the mock's own. What is not a legal header is left out.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            self.headers.append(name, value);
        }
        self
    }

    /// Sends these bytes instead of anything of the mock's own, also where a stream was asked for.
    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = Some(body.into());
        self
    }

    /// Sends this document instead of anything of the mock's own.
    #[must_use]
    pub fn json(self, document: &serde_json::Value) -> Self {
        self.body(document.to_string())
    }

    /// Reasoning tokens before the content, in the dialect's own form: `reasoning_content` for OpenAI, a
    /// thinking block for Anthropic, a summary for Responses, `thought` parts for Gemini. They count as
    /// tokens for the faults that count tokens.
    #[must_use]
    pub fn reasoning<I>(mut self, tokens: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        self.reasoning = tokens.into_iter().map(Into::into).collect();
        self
    }

    /// A call of the tool `name` with `arguments`, a JSON text. Without tokens of its own, the answer is
    /// then the tool call alone.
    #[must_use]
    pub fn tool_call(mut self, name: impl Into<String>, arguments: impl Into<String>) -> Self {
        self.tool_calls.push((name.into(), arguments.into()));
        self
    }

    /// The finish or stop reason, in the endpoint's words. Default: the one that fits the content.
    #[must_use]
    pub fn finish_reason(mut self, reason: impl Into<String>) -> Self {
        self.finish_reason = Some(reason.into());
        self
    }
}

// === impl Reply: timing ===

impl Reply {
    /// Waits before the response head.
    #[must_use]
    pub fn delay_headers(mut self, delay: Duration) -> Self {
        self.delay_headers = delay;
        self
    }

    /// Waits between the head and the first token; in a stream the role chunk (or `message_start`) and
    /// any pings come first. In a unary answer: between the head and the body.
    #[must_use]
    pub fn delay_first_token(mut self, delay: Duration) -> Self {
        self.delay_first_token = delay;
        self
    }

    /// Waits between two tokens of a stream.
    #[must_use]
    pub fn delay_between_tokens(mut self, delay: Duration) -> Self {
        self.delay_between_tokens = delay;
        self
    }

    /// Waits before each reasoning token, after any [first token's delay](Self::delay_first_token).
    /// Default: as between any two tokens.
    #[must_use]
    pub fn delay_between_reasoning(mut self, delay: Duration) -> Self {
        self.delay_reasoning = Some(delay);
        self
    }

    /// `count` reasoning tokens, each after `every`, before the content.
    #[must_use]
    pub fn long_reasoning(self, count: usize, every: Duration) -> Self {
        self.reasoning(std::iter::repeat_n("hm ", count))
            .delay_between_reasoning(every)
    }

    /// `count` pings before the first token, each after `every`, and only then the
    /// [first token's own delay](Self::delay_first_token). Anthropic's is `event: ping`, Responses' is
    /// `keepalive`, Cohere's `debug`; for OpenAI it is a chunk with empty content, for Gemini one without
    /// parts, for Bedrock a frame of an unknown type.
    #[must_use]
    pub fn pings(self, count: usize, every: Duration) -> Self {
        self.pings_after_tokens(0, count, every)
    }

    /// Pings after the `after_tokens`th token, before whatever comes next.
    #[must_use]
    pub fn pings_after_tokens(self, after_tokens: usize, count: usize, every: Duration) -> Self {
        self.beat(BeatKind::Ping, after_tokens, count, every)
    }

    /// As [`pings`](Self::pings), with SSE comments (`: OPENROUTER PROCESSING` for OpenRouter; a line end
    /// between the elements of Gemini's array; what a ping is for Bedrock).
    #[must_use]
    pub fn comments(self, count: usize, every: Duration) -> Self {
        self.comments_after_tokens(0, count, every)
    }

    /// As [`pings_after_tokens`](Self::pings_after_tokens), with SSE comments.
    #[must_use]
    pub fn comments_after_tokens(self, after_tokens: usize, count: usize, every: Duration) -> Self {
        self.beat(BeatKind::Comment, after_tokens, count, every)
    }

    fn beat(mut self, kind: BeatKind, after_tokens: usize, count: usize, every: Duration) -> Self {
        self.beats.push(Beat {
            kind,
            after_tokens,
            count,
            every,
        });
        self
    }
}

// === impl Reply: framing ===

impl Reply {
    /// Compresses the body (`content-encoding: gzip`), asked for or not. A stream is flushed per event.
    #[must_use]
    pub fn gzip(mut self) -> Self {
        self.gzip = true;
        self
    }

    /// Sends the body in pieces of `bytes`, wherever that falls: inside a line end or a character.
    #[must_use]
    pub fn split_frames(mut self, bytes: usize) -> Self {
        self.split = Some(bytes.max(1));
        self
    }
}

// === impl Reply: faults ===

impl Reply {
    /// Ends the connection after `tokens` tokens, without the end of the body. On HTTP/2 the stream is
    /// reset (`INTERNAL_ERROR`) and its siblings live on.
    #[must_use]
    pub fn cut_after_tokens(self, tokens: usize) -> Self {
        self.fault(Fault::CutAfter(tokens))
    }

    /// Falls silent after `tokens` tokens; the socket stays open.
    #[must_use]
    pub fn stall_after_tokens(self, tokens: usize) -> Self {
        self.fault(Fault::StallAfter(tokens))
    }

    /// Resets the TCP connection (RST) after `tokens` tokens. On HTTP/2 that ends every stream on it.
    #[must_use]
    pub fn reset_after_tokens(self, tokens: usize) -> Self {
        self.fault(Fault::ResetAfter(tokens))
    }

    /// Resets the TCP connection (RST) before the response head, after any
    /// [`delay_headers`](Self::delay_headers).
    #[must_use]
    pub fn reset_before_headers(self) -> Self {
        self.fault(Fault::ResetBeforeHeaders)
    }

    /// A 200 whose body is not what its content type says.
    #[must_use]
    pub fn garbage(self) -> Self {
        self.fault(Fault::Garbage)
    }

    /// A 200 that ends cleanly without a single event (unary: without a byte). For a stream with its
    /// whole frame but no content, use [`Reply::tokens`] with none.
    #[must_use]
    pub fn empty_stream(self) -> Self {
        self.fault(Fault::EmptyStream)
    }

    /// An error inside a 200 after `tokens` tokens, then the end of the body without an end marker, but for
    /// those who send one after errors too (vLLM, SGLang, llama.cpp). In a unary answer the error is the
    /// whole body. On Bedrock it is an exception frame, and `code` its type (`throttlingException`); on
    /// Gemini `code` is the status (`UNAVAILABLE`); on Mistral a finish reason `error`, without a code.
    #[must_use]
    pub fn error_in_band(self, after_tokens: usize, code: impl Into<String>) -> Self {
        self.fault(Fault::ErrorInBand(after_tokens, code.into()))
    }

    /// As [`error_in_band`](Self::error_in_band), in the form that ends the answer's own lifecycle, where
    /// the dialect has two: `response.failed` and not `error` for Responses; for Groq an `error` document
    /// and not `x_groq.error`; for llama.cpp the non-standard `error:` field of older builds.
    #[must_use]
    pub fn failed_in_band(self, after_tokens: usize, code: impl Into<String>) -> Self {
        self.fault(Fault::FailedInBand(after_tokens, code.into()))
    }

    /// Ends the body cleanly after the last token: no finish reason, no end marker.
    #[must_use]
    pub fn no_end_marker(self) -> Self {
        self.fault(Fault::NoEndMarker)
    }

    /// Sends everything, end marker included, and then neither ends the body nor closes. A unary answer
    /// is then chunked.
    #[must_use]
    pub fn hold_open_after_end(self) -> Self {
        self.fault(Fault::HoldOpenAfterEnd)
    }

    /// Announces the whole unary body in `content-length`, sends its first `bytes`, and closes. A stream
    /// is not changed.
    #[must_use]
    pub fn truncate_body_to(self, bytes: usize) -> Self {
        self.fault(Fault::TruncateLength(bytes))
    }

    /// Sends the first `bytes` of the unary body and ends it in a way no framing can tell from the true
    /// end: by closing, as HTTP/1.0 did; on HTTP/2 by a regular end of stream. A stream is not changed.
    #[must_use]
    pub fn truncate_body_close_delimited(self, bytes: usize) -> Self {
        self.fault(Fault::TruncateClose(bytes))
    }

    /// Where the body would end, by itself or by an end in band, it does not, and the socket stays open.
    /// Beside [`hold_open_after_end`](Self::hold_open_after_end), which is a fault of its own, this goes
    /// with another fault: an in-band error, a missing end marker, an empty stream, garbage. It
    /// changes streams only.
    #[must_use]
    pub fn stay_open(mut self) -> Self {
        self.stays_open = true;
        self
    }

    pub(crate) fn fault(mut self, fault: Fault) -> Self {
        self.fault = fault;
        self
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("status", &self.status)
            .field("fault", &self.fault)
            .field("delay_headers", &self.delay_headers)
            .field("delay_first_token", &self.delay_first_token)
            .field("delay_between_tokens", &self.delay_between_tokens)
            .finish_non_exhaustive()
    }
}
