//! Request bodies that can be sent more than once.
//!
//! The layers keep the request's body type. What the fallback layer needs of it is a small trait,
//! [`ReplayableBody`]: `Full<Bytes>`, boxed bodies and backstay's own [`Body`] implement it.
//!
//! [`Body`] is the one that never copies: a prompt whose model is rewritten is sent as three slices, two
//! of them of the bytes that the caller made. It also wraps any other body.
//!
//! ```
//! use backstay::Body;
//! use http_body::Body as _;
//!
//! let body = Body::from(r#"{"model":"gpt-4o","messages":[]}"#);
//! assert_eq!(body.size_hint().exact(), Some(32));
//! ```

mod own;
mod replayable;
mod segments;

pub use self::{own::Body, replayable::ReplayableBody, segments::Segments};
