//! What each attempt of a gRPC call needs: its time on the wire, and a look at the status.
//!
//! # What it covers
//!
//! On the way in, for each attempt:
//!
//! - `grpc-timeout` is written from the time left to the deadline, or to the end of the attempt where the
//!   fallback layer keeps time for other targets, rounded down. The server never works for longer than
//!   somebody waits.
//! - `grpc-previous-rpc-attempts` tells a server that the call was sent before (gRFC A6).
//! - The body becomes tonic's again.
//!
//! On the way out the status is read where gRPC keeps it. A failure in the head is an answer that failed at
//! once. For a method that is [unary](crate::Methods::unary) the reply is held to its trailers (at most 4 MiB
//! and 4,096 frames, [`GrpcAttemptLayer::hold_bytes`]), for one whose head may wait, to its first message; a
//! failure found there is told like one in the head, so that the fallback layer can retry it. All other
//! replies pass as they come.
//!
//! A failure is shown to the fallback layer as an HTTP answer with the status that `google/rpc/code.proto` has
//! for the code; the [dialect](crate::Grpc) reads the code itself, and the outermost layer makes a
//! `tonic::Status` of it. Without a timeouts layer inside, that status is also the one in the trail.
//!
//! A reply that has been passed on is watched to its end: a code in its trailers, or an end without one, ends
//! it with a typed error, so that hooks and trail tell of a failure and not of success.
//!
//! # What it does not cover
//!
//! Details of a status are passed on and not read: a `google.rpc.RetryInfo` in there moves no retry.
//! A reply whose bound is reached is passed on, the trail says so (`Note::HoldBound`), and what its trailers say
//! is the caller's.
//!
//! # Order and cost
//!
//! Inside the fallback layer and outside the timeouts layer, so that the clocks run while a reply is held.
//! A unary reply costs a queue of its frames, and no copy; tonic's own client waits for the trailers of one in
//! any case. No timer, unless tonic's channel gives up first (below), and no task.
//!
//! tonic's channel obeys `grpc-timeout` too, up to the response head, and says `Cancelled` then. Since the
//! header is rounded down, it gives up a moment before the deadline. That is not passed on: the layer waits
//! the moment until the deadline says so itself, or answers `DEADLINE_EXCEEDED` if nobody does.
//!
//! # On drop
//!
//! The inner future or body is dropped, which resets the stream; others on the connection go on.

mod body;
mod future;
mod hold;
mod layer;
mod service;

pub use self::{
    body::GrpcAttemptBody, future::GrpcAttemptFuture, layer::GrpcAttemptLayer,
    service::GrpcAttemptService,
};
