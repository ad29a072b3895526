//! The cases: what is asked, and how the upstream answers.

use crate::upstream::{Answer, Script, Upstream};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Uri, header};

/// One way for an upstream to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Case {
    /// The answer is there when it is asked for: a small JSON document.
    Ready,
    /// The same answer, at the second poll of the future: timers must be made.
    PendingOnce,
    /// A long body of opaque bytes that always has a frame.
    FrameReady,
    /// The same body, pending before each frame, and polled again at once.
    FramePending,
    /// The same, and the task goes back to the runtime in between, which turns its driver.
    FrameParked,
    /// A long event stream that always has a frame; each is one event.
    SseFrameReady,
    /// The same stream, pending before each frame, and polled again at once.
    SseFramePending,
}

/// What a caller does: a request that is made anew for each call, its bytes shared, and how the answer is waited
/// for.
#[derive(Clone, Debug)]
pub(crate) struct Prompt {
    uri: Uri,
    accept: HeaderValue,
    body: Bytes,
    parks: bool,
}

const URL: &str = "https://api.openai.com/v1/chat/completions";

const UNARY: &[u8] = br#"{"model":"gpt-4o","messages":[{"role":"system","content":"You answer in one short sentence."},{"role":"user","content":"Why is the sky blue at noon and red in the evening?"}],"temperature":0.2,"max_tokens":128}"#;

const STREAM: &[u8] = br#"{"model":"gpt-4o","stream":true,"messages":[{"role":"system","content":"You answer in one short sentence."},{"role":"user","content":"Why is the sky blue at noon and red in the evening?"}],"temperature":0.2,"max_tokens":128}"#;

// === impl Case ===

impl Case {
    pub(crate) const ALL: [Self; 7] = [
        Self::Ready,
        Self::PendingOnce,
        Self::FrameReady,
        Self::FramePending,
        Self::FrameParked,
        Self::SseFrameReady,
        Self::SseFramePending,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::PendingOnce => "pending-once",
            Self::FrameReady => "frame-ready",
            Self::FramePending => "frame-pending",
            Self::FrameParked => "frame-parked",
            Self::SseFrameReady => "sse-frame-ready",
            Self::SseFramePending => "sse-frame-pending",
        }
    }

    /// What the case is measured per.
    pub(crate) const fn per(self) -> &'static str {
        if self.is_long() { "frame" } else { "call" }
    }

    pub(crate) const fn is_long(self) -> bool {
        !matches!(self, Self::Ready | Self::PendingOnce)
    }

    /// The upstream of this case. A long body has `frames` frames.
    pub(crate) fn upstream(self, frames: usize) -> Upstream {
        let script = match self {
            Self::Ready => Script::completion(),
            Self::PendingOnce => Script::completion().with_pending_head(),
            Self::FrameReady => Script::octets(frames),
            Self::FramePending | Self::FrameParked => Script::octets(frames).with_pending_frames(),
            Self::SseFrameReady => Script::events(frames),
            Self::SseFramePending => Script::events(frames).with_pending_frames(),
        };
        Upstream::new(script)
    }

    pub(crate) fn prompt(self) -> Prompt {
        let streams = matches!(self, Self::SseFrameReady | Self::SseFramePending);
        Prompt {
            uri: Uri::from_static(URL),
            accept: HeaderValue::from_static(if streams {
                "text/event-stream"
            } else {
                "application/json"
            }),
            // Shared bytes on the heap, as a program has them; not a static, whose clones are free.
            body: Bytes::copy_from_slice(if streams { STREAM } else { UNARY }),
            parks: self == Self::FrameParked,
        }
    }
}

// === impl Prompt ===

impl Prompt {
    /// Whether the caller's task is parked while a frame is pending.
    pub(crate) const fn parks(&self) -> bool {
        self.parks
    }

    pub(crate) fn request<B: From<Bytes>>(&self) -> Request<B> {
        let mut request = Request::new(B::from(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(
            header::AUTHORIZATION,
            HeaderValue::from_static("Bearer sk-bench"),
        );
        headers.insert(header::ACCEPT, self.accept.clone());
        request
    }
}

/// The response of every case, before any layer.
pub(crate) type Bare = http::Response<Answer>;
