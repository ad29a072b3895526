//! The outermost layer of a gRPC server: the caller's deadline, and failures as the right code.
//!
//! # Example
//!
//! ```
//! use backstay::{BuildError, ServiceBuilderExt};
//! use backstay_tonic::GrpcServerLayer;
//! use tokio::time::Duration;
//! use tower::ServiceBuilder;
//!
//! # fn main() -> Result<(), BuildError> {
//! // For `tonic::transport::Server::builder().layer(..)`.
//! let layers = ServiceBuilder::new()
//!     .layer(GrpcServerLayer::new())
//!     .on_cancel(|ended| async move { println!("{:?}", ended.why) })
//!     .deadline(Duration::from_secs(60))?
//!     .into_inner();
//! # let _ = layers;
//! # Ok(())
//! # }
//! ```
//!
//! # What it covers
//!
//! - The caller's `grpc-timeout` becomes the [`Deadline`](backstay::Deadline) of the request, in its
//!   extensions, where layers and handlers find it, and the ambient one, so that the calls which a handler
//!   makes end in time. That goes for what is polled in the handler's future and in the stream that it
//!   returns; a task that it spawns has to take the deadline along.
//! - What ends a call in a layer inside, the deadline layer say, is told as a gRPC status: in the head, or in
//!   the trailers of a stream that has begun. The message names the failure and nothing of this server.
//!
//! # What it does not cover
//!
//! It ends nothing itself: the [deadline](backstay::deadline) layer inside does, and its budget is the cap on
//! whatever a caller asks for. Without one, a caller decides how long a handler may take. A caller who cancels
//! makes tonic drop the handler's future or stream: the [cancel](backstay::cancel) layer sees that.
//!
//! tonic's server obeys `grpc-timeout` too, outside of all layers and up to the head, and answers `CANCELLED`
//! then. So that the right code reaches the caller, the deadline here is a little earlier than the caller's:
//! 5 ms, or a quarter of the time if that is less.
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
    body::GrpcServerBody, future::GrpcServerFuture, layer::GrpcServerLayer,
    service::GrpcServerService,
};
