//! The set-up that the promises share. Each promise of the stack is one file beside this one, tested over
//! real sockets on loopback.
//!
//! | module | what it has |
//! |---|---|
//! | [`stack`] | the whole stack, and what its hooks and observers saw |
//! | [`ask`] | requests in the shape of each provider |
//! | [`spoken`] | every streamed dialect, where it is spoken and how it is asked |
//! | [`answer`] | reading an answer to its end |
//! | [`wire`] | servers that say exactly what they are told, and nothing else |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken set-up fails the test that asked for it"
)]

pub mod answer;
pub mod ask;
pub mod spoken;
pub mod stack;
pub mod wire;

use std::{future::Future, time::Duration};

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);

/// What comes at once comes within this, on a machine with other things to do. Every wait that must not
/// happen is far longer.
pub const PROMPTLY: Duration = Duration::from_secs(2);

/// The end of a test that hangs.
pub const HANGS: Duration = Duration::from_secs(30);

/// Waits for what must come.
///
/// # Panics
///
/// When it does not come.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(HANGS, future)
        .await
        .expect("the test hangs")
}

/// Looks every millisecond until something holds, and says whether it did in time.
pub async fn holds(most: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let looking = async {
        while !condition() {
            tokio::time::sleep(MS).await;
        }
    };
    tokio::time::timeout(most, looking).await.is_ok()
}
