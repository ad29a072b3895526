//! One connection, and who may poll it when.

use super::host::Host;
use crate::{BoxError, connect::Stream};
use http::{Request, Response};
use http_body::Body;
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Connection, SendRequest},
    },
};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    mem,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, Waker},
};

/// One connection: hyper's two halves, and the host to which it goes back.
pub(super) struct Link<B> {
    send: SendRequest<B>,
    /// hyper's half that reads and writes; gone when it has ended.
    connection: Option<Driven>,
    host: Weak<Host<B>>,
    used: bool,
}

pin_project! {
    /// Until the head of the response is there.
    struct Sending<'a, F> {
        connection: &'a mut Option<Driven>,
        #[pin]
        response: F,
    }
}

type Driven = Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>>;

/// A connection in the hands of a response's body.
pub(crate) trait Lease: Send {
    /// Reads and writes what it can.
    fn drive(&mut self, cx: &mut Context<'_>);

    /// The response has been read, or its reader has left: back to the idle ones, where the connection can
    /// take another request.
    ///
    /// A reader that leaves before the end closes the connection, unless all that is missing has arrived:
    /// such as the last chunk after a stream's end marker.
    fn finish(self: Box<Self>);
}

// === impl Link ===

impl<B> Link<B> {
    /// Whether an earlier response had come over it; from now on one has.
    pub(super) fn mark_used(&mut self) -> bool {
        mem::replace(&mut self.used, true)
    }

    /// Whether an earlier response had come over it.
    pub(super) fn was_used(&self) -> bool {
        self.used
    }

    /// Whether the last response has been read whole, and another request can be sent.
    pub(super) fn is_ready(&self) -> bool {
        self.connection.is_some() && self.send.is_ready()
    }

    /// Of an idle connection: looks whether its server has closed it.
    pub(super) fn is_open(&mut self) -> bool {
        drive(&mut self.connection, &mut quiet());
        self.is_ready()
    }

    /// To the idle ones of its host, if the client is still there.
    pub(super) fn put_back(self: Box<Self>) {
        if let Some(host) = self.host.upgrade() {
            host.put_back(self);
        }
    }
}

impl<B> Link<B>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(
        send: SendRequest<B>,
        connection: Connection<Stream, B>,
        host: Weak<Host<B>>,
    ) -> Self {
        Self {
            send,
            connection: Some(Box::pin(connection)),
            host,
            used: false,
        }
    }

    /// Sends a request, and waits for the head of its response.
    pub(super) fn send(
        &mut self,
        request: Request<B>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<B>>>> {
        Sending {
            connection: &mut self.connection,
            response: self.send.try_send_request(request),
        }
    }
}

impl<B> Lease for Link<B>
where
    B: Send,
{
    fn drive(&mut self, cx: &mut Context<'_>) {
        drive(&mut self.connection, cx);
    }

    fn finish(mut self: Box<Self>) {
        if self.is_ready() || self.is_open() {
            self.put_back();
        }
    }
}

fn drive(connection: &mut Option<Driven>, cx: &mut Context<'_>) {
    if let Some(alive) = connection
        && alive.as_mut().poll(cx).is_ready()
    {
        // What was the matter is told to the response. Dropped, it also gives back an unsent request.
        *connection = None;
    }
}

// === impl Sending ===

impl<F: Future> Future for Sending<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        drive(this.connection, cx);
        this.response.poll(cx)
    }
}

/// For polls for whose outcome nobody waits.
fn quiet() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
