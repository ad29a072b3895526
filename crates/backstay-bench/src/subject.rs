//! A service under measurement, whatever its type.

use crate::case::Prompt;
use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::{Body, Frame};
use std::{
    fmt,
    future::poll_fn,
    hint::black_box,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll},
};
use tokio::{runtime::Runtime, task::coop::unconstrained};
use tower::{BoxError, Service, ServiceExt};

/// A name, and a way to make calls one after the other.
pub(crate) struct Subject {
    name: &'static str,
    run: Box<dyn FnMut(u32) -> Result<(), BoxError>>,
}

/// What a body answers.
type Polled<R> = Poll<Option<Result<Frame<<R as Body>::Data>, <R as Body>::Error>>>;

// === impl Subject ===

impl Subject {
    pub(crate) fn new<S, B, R>(
        name: &'static str,
        runtime: &Rc<Runtime>,
        prompt: &Prompt,
        service: S,
    ) -> Self
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + 'static,
        S::Error: Into<BoxError>,
        B: From<Bytes>,
        R: Body,
        R::Error: Into<BoxError>,
    {
        let runtime = runtime.clone();
        let prompt = prompt.clone();
        let run = move |calls| {
            // Unconstrained: in life each call has a task's budget of its own; calls in a row would use
            // one up, and charge whoever polls timers for it.
            runtime.block_on(unconstrained(async {
                for _ in 0..calls {
                    exchange(&service, prompt.request(), prompt.parks()).await?;
                }
                Ok(())
            }))
        };
        Self {
            name,
            run: Box::new(run),
        }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Makes this many calls, and reads each answer to its end.
    pub(crate) fn run(&mut self, calls: u32) -> Result<(), BoxError> {
        (self.run)(calls)
    }
}

impl fmt::Debug for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Subject").field(&self.name).finish()
    }
}

/// One call as a handler makes it: on a clone of the service.
///
/// Unless it `parks`, the body is polled again at once where it is pending, as the runtime would: then what the
/// runtime does in between is not measured.
async fn exchange<S, B, R>(service: &S, request: Request<B>, parks: bool) -> Result<(), BoxError>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    R: Body,
    R::Error: Into<BoxError>,
{
    let mut service = service.clone();
    let ready = service.ready().await.map_err(Into::into)?;
    let response = ready.call(request).await.map_err(Into::into)?;
    let mut body = pin!(response.into_body());
    while let Some(frame) = poll_fn(|cx| next_frame(body.as_mut(), cx, parks)).await {
        let frame = frame.map_err(Into::into)?;
        black_box(frame.data_ref().map(Buf::remaining));
    }
    Ok(())
}

#[inline(always)]
fn next_frame<R: Body>(mut body: Pin<&mut R>, cx: &mut Context<'_>, parks: bool) -> Polled<R> {
    loop {
        match body.as_mut().poll_frame(cx) {
            Poll::Pending if !parks => {}
            polled => return polled,
        }
    }
}
