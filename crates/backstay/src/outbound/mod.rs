//! The time left, told to the server that is called.
//!
//! # Example
//!
//! ```
//! use backstay::{
//!     BuildError, ServiceBuilderExt, Timeouts, deadline::DeadlineHeader, fallback::Targets, outbound::Outbound,
//! };
//! use tokio::time::Duration;
//! use tower::ServiceBuilder;
//!
//! # fn main() -> Result<(), BuildError> {
//! let stack = ServiceBuilder::new()
//!     .deadline(Duration::from_secs(20))?
//!     .fallback(Targets::new("gpt-4o").then("gpt-4o-mini"))?
//!     .outbound(
//!         Outbound::new()
//!             .header(DeadlineHeader::REQUEST_TIMEOUT)
//!             .to("models.internal:8080")
//!             .margin(Duration::from_millis(20)),
//!     )?
//!     .timeouts(Timeouts::recommended())?;
//! # let _ = stack;
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! - Every attempt is told what is left at its start: to the deadline of the call, the one in the request's
//!   extensions, the [ambient](crate::Deadline::ambient) one, and the time that is kept for untried targets,
//!   whichever is first, less the [margin](Outbound::margin). Clocks are not in it: they are further in, and end an
//!   attempt by dropping it.
//! - Only the [authorities](Outbound::to) that you name are told. Nobody else learns how long your callers wait; and
//!   a header of this kind that is in the request already, from a caller whose request is passed on, goes to nobody:
//!   it is not true any more. Taken away are the headers that this layer writes and all [known](DeadlineHeader::KNOWN)
//!   ones, whoever put them in; but a `grpc-timeout` stays in a gRPC request, where it belongs to the protocol, unless
//!   this layer writes it. (The fallback layer passes none of them on to another authority anyway, unless it is told
//!   to; this layer is needed for the caller's own authority.)
//! - Everything is rounded down, by less than the last digit of the form that is written: a millisecond for
//!   `connect-timeout-ms`, `x-envoy-expected-rq-timeout-ms` and `request-timeout`, a whole second for
//!   [`WholeSeconds`](crate::deadline::TimeForm::WholeSeconds), one part in ten million for `grpc-timeout`, which holds
//!   eight digits.
//! - With less than the margin left the smallest time is told that the form has: 1 ms, or 1 ns, or 1 s for whole
//!   seconds. Without a header a server would take its default, and some take zero for "no limit"; either would keep it
//!   at work for nobody. Whether an attempt is worth starting is for `min_attempt` of the fallback layer to say.
//! - Without any deadline nothing is written.
//!
//! # What it does not cover
//!
//! It ends nothing: the [deadline](crate::deadline) layer does. A server counts from the header's arrival, so that
//! what it takes to connect and to get there has to be in the margin, or the server ends later than the caller.
//!
//! # Cost and order
//!
//! One reading of the clock for an attempt that is told, one small allocation per header. Inside of
//! [`fallback`](crate::fallback), so that each attempt is told anew and targets are known; outside of it all attempts
//! to the caller's own authority would be told the same. `poll_ready`, future, error and response are the inner
//! service's, and so is what happens on drop.

mod layer;
mod service;
mod settings;

pub use self::{layer::OutboundLayer, service::OutboundService, settings::Outbound};

#[cfg(doc)]
use crate::deadline::DeadlineHeader;
