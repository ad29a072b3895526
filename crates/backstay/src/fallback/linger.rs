//! Reading on for a moment, so that a connection can be used again.

use crate::observe::LINGER;
use http_body::Body;
use std::{future::poll_fn, pin::Pin};
use tokio::{runtime::Handle, time::timeout};

/// How many frames after the end marker are read at most.
const LINGER_FRAMES: usize = 16;

/// Reads a body, whose answer has ended, to the end of its transfer, in a task of its own.
///
/// The consumer has dropped it, as SDKs do at the end marker, so that there is nobody else to poll it.
/// Outside of a runtime the body is dropped, which costs its connection.
pub(super) fn linger<B>(mut body: B)
where
    B: Body + Unpin + Send + 'static,
{
    if let Ok(runtime) = Handle::try_current() {
        runtime.spawn(async move {
            let rest = async {
                for _ in 0..LINGER_FRAMES {
                    match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return,
                    }
                }
            };
            // Past the limit the connection is given up.
            let _ = timeout(LINGER, rest).await;
        });
    }
}
