//! An upstream in memory that answers by a script.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use std::{
    convert::Infallible,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tower::{BoxError, Service};

/// A service that answers each request by its script and does not look at it.
#[derive(Clone, Debug)]
pub(crate) struct Upstream {
    script: Arc<Script>,
}

/// What is answered, and when.
#[derive(Debug)]
pub(crate) struct Script {
    content_type: HeaderValue,
    frames: Vec<Bytes>,
    /// The length is known, as with a `content-length`; else only the end of the body tells its end.
    sized: bool,
    pending_head: bool,
    pending_frames: bool,
}

/// The future of [`Upstream`].
#[derive(Debug)]
pub(crate) struct Answering {
    script: Arc<Script>,
    pending: bool,
}

/// The body of an answer.
#[derive(Debug)]
pub(crate) struct Answer {
    script: Arc<Script>,
    next: usize,
    pending: bool,
}

const COMPLETION: &[u8] = br#"{"id":"chatcmpl-1","object":"chat.completion","created":1700000000,"model":"gpt-4o-2024-08-06","choices":[{"index":0,"message":{"role":"assistant","content":"Air scatters blue light more than red."},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":31,"completion_tokens":9,"total_tokens":40}}"#;

macro_rules! chunk {
    ($delta:literal, $finish:literal) => {
        concat!(
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"gpt-4o-2024-08-06","system_fingerprint":"fp_1","choices":[{"index":0,"delta":"#,
            $delta,
            r#","logprobs":null,"finish_reason":"#,
            $finish,
            "}]}\n\n"
        )
        .as_bytes()
    };
}

const ROLE: &[u8] = chunk!(r#"{"role":"assistant","content":""}"#, "null");
const TOKEN: &[u8] = chunk!(r#"{"content":" scatters"}"#, "null");
const FINISH: &[u8] = chunk!("{}", r#""stop""#);
const DONE: &[u8] = b"data: [DONE]\n\n";

const OCTETS: [u8; 64] = [0x5a; 64];

// === impl Script ===

impl Script {
    /// A small unary answer in one frame.
    pub(crate) fn completion() -> Self {
        Self {
            content_type: HeaderValue::from_static("application/json"),
            frames: vec![Bytes::from_static(COMPLETION)],
            sized: true,
            pending_head: false,
            pending_frames: false,
        }
    }

    /// Frames of 64 bytes that mean nothing.
    pub(crate) fn octets(frames: usize) -> Self {
        Self {
            content_type: HeaderValue::from_static("application/octet-stream"),
            frames: vec![Bytes::from_static(&OCTETS); frames],
            sized: false,
            ..Self::completion()
        }
    }

    /// A chat completion as it streams: one event in each frame.
    pub(crate) fn events(frames: usize) -> Self {
        let mut all = vec![Bytes::from_static(ROLE)];
        all.resize(frames.saturating_sub(2).max(2), Bytes::from_static(TOKEN));
        all.push(Bytes::from_static(FINISH));
        all.push(Bytes::from_static(DONE));
        Self {
            content_type: HeaderValue::from_static("text/event-stream"),
            frames: all,
            ..Self::octets(0)
        }
    }

    /// The future of the answer is pending once.
    pub(crate) fn with_pending_head(self) -> Self {
        Self {
            pending_head: true,
            ..self
        }
    }

    /// Each second poll of the body is pending.
    pub(crate) fn with_pending_frames(self) -> Self {
        Self {
            pending_frames: true,
            ..self
        }
    }
}

// === impl Upstream ===

impl Upstream {
    pub(crate) fn new(script: Script) -> Self {
        Self {
            script: Arc::new(script),
        }
    }
}

impl<B> Service<Request<B>> for Upstream {
    type Response = Response<Answer>;
    type Error = BoxError;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Answering {
        Answering {
            script: self.script.clone(),
            pending: self.script.pending_head,
        }
    }
}

// === impl Answering ===

impl Future for Answering {
    type Output = Result<Response<Answer>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if std::mem::take(&mut self.pending) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let script = self.script.clone();
        let content_type = script.content_type.clone();
        let mut response = Response::new(Answer {
            pending: script.pending_frames,
            script,
            next: 0,
        });
        response
            .headers_mut()
            .insert(header::CONTENT_TYPE, content_type);
        Poll::Ready(Ok(response))
    }
}

// === impl Answer ===

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::take(&mut self.pending) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.pending = self.script.pending_frames;
        let frame = self.script.frames.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(frame.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        self.script.sized && self.next >= self.script.frames.len()
    }

    fn size_hint(&self) -> SizeHint {
        if !self.script.sized {
            return SizeHint::default();
        }
        let left = self.script.frames.iter().skip(self.next);
        SizeHint::with_exact(left.map(|frame| frame.len() as u64).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    #[test]
    fn each_second_poll_is_pending() {
        let script = Arc::new(Script::events(8).with_pending_frames());
        let mut answer = Answer {
            pending: script.pending_frames,
            script,
            next: 0,
        };
        let mut cx = Context::from_waker(Waker::noop());
        let mut frames = 0;
        loop {
            assert!(Pin::new(&mut answer).poll_frame(&mut cx).is_pending());
            match Pin::new(&mut answer).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(_))) => frames += 1,
                Poll::Ready(None) => break,
                other => unreachable!("{other:?}"),
            }
        }
        assert_eq!(frames, 8);
        assert!(!answer.is_end_stream());
    }
}
