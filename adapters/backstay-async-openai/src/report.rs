//! What async-openai's own types have no place for: the trail of every call, the error of a stream.

use backstay::{BoxError, Error, Trail};
use bytes::Bytes;
use http::Extensions;
use http_body::{Body, Frame, SizeHint};
use parking_lot::Mutex;
use pin_project_lite::pin_project;
use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::task_local;

/// Sees what became of a call, past what async-openai can return.
///
/// It is told while the call runs and while its stream is read; of several calls, the last one stands. So
/// make one for each call. It works as far as the task goes: the call has to be made in the future that is
/// given to [`of`](Self::of), not in a task spawned there.
///
/// ```no_run
/// # use async_openai::{Client, config::OpenAIConfig, error::OpenAIError};
/// # use async_openai::types::chat::CreateChatCompletionRequest;
/// # async fn example(
/// #     client: Client<OpenAIConfig>,
/// #     request: CreateChatCompletionRequest,
/// # ) -> Result<(), OpenAIError> {
/// let report = backstay_async_openai::Report::new();
/// let stream = report.of(client.chat().create_stream(request)).await?;
/// // Read the stream to its end, then:
/// if let Some(failure) = report.failure() {
///     eprintln!("{failure}");
/// }
/// if let Some(trail) = report.trail() {
///     eprintln!("{trail}");
/// }
/// # let _ = stream;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Report {
    told: Arc<Mutex<Told>>,
}

#[derive(Default)]
struct Told {
    trail: Option<Trail>,
    failure: Option<Failure>,
}

/// Why a call or its body failed: what the stack said, as its `source()`.
///
/// It is shared between the [`Report`] and async-openai's error. `Display` is that of the error within.
/// Within an `OpenAIError` it is what keeps [`backstay::Error::find`] working: `OpenAIError::Boxed` hides
/// the error that it holds from its own `source()`.
#[derive(Clone)]
pub struct Failure {
    source: Arc<dyn StdError + Send + Sync>,
}

pin_project! {
    /// A response body that tells its error to a report.
    pub(crate) struct Reported<B> {
        #[pin]
        body: B,
        report: Option<Report>,
    }
}

task_local! {
    static REPORT: Report;
}

/// The report of the call that is being made.
pub(crate) fn current() -> Option<Report> {
    REPORT.try_with(Report::clone).ok()
}

// === impl Report ===

impl Report {
    /// A report that was told nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a call that tells this report.
    pub async fn of<F: Future>(&self, call: F) -> F::Output {
        REPORT.scope(self.clone(), call).await
    }

    /// Every attempt of the call, once it was answered or has failed. `None` where the stack has no layer
    /// that keeps a trail.
    pub fn trail(&self) -> Option<Trail> {
        self.told.lock().trail.clone()
    }

    /// Why the call or its stream failed, if it did. A stream's error is there once the stream has ended.
    pub fn failure(&self) -> Option<Failure> {
        self.told.lock().failure.clone()
    }

    pub(crate) fn answered(&self, extensions: &Extensions) {
        let mut told = self.told.lock();
        told.trail = extensions.get().cloned();
        told.failure = None;
    }

    pub(crate) fn failed(&self, failure: Failure) {
        let mut told = self.told.lock();
        if let Some(trail) = failure.error().and_then(Error::trail) {
            told.trail = Some(trail);
        }
        told.failure = Some(failure);
    }
}

impl fmt::Debug for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = self.told.lock();
        f.debug_struct("Report")
            .field("trail", &told.trail)
            .field("failure", &told.failure)
            .finish()
    }
}

// === impl Failure ===

impl Failure {
    pub(crate) fn new(error: impl Into<BoxError>) -> Self {
        Self {
            source: error.into().into(),
        }
    }

    /// backstay's own error, if it is one.
    pub fn error(&self) -> Option<&Error> {
        Error::find(&*self.source)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.source.fmt(f)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failure").field(&self.source).finish()
    }
}

impl StdError for Failure {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.source)
    }
}

// === impl Reported ===

impl<B> Reported<B> {
    pub(crate) const fn new(body: B, report: Option<Report>) -> Self {
        Self { body, report }
    }
}

impl<B> Body for Reported<B>
where
    B: Body,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Failure;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        let this = self.project();
        this.body.poll_frame(cx).map(|next| {
            next.map(|frame| match frame {
                Ok(frame) => Ok(frame.map_data(Into::into)),
                Err(error) => {
                    let failure = Failure::new(error);
                    if let Some(report) = this.report {
                        report.failed(failure.clone());
                    }
                    Err(failure)
                }
            })
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
