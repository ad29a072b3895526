//! The outermost layer of a gRPC client's stack: what tonic hands over, and what it gets back.
//!
//! # What it covers
//!
//! - A `grpc-timeout` that the caller set (`tonic::Request::set_timeout`) becomes a
//!   [`Deadline`](backstay::Deadline) of the call. The earlier of it, the deadline layer's budget and the
//!   ambient one holds.
//! - The request body becomes a [`ReplayBody`](crate::ReplayBody), which the fallback layer can keep for
//!   another attempt.
//! - What is known of the [method](crate::Methods) goes with the request: whether the call may be repeated,
//!   and whether the clocks of streams or of unary calls are its own.
//! - Every failure is a `tonic::Status` with the right code ([`status_of`](crate::status_of) has the table),
//!   in place of the response or in its body, and the trail is reachable from it:
//!   [`trail_of`](crate::trail_of). That goes for an upstream's own status too, which keeps its code, message,
//!   details and metadata.
//!
//! # What it does not cover
//!
//! It holds no call to its deadline: that is the deadline layer's work. Messages that tonic cannot decode, or
//! that are over its size limit, are found above this layer; such a status has no trail.
//!
//! A failure after the head is an error of the body, for trailers could not carry its trail. tonic's decoder
//! yields such an error twice to whoever reads on after it, as it does with its own, and then the end.
//!
//! To cancel a call, drop it, or give its request a `tokio_util::sync::CancellationToken` as an extension, for the
//! [cancel](backstay::cancel) layer. tonic's own `Request::cancellation_handle` reaches a request only while
//! its messages are being sent.
//!
//! # Order and cost
//!
//! Outermost. It allocates nothing but the request's extensions, and nothing per frame.
//!
//! # On drop
//!
//! What is inside is dropped.

mod body;
mod future;
mod layer;
mod service;

pub use self::{
    body::GrpcCallBody, future::GrpcCallFuture, layer::GrpcCallLayer, service::GrpcCallService,
};
