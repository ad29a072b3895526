//! The layers as methods of `tower::ServiceBuilder`.

use crate::{
    cancel::{CancelLayer, Ended},
    deadline::DeadlineLayer,
    degraded::{DegradedLayer, Substitute},
    drain::{Drain, DrainLayer},
    error::BuildError,
    fallback::{FallbackLayer, Targets},
    inbound::{Inbound, InboundLayer},
    outbound::{Outbound, OutboundLayer},
    status_error::StatusErrorLayer,
    timeout::{Timeouts, TimeoutsLayer},
};
use std::future::Future;
use tokio::time::Duration;
use tower::{ServiceBuilder, layer::util::Stack};

/// The layers as methods of [`ServiceBuilder`], in the recommended order from the outside in.
///
/// What can be wrong with a configuration is said here, when the stack is built.
///
/// ```
/// use backstay::{BuildError, Body, ServiceBuilderExt, Timeouts, fallback::Targets};
/// use http::{Request, Response};
/// use tokio::time::Duration;
/// use tower::ServiceBuilder;
///
/// # fn main() -> Result<(), BuildError> {
/// let stack = ServiceBuilder::new()
///     .on_cancel(|ended| async move { println!("{:?} in {}", ended.why, ended.phase) })
///     .deadline(Duration::from_secs(20))?
///     .fallback(Targets::new("gpt-4o").then("gpt-4o-mini").retries(2))?
///     .timeouts(Timeouts::recommended())?;
/// # let _ = stack;
/// # Ok(())
/// # }
/// ```
pub trait ServiceBuilderExt<L>: sealed::Sealed<L> + Sized {
    /// Lets a drain wait for the calls, and end them. See [`drain`](crate::drain).
    fn drain(self, drain: &Drain) -> ServiceBuilder<Stack<DrainLayer, L>>;

    /// On a server: holds each request to the time that its caller has. See [`inbound`](crate::inbound).
    ///
    /// # Errors
    ///
    /// As [`InboundLayer::new`].
    fn inbound(
        self,
        settings: Inbound,
    ) -> Result<ServiceBuilder<Stack<InboundLayer, L>>, BuildError>;

    /// Runs a hook when a call is cancelled or fails. See [`cancel`](crate::cancel).
    fn on_cancel<F, T>(self, hook: F) -> ServiceBuilder<Stack<CancelLayer, L>>
    where
        F: Fn(Ended) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static;

    /// Answers with a response of the user's in place of a failure. See [`degraded`](crate::degraded).
    fn degraded<D: Substitute>(self, substitute: D) -> ServiceBuilder<Stack<DegradedLayer<D>, L>>;

    /// Makes an error of an answer whose status is not 2xx. See [`status_error`](crate::status_error).
    fn status_error(self) -> ServiceBuilder<Stack<StatusErrorLayer, L>>;

    /// Holds each call to one deadline. See [`deadline`](crate::deadline).
    ///
    /// # Errors
    ///
    /// As [`DeadlineLayer::new`].
    fn deadline(
        self,
        budget: Duration,
    ) -> Result<ServiceBuilder<Stack<DeadlineLayer, L>>, BuildError>;

    /// Retries, and falls back to other targets. See [`fallback`](crate::fallback).
    ///
    /// # Errors
    ///
    /// As [`FallbackLayer::new`].
    fn fallback(
        self,
        targets: Targets,
    ) -> Result<ServiceBuilder<Stack<FallbackLayer, L>>, BuildError>;

    /// Tells the time left with each attempt. See [`outbound`](crate::outbound).
    ///
    /// # Errors
    ///
    /// As [`OutboundLayer::new`].
    fn outbound(
        self,
        settings: Outbound,
    ) -> Result<ServiceBuilder<Stack<OutboundLayer, L>>, BuildError>;

    /// Puts the clocks around each attempt. See [`timeout`](crate::timeout).
    ///
    /// # Errors
    ///
    /// As [`TimeoutsLayer::new`].
    fn timeouts(
        self,
        timeouts: Timeouts,
    ) -> Result<ServiceBuilder<Stack<TimeoutsLayer, L>>, BuildError>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn drain(self, drain: &Drain) -> ServiceBuilder<Stack<DrainLayer, L>> {
        self.layer(drain.layer())
    }

    fn inbound(
        self,
        settings: Inbound,
    ) -> Result<ServiceBuilder<Stack<InboundLayer, L>>, BuildError> {
        Ok(self.layer(InboundLayer::new(settings)?))
    }

    fn on_cancel<F, T>(self, hook: F) -> ServiceBuilder<Stack<CancelLayer, L>>
    where
        F: Fn(Ended) -> T + Send + Sync + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        self.layer(CancelLayer::new().on_cancel(hook))
    }

    fn degraded<D: Substitute>(self, substitute: D) -> ServiceBuilder<Stack<DegradedLayer<D>, L>> {
        self.layer(DegradedLayer::new(substitute))
    }

    fn status_error(self) -> ServiceBuilder<Stack<StatusErrorLayer, L>> {
        self.layer(StatusErrorLayer::new())
    }

    fn deadline(
        self,
        budget: Duration,
    ) -> Result<ServiceBuilder<Stack<DeadlineLayer, L>>, BuildError> {
        Ok(self.layer(DeadlineLayer::new(budget)?))
    }

    fn fallback(
        self,
        targets: Targets,
    ) -> Result<ServiceBuilder<Stack<FallbackLayer, L>>, BuildError> {
        Ok(self.layer(FallbackLayer::new(targets)?))
    }

    fn outbound(
        self,
        settings: Outbound,
    ) -> Result<ServiceBuilder<Stack<OutboundLayer, L>>, BuildError> {
        Ok(self.layer(OutboundLayer::new(settings)?))
    }

    fn timeouts(
        self,
        timeouts: Timeouts,
    ) -> Result<ServiceBuilder<Stack<TimeoutsLayer, L>>, BuildError> {
        Ok(self.layer(TimeoutsLayer::new(timeouts)?))
    }
}

mod sealed {
    pub trait Sealed<L> {}
    impl<L> Sealed<L> for tower::ServiceBuilder<L> {}
}
