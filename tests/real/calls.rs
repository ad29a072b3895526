//! Calls through the stack, and how they ended.

use backstay::{
    Body, BoxError, Error, ErrorKind, Phase,
    trail::{Attempt, Outcome},
};
use backstay_tests::{answer, holds, stack::Stack};
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use serde_json::Value;
use std::{fmt, pin::pin, time::Duration};
use tokio::time::{Instant, sleep};
use tower::Service;

/// How a call ended.
pub(crate) struct End {
    pub(crate) error: Option<ErrorKind>,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) body: Bytes,
    pub(crate) took: Duration,
}

/// Longer than any call takes to get anywhere.
const REACHES: Duration = Duration::from_secs(10);
/// From the first token to the middle of the answer.
const ON: Duration = Duration::from_millis(100);

/// A request with a JSON body.
pub(crate) fn post(url: String, document: &Value) -> Result<Request<Body>, BoxError> {
    let request = Request::post(url).header(CONTENT_TYPE, "application/json");
    Ok(request.body(Body::from(document.to_string()))?)
}

/// Makes a call, and reads its answer to the end.
pub(crate) async fn call<S, R>(stack: &Stack<S>, request: Request<Body>) -> Result<End, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    let began = Instant::now();
    let took = || Instant::now().saturating_duration_since(began);
    let (error, body) = match stack.call(request).await {
        Err(error) => (error, Bytes::new()),
        Ok(response) => {
            let answer = answer::read(response).await;
            match answer.error {
                Some(error) => (error, answer.body),
                None => {
                    return Ok(End {
                        error: None,
                        attempts: answer.trail.attempts(),
                        body: answer.body,
                        took: took(),
                    });
                }
            }
        }
    };
    let Some(known) = Error::find(&*error) else {
        return Err(format!("an error that is not backstay's: {error}").into());
    };
    Ok(End {
        error: Some(known.kind()),
        attempts: known
            .trail()
            .map(|trail| trail.attempts())
            .unwrap_or_default(),
        body,
        took: took(),
    })
}

/// Makes a call, and does something to it when it has come to a phase.
pub(crate) async fn struck<S, R>(
    stack: &Stack<S>,
    request: Request<Body>,
    phase: Phase,
    fault: impl Future<Output = Result<(), BoxError>>,
) -> Result<End, BoxError>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    R: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
    R::Error: Into<BoxError>,
{
    let striking = async {
        if !holds(REACHES, || stack.phase() == Some(phase)).await {
            return Err(format!("the call is in {:?}", stack.phase()).into());
        }
        sleep(ON).await;
        fault.await
    };
    let mut calling = pin!(call(stack, request));
    tokio::select! {
        end = &mut calling => return end,
        struck = striking => struck?,
    }
    calling.await
}

// === impl End ===

impl End {
    /// The outcome of the first attempt.
    pub(crate) fn first(&self) -> Option<Outcome> {
        self.attempts.first().map(|attempt| attempt.outcome)
    }

    /// The answer is whole, and came from this target after as many attempts.
    pub(crate) fn answered(&self, target: &str, attempts: usize) -> bool {
        let last = self.attempts.last();
        self.error.is_none()
            && self.attempts.len() == attempts
            && last.is_some_and(|last| &*last.target == target)
            && last.is_some_and(|last| last.outcome == Outcome::Complete)
    }

    /// It took at least this long, and not much longer.
    pub(crate) fn at(&self, limit: Duration) -> bool {
        self.took >= limit && self.took < limit + backstay_tests::PROMPTLY
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.error {
            Some(kind) => write!(f, "{kind:?}")?,
            None => write!(f, "whole")?,
        }
        for (at, attempt) in self.attempts.iter().enumerate() {
            let lead = if at == 0 { ": " } else { ", " };
            write!(f, "{lead}{} {:?}", attempt.target, attempt.outcome)?;
        }
        Ok(())
    }
}
