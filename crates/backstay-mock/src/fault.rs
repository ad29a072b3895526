//! What goes wrong with a reply.

use crate::reply::Reply;

/// What goes wrong, if anything does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Fault {
    #[default]
    None,
    NeverAnswer,
    ResetBeforeHeaders,
    CutAfter(usize),
    StallAfter(usize),
    ResetAfter(usize),
    ErrorInBand(usize, String),
    FailedInBand(usize, String),
    NoEndMarker,
    HoldOpenAfterEnd,
    EmptyStream,
    Garbage,
    TruncateLength(usize),
    TruncateClose(usize),
}

// === impl Reply ===

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
