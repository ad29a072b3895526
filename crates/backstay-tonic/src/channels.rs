//! One service out of several channels, by authority.

use backstay::BoxError;
use http::{Request, Uri, uri::Authority};
use pin_project_lite::pin_project;
use std::{
    error::Error as StdError,
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// The channels of a fallback: a channel of tonic's goes to one place, whatever a request's URI says.
///
/// The first takes every request that names no other authority; the others are chosen by the origin of a
/// target. Requests for an authority that is none of these go to the first too.
///
/// ```
/// use backstay::fallback::{Target, Targets};
/// use backstay_tonic::{Channels, Grpc};
///
/// # fn example(primary: tower::util::BoxCloneService<(), (), ()>, replica: tower::util::BoxCloneService<(), (), ()>) -> Result<(), Box<dyn std::error::Error>> {
/// let channels = Channels::new(primary).and("http://replica:50051", replica)?;
/// let targets = Targets::new(Target::named("primary").dialect(Grpc))
///     .then(Target::named("replica").dialect(Grpc).origin("http://replica:50051"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Channels<S> {
    first: S,
    others: Vec<(Authority, S)>,
}

/// An origin that names no authority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OriginError {
    origin: String,
}

pin_project! {
    /// The response future of [`Channels`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ChannelsFuture<S, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        calling: Option<S::Future>,
        // Until the channel is ready for the request.
        waiting: Option<(S, Request<B>)>,
    }
}

// === impl Channels ===

impl<S> Channels<S> {
    /// The channel that the client itself would use.
    pub fn new(first: S) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }

    /// The channel for a target with this origin.
    ///
    /// # Errors
    ///
    /// [`OriginError`] if the text has no host.
    pub fn and(mut self, origin: impl AsRef<str>, channel: S) -> Result<Self, OriginError> {
        let origin = origin.as_ref();
        let authority = origin
            .parse::<Uri>()
            .ok()
            .and_then(|uri| uri.into_parts().authority);
        let Some(authority) = authority else {
            return Err(OriginError {
                origin: origin.to_owned(),
            });
        };
        self.others.push((authority, channel));
        Ok(self)
    }

    fn of(&self, uri: &Uri) -> &S {
        let named = uri.authority();
        let found = self
            .others
            .iter()
            .find(|(authority, _)| Some(authority) == named);
        found.map_or(&self.first, |(_, channel)| channel)
    }
}

impl<S, B> Service<Request<B>> for Channels<S>
where
    S: Service<Request<B>> + Clone,
    S::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ChannelsFuture<S, B>;

    /// Always ready: the channel that a request goes to is made ready for it. A readiness error fails that
    /// attempt, and other channels go on.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A clone of its own: the slot that a channel keeps for whoever made it ready goes with it.
        let channel = self.of(request.uri()).clone();
        ChannelsFuture {
            calling: None,
            waiting: Some((channel, request)),
        }
    }
}

// === impl ChannelsFuture ===

impl<S, B> Future for ChannelsFuture<S, B>
where
    S: Service<Request<B>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some((channel, _)) = this.waiting {
            ready!(channel.poll_ready(cx)).map_err(Into::into)?;
            if let Some((mut channel, request)) = this.waiting.take() {
                this.calling.set(Some(channel.call(request)));
            }
        }
        match this.calling.as_pin_mut() {
            Some(calling) => calling.poll(cx).map_err(Into::into),
            // Polled again after its end, which no future must be.
            None => Poll::Pending,
        }
    }
}

impl<S, B> fmt::Debug for ChannelsFuture<S, B>
where
    S: Service<Request<B>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelsFuture").finish_non_exhaustive()
    }
}

// === impl OriginError ===

impl fmt::Display for OriginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} names no host: write it like the target's, `http://replica:50051`",
            self.origin
        )
    }
}

impl StdError for OriginError {}
