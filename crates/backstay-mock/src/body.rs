//! The response body: it plays the acts of a plan, one after the other.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use tokio::time::Sleep;

use crate::act::Act;
use crate::exchange::Exchange;

pub(crate) struct MockBody {
    acts: VecDeque<Act>,
    sleep: Option<Pin<Box<Sleep>>>,
    exchange: Exchange,
}

// === impl MockBody ===

impl MockBody {
    pub(crate) fn new(acts: VecDeque<Act>, mut exchange: Exchange) -> Self {
        if acts.is_empty() {
            // hyper never polls a body that is at its end.
            exchange.complete();
        }
        Self {
            acts,
            sleep: None,
            exchange,
        }
    }
}

impl Body for MockBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        loop {
            if let Some(sleep) = &mut this.sleep {
                ready!(sleep.as_mut().poll(cx));
                this.sleep = None;
            }
            match this.acts.pop_front() {
                None => {
                    this.exchange.complete();
                    return Poll::Ready(None);
                }
                Some(Act::Wait(delay)) if delay.is_zero() => {}
                Some(Act::Wait(delay)) => {
                    this.sleep = Some(Box::pin(tokio::time::sleep(delay)));
                }
                Some(Act::Send(bytes, tokens)) => {
                    this.exchange.tokens_sent(tokens);
                    if this.acts.is_empty() {
                        this.exchange.complete();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Some(Act::Flush) => {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Some(Act::Whole) => this.exchange.whole(),
                Some(Act::Silence) => {
                    this.acts.push_front(Act::Silence);
                    // No waker: only the end of the connection or stream ends this.
                    return Poll::Pending;
                }
                Some(Act::Cut) => {
                    this.exchange.cut();
                    let cut = io::Error::new(io::ErrorKind::ConnectionAborted, "cut by script");
                    return Poll::Ready(Some(Err(cut)));
                }
                Some(Act::Reset) => {
                    this.exchange.reset();
                    this.acts.push_front(Act::Silence);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.acts.is_empty() && self.sleep.is_none()
    }
}
