//! The whole stack: `on_cancel`, `deadline`, `fallback`, `timeouts`, and whatever is below.

use crate::HANGS;
use backstay::{
    Body, BoxError, Call, Phase, ServiceBuilderExt, Timeouts,
    cancel::{CancelBody, CancelLayer, CancelService, Ended, Hooks, Why},
    deadline::{DeadlineBody, DeadlineService},
    fallback::{FallbackBody, FallbackService, Targets},
    timeout::{TimeoutsBody, TimeoutsService},
};
use backstay_client::{Client, Proxy};
use bytes::Bytes;
use http::{Request, Response};
use parking_lot::Mutex;
use std::{
    fmt,
    future::Future,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tower::{Service, ServiceBuilder, ServiceExt};

/// The layers over a leaf.
pub type Layered<S> = CancelService<DeadlineService<FallbackService<TimeoutsService<Tap<S>>>>>;

/// The response body that comes out of them.
pub type Layers<R> = CancelBody<DeadlineBody<FallbackBody<TimeoutsBody<R>>>>;

/// A budget that no test uses up.
pub const AMPLE: Duration = Duration::from_secs(60);

/// The stack over a leaf service, with eyes on it.
#[derive(Clone)]
pub struct Stack<S> {
    service: Layered<S>,
    ends: Ends,
    last_call: LastCall,
}

/// What is chosen about a stack.
#[derive(Clone, Debug)]
#[must_use]
pub struct Setup {
    targets: Targets,
    timeouts: Timeouts,
    budget: Duration,
}

/// What the hooks and the observers of a stack were told.
#[derive(Clone)]
pub struct Ends {
    hooks: Hooks,
    hooked: Arc<Mutex<Vec<Ended>>>,
    observed: Arc<Mutex<Vec<Ended>>>,
}

type LastCall = Arc<Mutex<Option<Call>>>;

/// Right above the leaf: remembers the record of the last call that came by, and changes nothing.
#[derive(Clone)]
pub struct Tap<S> {
    inner: S,
    last_call: LastCall,
}

/// A client of HTTP/1.1 that may speak to the mock.
pub fn http1() -> Client<Body> {
    let client = Client::builder().http1_only().allow_http(true);
    client.proxy(Proxy::none()).build().unwrap()
}

/// The same of HTTP/2, by prior knowledge.
pub fn http2() -> Client<Body> {
    let client = Client::builder().http2_only().allow_http(true);
    client.proxy(Proxy::none()).build().unwrap()
}

// === impl Setup ===

impl Setup {
    /// An ample budget, and no clock but the deadline's.
    pub fn new(targets: Targets) -> Self {
        Self {
            targets,
            timeouts: Timeouts::new(),
            budget: AMPLE,
        }
    }

    /// These clocks.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// This budget.
    pub fn budget(mut self, budget: Duration) -> Self {
        self.budget = budget;
        self
    }

    /// The stack over HTTP/1.1.
    pub fn http1(self) -> Stack<Client<Body>> {
        self.over(http1())
    }

    /// The stack over HTTP/2.
    pub fn http2(self) -> Stack<Client<Body>> {
        self.over(http2())
    }

    /// The stack over any leaf.
    pub fn over<S>(self, leaf: S) -> Stack<S> {
        let hooked = Arc::<Mutex<Vec<Ended>>>::default();
        let observed = Arc::<Mutex<Vec<Ended>>>::default();
        let last_call = LastCall::default();
        let cancel = CancelLayer::new()
            .on_cancel({
                let hooked = hooked.clone();
                move |ended| {
                    let hooked = hooked.clone();
                    async move { hooked.lock().push(ended) }
                }
            })
            .observe({
                let observed = observed.clone();
                move |ended| observed.lock().push(ended.clone())
            });
        let hooks = cancel.hooks();
        let tap = Tap {
            inner: leaf,
            last_call: last_call.clone(),
        };
        Stack {
            service: ServiceBuilder::new()
                .layer(cancel)
                .deadline(self.budget)
                .unwrap()
                .fallback(self.targets)
                .unwrap()
                .timeouts(self.timeouts)
                .unwrap()
                .service(tap),
            ends: Ends {
                hooks,
                hooked,
                observed,
            },
            last_call,
        }
    }
}

// === impl Stack ===

impl<S> Stack<S> {
    /// Sends a call, once it is polled.
    pub fn call<R>(
        &self,
        request: Request<Body>,
    ) -> impl Future<Output = Result<Response<Layers<R>>, BoxError>> + Send + use<S, R>
    where
        S: Service<Request<Body>, Response = Response<R>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        R: http_body::Body<Data = Bytes> + Unpin + Send + 'static,
        R::Error: Into<BoxError>,
    {
        self.service.clone().oneshot(request)
    }

    /// What hooks and observers were told so far.
    pub fn ends(&self) -> &Ends {
        &self.ends
    }

    /// Where the call is whose attempt came by last.
    pub fn phase(&self) -> Option<Phase> {
        self.last_call.lock().as_ref().map(Call::phase)
    }

    /// The record of that call.
    pub fn last_call(&self) -> Option<Call> {
        self.last_call.lock().clone()
    }
}

impl<S: fmt::Debug> fmt::Debug for Stack<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stack")
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

// === impl Ends ===

impl Ends {
    /// Waits until no call is in flight and no hook runs.
    ///
    /// # Panics
    ///
    /// When that does not come about.
    pub async fn settled(&self) -> &Self {
        assert!(
            crate::holds(HANGS, || self.hooks.in_flight() == 0).await,
            "calls are still in flight: {:?}",
            self.hooks
        );
        assert!(self.hooks.wait(HANGS).await, "hooks are still running");
        self
    }

    /// Calls that have not ended.
    pub fn in_flight(&self) -> usize {
        self.hooks.in_flight()
    }

    /// What the hook was told, one entry for each time that it ran.
    pub fn hooked(&self) -> Vec<Ended> {
        self.hooked.lock().clone()
    }

    /// What the observer was told, one for each call that ended.
    pub fn observed(&self) -> Vec<Why> {
        self.observed.lock().iter().map(|ended| ended.why).collect()
    }
}

impl fmt::Debug for Ends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ends")
            .field("hooks", &self.hooks)
            .field("observed", &self.observed())
            .finish_non_exhaustive()
    }
}

// === impl Tap ===

impl<S, B> Service<Request<B>> for Tap<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        *self.last_call.lock() = Call::of(request.extensions()).cloned();
        self.inner.call(request)
    }
}

impl<S> fmt::Debug for Tap<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tap").finish_non_exhaustive()
    }
}
