//! Between reqwest's types and those of `http`.

use backstay::{Body, BoxError};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use reqwest::{ResponseBuilderExt, Url};
use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

/// A stack's response as a `reqwest::Response` that came from `url`.
///
/// The body is boxed, not copied. The extensions stay, and with them the [`Trail`](backstay::Trail):
/// `response.extensions().get::<Trail>()`. An error of the body arrives within a `reqwest::Error`, where
/// [`backstay::Error::find`] finds it.
pub fn response<B>(url: Url, response: Response<B>) -> reqwest::Response
where
    B: HttpBody + Send + Sync + 'static,
    B::Data: Into<Bytes>,
    B::Error: Into<BoxError>,
{
    let mut response = response.map(reqwest::Body::wrap);
    // reqwest reads the URL from an extension that it lets nobody name.
    if let Ok(named) = Response::builder().url(url).body(()) {
        let (parts, ()) = named.into_parts();
        response.extensions_mut().extend(parts.extensions);
    }
    response.into()
}

/// A reqwest request for a stack. A body in memory is shared, not copied; one that streams is wrapped.
///
/// # Errors
///
/// Where the URL is none that `http` takes.
pub fn request(request: reqwest::Request) -> reqwest::Result<Request<Body>> {
    let request = Request::<reqwest::Body>::try_from(request)?;
    Ok(request.map(body))
}

fn body(mut body: reqwest::Body) -> Body {
    if body.as_bytes().is_none() {
        return Body::wrap(body);
    }
    // reqwest lends a slice only, but its one frame is the bytes themselves.
    let mut context = Context::from_waker(Waker::noop());
    match Pin::new(&mut body).poll_frame(&mut context) {
        Poll::Ready(Some(Ok(frame))) => frame.into_data().map(Body::from).unwrap_or_default(),
        _ => Body::empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt, Full};

    #[tokio::test]
    async fn a_body_in_memory_is_shared() {
        let prompt = Bytes::from(vec![b'p'; 1024]);
        let ours = reqwest::Client::new()
            .post("http://upstream.example/")
            .header("x-own", "1")
            .body(prompt.clone())
            .build()
            .unwrap();
        let theirs = request(ours).unwrap();
        assert_eq!(theirs.headers()["x-own"], "1");
        let read = theirs.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(read.as_ptr(), prompt.as_ptr());
        assert_eq!(read.len(), prompt.len());
    }

    #[tokio::test]
    async fn a_response_keeps_its_url_its_extensions_and_its_bytes() {
        let answer = Bytes::from(vec![b'a'; 1024]);
        let mut ours = Response::new(Full::new(answer.clone()));
        ours.extensions_mut().insert(7_u32);
        let url: Url = "http://upstream.example/v1?x=1".parse().unwrap();
        let theirs = response(url.clone(), ours);
        assert_eq!(*theirs.url(), url);
        assert_eq!(theirs.extensions().get(), Some(&7_u32));
        assert_eq!(theirs.content_length(), Some(1024));
        let read = theirs.bytes().await.unwrap();
        assert_eq!(read.as_ptr(), answer.as_ptr());
    }
}
