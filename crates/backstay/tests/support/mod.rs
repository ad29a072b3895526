//! An upstream that does what a test tells it, and counts what becomes of it.
#![allow(dead_code, unreachable_pub)]

pub mod batch;
pub mod scope;

use backstay::{
    Body, BoxError, Error, ServiceBuilderExt, Timeouts, Trail, fallback::Targets, trail::Attempt,
};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    task::{Context, Poll},
};
use tokio::time::{Duration, Instant, Sleep, sleep_until};

/// One step of a scripted answer.
#[derive(Clone, Debug)]
pub enum Step {
    Data(Bytes),
    Wait(Duration),
    Fail,
    Hang,
    Trailers,
}

/// A scripted attempt.
#[derive(Clone, Debug)]
pub struct Answer {
    pub before_head: Option<Duration>,
    pub head: Option<(u16, Vec<(&'static str, String)>)>,
    pub steps: Vec<Step>,
}

/// The upstream: each attempt takes the next answer, the last one repeats.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    answers: Mutex<VecDeque<Answer>>,
    seen: Mutex<Vec<Seen>>,
    live_futures: Arc<AtomicUsize>,
    live_bodies: Arc<AtomicUsize>,
    ended_bodies: Arc<AtomicUsize>,
}

#[derive(Clone, Debug)]
pub struct Seen {
    pub at: Instant,
    pub uri: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    pub extensions: usize,
}

struct Count(Arc<AtomicUsize>);

impl Count {
    fn new(of: &Arc<AtomicUsize>) -> Self {
        of.fetch_add(1, SeqCst);
        Self(of.clone())
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Answer {
    pub fn hang() -> Self {
        Self {
            before_head: None,
            head: None,
            steps: vec![],
        }
    }

    pub fn status(status: u16, body: &'static str) -> Self {
        Self {
            before_head: None,
            head: Some((status, vec![("content-type", "application/json".into())])),
            steps: vec![Step::Data(Bytes::from_static(body.as_bytes()))],
        }
    }

    pub fn json(body: &'static str) -> Self {
        Self::status(200, body)
    }

    pub fn events(steps: Vec<Step>) -> Self {
        Self {
            before_head: None,
            head: Some((200, vec![("content-type", "text/event-stream".into())])),
            steps,
        }
    }

    pub fn bytes(steps: Vec<Step>) -> Self {
        Self {
            before_head: None,
            head: Some((
                200,
                vec![("content-type", "application/octet-stream".into())],
            )),
            steps,
        }
    }

    /// A whole OpenAI stream of these words.
    pub fn stream(words: &[&str]) -> Self {
        let mut steps = vec![role()];
        steps.extend(words.iter().map(|word| token(word)));
        steps.extend([finish(), done()]);
        Self::events(steps)
    }

    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Some((_, headers)) = &mut self.head {
            headers.push((name, value.to_owned()));
        }
        self
    }

    pub fn after(mut self, delay: Duration) -> Self {
        self.before_head = Some(delay);
        self
    }
}

pub fn role() -> Step {
    data(r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#)
}

pub fn token(word: &str) -> Step {
    data(&format!(
        r#"{{"id":"chatcmpl-1","choices":[{{"index":0,"delta":{{"content":"{word}"}}}}]}}"#
    ))
}

pub fn finish() -> Step {
    data(r#"{"id":"chatcmpl-1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#)
}

pub fn done() -> Step {
    data("[DONE]")
}

pub fn data(text: &str) -> Step {
    Step::Data(Bytes::from(format!("data: {text}\n\n")))
}

pub fn comment() -> Step {
    Step::Data(Bytes::from_static(b": ping\n\n"))
}

pub fn wait(seconds: u64) -> Step {
    Step::Wait(Duration::from_secs(seconds))
}

impl Upstream {
    pub fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self(Arc::new(Inner {
            answers: Mutex::new(answers.into_iter().collect()),
            seen: Mutex::default(),
            live_futures: Arc::default(),
            live_bodies: Arc::default(),
            ended_bodies: Arc::default(),
        }))
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.0.seen.lock().clone()
    }

    pub fn attempts(&self) -> usize {
        self.0.seen.lock().len()
    }

    /// Bodies that were read to their end.
    pub fn ended(&self) -> usize {
        self.0.ended_bodies.load(SeqCst)
    }

    /// Response futures and bodies that are neither finished nor dropped.
    pub fn live(&self) -> usize {
        self.0.live_futures.load(SeqCst) + self.0.live_bodies.load(SeqCst)
    }
}

impl<B> tower::Service<Request<B>> for Upstream
where
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ScriptedBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<ScriptedBody>, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let inner = self.0.clone();
        let count = Count::new(&inner.live_futures);
        Box::pin(async move {
            let _count = count;
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_err(Into::into)?.to_bytes();
            inner.seen.lock().push(Seen {
                at: Instant::now(),
                uri: parts.uri.to_string(),
                headers: parts.headers,
                body,
                extensions: parts.extensions.len(),
            });
            let answer = {
                let mut answers = inner.answers.lock();
                match answers.len() {
                    0 => Answer::hang(),
                    1 => answers[0].clone(),
                    _ => answers.pop_front().unwrap(),
                }
            };
            if let Some(delay) = answer.before_head {
                tokio::time::sleep(delay).await;
            }
            let Some((status, headers)) = answer.head else {
                return std::future::pending().await;
            };
            if status == 0 {
                return Err("connection lost".into());
            }
            let mut response = Response::new(ScriptedBody {
                steps: answer.steps.into(),
                sleep: None,
                ended: inner.ended_bodies.clone(),
                _count: Count::new(&inner.live_bodies),
            });
            *response.status_mut() = StatusCode::from_u16(status).unwrap();
            for (name, value) in headers {
                response.headers_mut().append(name, value.parse().unwrap());
            }
            Ok(response)
        })
    }
}

pub struct ScriptedBody {
    steps: VecDeque<Step>,
    sleep: Option<Pin<Box<Sleep>>>,
    ended: Arc<AtomicUsize>,
    _count: Count,
}

impl HttpBody for ScriptedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        loop {
            if let Some(sleep) = &mut this.sleep {
                if sleep.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                this.sleep = None;
            }
            match this.steps.front() {
                None => {
                    this.ended.fetch_add(1, SeqCst);
                    return Poll::Ready(None);
                }
                Some(Step::Hang) => return Poll::Pending,
                _ => {}
            }
            match this.steps.pop_front().unwrap() {
                Step::Data(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                Step::Wait(time) => this.sleep = Some(Box::pin(sleep_until(Instant::now() + time))),
                Step::Fail => return Poll::Ready(Some(Err("the body broke off".into()))),
                Step::Trailers => {
                    return Poll::Ready(Some(Ok(Frame::trailers(http::HeaderMap::new()))));
                }
                Step::Hang => unreachable!(),
            }
        }
    }
}

pub const PROMPT: &str =
    r#"{"model":"a","stream":true,"messages":[{"role":"user","content":"hi"}]}"#;

pub fn chat() -> Request<Body> {
    chat_with(PROMPT)
}

pub fn chat_with(body: &'static str) -> Request<Body> {
    Request::post("https://api.example.com/v1/chat/completions")
        .header("content-type", "application/json")
        .header("authorization", "Bearer secret-of-the-caller")
        .body(Body::from(body))
        .unwrap()
}

/// Reads a body to its end: its data, and the error if it ended in one.
pub async fn read<B>(body: B) -> (Bytes, Option<BoxError>)
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    let mut body = body;
    let mut read = Vec::new();
    loop {
        match body.frame().await {
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    read.extend_from_slice(&data);
                }
            }
            Some(Err(error)) => return (read.into(), Some(error.into())),
            None => return (read.into(), None),
        }
    }
}

pub fn kind(error: &BoxError) -> backstay::ErrorKind {
    Error::find(&**error)
        .unwrap_or_else(|| panic!("not backstay's own error: {error}"))
        .kind()
}

pub fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One call of a service.
pub fn send<S>(service: &S, request: Request<Body>) -> tower::util::Oneshot<S, Request<Body>>
where
    S: tower::Service<Request<Body>> + Clone,
{
    tower::ServiceExt::oneshot(service.clone(), request)
}

/// Fallback over timeouts, around an upstream.
pub type Stack = backstay::fallback::FallbackService<backstay::timeout::TimeoutsService<Upstream>>;

pub fn stack(targets: Targets, upstream: &Upstream) -> Stack {
    stack_with(targets, Timeouts::new(), upstream)
}

pub fn stack_with(targets: Targets, timeouts: Timeouts, upstream: &Upstream) -> Stack {
    tower::ServiceBuilder::new()
        .fallback(targets.seed(7))
        .unwrap()
        .timeouts(timeouts)
        .unwrap()
        .service(upstream.clone())
}

/// The models that were asked for, in order.
pub fn models(upstream: &Upstream) -> Vec<String> {
    upstream
        .seen()
        .iter()
        .map(|seen| {
            let body = std::str::from_utf8(&seen.body).unwrap();
            body.split('"').nth(3).unwrap().to_owned()
        })
        .collect()
}

pub fn trail<B>(response: &Response<B>) -> Vec<Attempt> {
    response
        .extensions()
        .get::<Trail>()
        .expect("each response has its trail")
        .attempts()
}

/// The trail of a response, which goes on being written.
pub fn live_trail<B>(response: &Response<B>) -> Trail {
    response.extensions().get::<Trail>().unwrap().clone()
}

pub fn trail_of(error: &BoxError) -> Trail {
    Error::find(&**error).unwrap().trail().unwrap()
}
