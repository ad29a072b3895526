//! The future of a response: the scope in which a request's connect limit reaches the connector.

use crate::{Error, ResponseBody, connect, connection};
use http::Response;
use hyper_util::client::legacy;
use parking_lot::Mutex;
use std::{
    fmt, future,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};
use tokio::time::Duration;

/// The future of [`Client`](crate::Client): resolves when the response's head is there.
///
/// Dropping it cancels: a connection that is being made is closed, an HTTP/1 connection that waits for
/// its response is closed, an HTTP/2 stream is reset and its siblings go on.
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture {
    state: State,
}

enum State {
    Refused(future::Ready<Error>),
    Sent {
        inner: legacy::ResponseFuture,
        limit: Option<Duration>,
    },
    /// Never locked: the mutex makes it `Sync`.
    Direct(Mutex<Pin<Box<Exchange>>>),
}

type Exchange = dyn Future<Output = Result<Response<ResponseBody>, Error>> + Send;

// === impl ResponseFuture ===

impl ResponseFuture {
    pub(crate) fn refused(error: Error) -> Self {
        Self {
            state: State::Refused(future::ready(error)),
        }
    }

    pub(crate) fn sent(inner: legacy::ResponseFuture, limit: Option<Duration>) -> Self {
        Self {
            state: State::Sent { inner, limit },
        }
    }

    pub(crate) fn direct(exchange: Pin<Box<Exchange>>) -> Self {
        Self {
            state: State::Direct(Mutex::new(exchange)),
        }
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<ResponseBody>, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.state {
            State::Refused(error) => Pin::new(error).poll(cx).map(Err),
            State::Direct(exchange) => exchange.get_mut().as_mut().poll(cx),
            State::Sent { inner, limit } => {
                // hyper-util calls the connector inside this poll, and it sees no request there.
                connect::with_limit(*limit, || Pin::new(inner).poll(cx)).map(|result| {
                    let mut response = result.map_err(Error::from_legacy)?;
                    connection::mark_used(response.extensions_mut());
                    Ok(response.map(ResponseBody::new))
                })
            }
        }
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
