//! rig's transport trait, over a stack.

use backstay::{Body, BoxError};
use bytes::{Bytes, BytesMut};
use http::{
    HeaderValue, Request, Response,
    header::{CONTENT_TYPE, InvalidHeaderValue},
};
use http_body::Body as HttpBody;
use http_body_util::BodyExt;
use rig_http::{
    http_client::{
        BoxedStream, Error, HttpClientExt, LazyBody, MultipartForm, Result, StreamingResponse,
    },
    wasm_compat::WasmCompatSend,
};
use std::{fmt, future::Future, pin::pin};
use tower::{Service, ServiceExt};

/// How much of an answer other than 2xx is kept for rig's error: 256 KiB.
pub const MAX_ERROR_BODY: usize = 256 * 1024;

/// A stack, for `connect` of rig's provider configurations.
///
/// The stack is made ready within the call, on a clone, so that a wait for it counts.
#[derive(Clone)]
pub struct Transport<S> {
    stack: S,
}

// === impl Transport ===

impl<S> Transport<S> {
    /// Over this stack.
    pub const fn new(stack: S) -> Self {
        Self { stack }
    }
}

impl<S, R> HttpClientExt for Transport<S>
where
    S: Service<Request<Body>, Response = Response<R>> + Clone + Send + Sync + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    fn send<T, U>(
        &self,
        request: Request<T>,
    ) -> impl Future<Output = Result<Response<LazyBody<U>>>> + WasmCompatSend + 'static
    where
        T: Into<Bytes> + WasmCompatSend,
        U: From<Bytes> + WasmCompatSend + 'static,
    {
        let answered = answered(self.stack.clone(), in_memory(request));
        async move { Ok(answered.await?.map(whole)) }
    }

    fn send_multipart<U>(
        &self,
        request: Request<MultipartForm>,
    ) -> impl Future<Output = Result<Response<LazyBody<U>>>> + WasmCompatSend + 'static
    where
        U: From<Bytes> + WasmCompatSend + 'static,
    {
        let stack = self.stack.clone();
        let encoded = encoded(request);
        async move { Ok(answered(stack, encoded?).await?.map(whole)) }
    }

    fn send_streaming<T>(
        &self,
        request: Request<T>,
    ) -> impl Future<Output = Result<StreamingResponse>> + WasmCompatSend
    where
        T: Into<Bytes> + WasmCompatSend,
    {
        let answered = answered(self.stack.clone(), in_memory(request));
        async move { Ok(answered.await?.map(chunks)) }
    }
}

impl<S> fmt::Debug for Transport<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").finish_non_exhaustive()
    }
}

/// The answer to a call; any but 2xx is the error that rig's contract demands.
async fn answered<S, R>(stack: S, request: Request<Body>) -> Result<Response<R>>
where
    S: Service<Request<Body>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: HttpBody<Data = Bytes>,
    R::Error: Into<BoxError>,
{
    let response = stack.oneshot(request).await.map_err(failed)?;
    if response.status().is_success() {
        return Ok(response);
    }
    let (head, body) = response.into_parts();
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let data = frame.map_err(failed)?.into_data().unwrap_or_default();
        let room = MAX_ERROR_BODY.saturating_sub(read.len());
        read.extend_from_slice(data.get(..room).unwrap_or(&data));
        if read.len() == MAX_ERROR_BODY {
            break;
        }
    }
    let text = String::from_utf8_lossy(&read).into_owned();
    Err(Error::non_success_with_details(
        head.status,
        head.headers,
        text,
    ))
}

fn in_memory<T: Into<Bytes>>(request: Request<T>) -> Request<Body> {
    request.map(|body| Body::from(body.into()))
}

fn encoded(
    request: Request<MultipartForm>,
) -> std::result::Result<Request<Body>, InvalidHeaderValue> {
    let (mut head, form) = request.into_parts();
    let (boundary, bytes) = form.encode();
    let content_type = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))?;
    head.headers.insert(CONTENT_TYPE, content_type);
    Ok(Request::from_parts(head, bytes.into()))
}

fn whole<R, U>(body: R) -> LazyBody<U>
where
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
    U: From<Bytes>,
{
    Box::pin(async move {
        let read = body.collect().await.map_err(failed)?;
        Ok(read.to_bytes().into())
    })
}

fn chunks<R>(body: R) -> BoxedStream
where
    R: HttpBody<Data = Bytes> + Send + 'static,
    R::Error: Into<BoxError>,
{
    Box::pin(body.map_err(failed).into_data_stream())
}

fn failed(error: impl Into<BoxError>) -> Error {
    Error::Instance(error.into())
}
