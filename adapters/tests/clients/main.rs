//! Each adapter against the real crate, over sockets: success, fallback before content, an error after it,
//! the deadline, a caller who goes, a limit with a hint.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod async_openai;
mod kube;
mod leaf;
mod rig;
