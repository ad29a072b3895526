//! One request and the head of its response, over an idle connection or a new one.

use super::{host::Host, link::Link, pool::Pool, reaper};
use crate::{BoxError, ConnectionReuse, Error, ResponseBody};
use http::{
    Method, Request, Response, Uri,
    header::{HOST, UPGRADE},
};
use http_body::Body;
use hyper::body::Incoming;
use std::sync::Arc;
use tokio::time::Duration;

/// Whether a request is of the kind that goes this way. Upgrades and CONNECT keep their connection for good.
pub(crate) fn takes<B>(request: &Request<B>) -> bool {
    request.method() != Method::CONNECT && !request.headers().contains_key(UPGRADE)
}

/// Writes the request's target as a server expects it: origin form, and the authority in `host`, unless the
/// caller has said another (RFC 9112, section 3.2).
pub(crate) fn complete<B>(request: &mut Request<B>, host: &Host<B>) {
    let target = match request.uri().path_and_query() {
        Some(target) if !target.as_str().is_empty() => Uri::from(target.clone()),
        _ => Uri::default(),
    };
    *request.uri_mut() = target;
    if let Some(value) = host.header() {
        request
            .headers_mut()
            .entry(HOST)
            .or_insert_with(|| value.clone());
    }
}

/// Sends `request`, whose URI is in origin form, to `host`.
///
/// Dropping the future closes the connection that it uses or makes.
pub(crate) async fn exchange<B>(
    pool: Arc<Pool<B>>,
    host: Arc<Host<B>>,
    mut request: Request<B>,
    fresh: bool,
    limit: Option<Duration>,
) -> Result<Response<ResponseBody>, Error>
where
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    loop {
        let idle = if fresh { None } else { host.take() };
        let is_idle = idle.is_some();
        let mut link = match idle {
            Some(link) => link,
            None => {
                reaper::start(&pool);
                pool.connect(&host, limit).await?
            }
        };
        // One place that sends: a future is as large as all that it may have to hold.
        let mut failure = match link.send(request).await {
            Ok(response) => return Ok(answer(link, response)),
            Err(failure) => failure,
        };
        match failure.take_message() {
            // The connection turned out to be dead before anything was written to it. Nobody saw the
            // request, so it is not an attempt; and there are only so many idle connections.
            Some(unsent) if is_idle => request = unsent,
            Some(_) => return Err(Error::unsent(failure.into_error(), link.was_used())),
            None => return Err(Error::exchange(failure.into_error(), link.was_used())),
        }
    }
}

fn answer<B: Send + 'static>(
    mut link: Box<Link<B>>,
    mut response: Response<Incoming>,
) -> Response<ResponseBody> {
    let reused = link.mark_used();
    response.extensions_mut().insert(ConnectionReuse {
        reused,
        driven_by_call: true,
    });
    if link.is_ready() {
        // The whole answer came with its head: what is left of it waits in the body.
        link.put_back();
        response.map(ResponseBody::new)
    } else {
        response.map(|incoming| ResponseBody::driven(incoming, link))
    }
}
