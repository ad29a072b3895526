//! reqwest as the leaf, and its response on top.

use backstay::{
    Body, ErrorKind, Timeouts, Trail,
    dialect::FailureClass,
    fallback::{Target, Targets},
    timeout::Clock,
    trail::{Next, Note, Outcome},
    transport::{Delivery, FreshConnection},
};
use backstay_adapter_tests::{
    AMPLE, MS, SHORT, Stack, attempts_of, find, nobody, observed_stack, stack, until_sent,
    upstream_closed, within,
};
use backstay_mock::{Mock, Reply, Script};
use backstay_reqwest::{Client, ConnectClock};
use http::{Request, StatusCode, Version};
use http_body_util::BodyExt;
use reqwest::dns::{Name, Resolve, Resolving};
use std::{
    future,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::Instant,
};
use tower::{Service, ServiceExt};

// --- The six ---

#[tokio::test]
async fn an_answer_arrives_as_reqwests_own_with_its_trail() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::text("over and out"));
    let stack = over_reqwest(Targets::new("m"), AMPLE);
    for stream in [false, true] {
        let response = within(call(&stack, &mock, stream)).await.unwrap();
        assert_eq!(response.url().path(), "/v1/chat/completions");
        let trail = response.extensions().get::<Trail>().unwrap().clone();
        let text = within(response.text()).await.unwrap();
        assert_eq!(text.contains("data: [DONE]"), stream);
        let attempts = trail.attempts();
        assert_eq!(attempts.len(), 1);
        assert_eq!(attempts[0].outcome, Outcome::Complete);
    }
    assert_eq!(mock.log()[1].connection, mock.log()[0].connection);
    assert_eq!(mock.log()[0].headers["content-length"], "72");
}

#[tokio::test]
async fn a_failure_before_content_falls_over() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::tokens(["a"]).cut_after_tokens(0));
    let stack = over_reqwest(Targets::new(once("m")).then("n"), AMPLE);
    let response = within(call(&stack, &mock, true)).await.unwrap();
    let trail = response.extensions().get::<Trail>().unwrap().clone();
    assert!(within(response.text()).await.unwrap().contains("[DONE]"));
    let attempts = trail.attempts();
    assert!(matches!(attempts[0].next, Some(Next::Skip(_))));
    assert_eq!(attempts[1].model.as_deref(), Some("n"));
    assert_eq!(attempts[1].outcome, Outcome::Complete);
}

#[tokio::test]
async fn an_error_after_content_is_found_in_reqwests() {
    let mock = Mock::start().await.unwrap();
    let fails = Reply::tokens(["a", "b"]).error_in_band(1, "server_error");
    mock.script("m", fails);
    let stack = over_reqwest(Targets::new("m").then("n"), AMPLE);
    let response = within(call(&stack, &mock, true)).await.unwrap();
    let error = within(response.text()).await.unwrap_err();
    assert!(matches!(find(&error).kind(), ErrorKind::InBand(_)));
    assert_eq!(find(&error).trail().unwrap().attempts().len(), 1);
    assert_eq!(mock.attempts("n"), 0);
}

#[tokio::test]
async fn the_deadline_ends_the_call_and_the_body() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let stack = over_reqwest(Targets::new("m"), SHORT);
    let error = within(call(&stack, &mock, true)).await.unwrap_err();
    assert_eq!(find(&*error).kind(), ErrorKind::Deadline);
    upstream_closed(&mock).await;

    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let response = within(call(&stack, &mock, true)).await.unwrap();
    let error = within(response.text()).await.unwrap_err();
    assert_eq!(find(&error).kind(), ErrorKind::Deadline);
    upstream_closed(&mock).await;
}

#[tokio::test]
async fn a_caller_who_goes_closes_the_upstream() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::never_answer());
    let stack = over_reqwest(Targets::new("m"), AMPLE);
    until_sent(call(&stack, &mock, true), &mock).await;
    upstream_closed(&mock).await;

    mock.script("m", Reply::tokens(["a", "b"]).stall_after_tokens(1));
    let mut response = within(call(&stack, &mock, true)).await.unwrap();
    within(response.chunk()).await.unwrap().unwrap();
    drop(response);
    upstream_closed(&mock).await;
}

#[tokio::test]
async fn a_limit_with_a_hint_is_waited_for() {
    let mock = Mock::start().await.unwrap();
    let limited = Reply::status(429).header("retry-after-ms", "150");
    mock.script("m", Script::new().attempt(limited).then(Reply::ok()));
    let stack = over_reqwest(Targets::new("m").retries(1), AMPLE);
    let response = within(call(&stack, &mock, false)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let attempts = response.extensions().get::<Trail>().unwrap().attempts();
    assert_eq!(attempts[0].class, Some(FailureClass::RateLimit));
    assert!(attempts[0].wait.as_ref().unwrap().duration >= 150 * MS);
    let log = mock.log();
    assert!(log[1].at.saturating_duration_since(log[0].at) >= 150 * MS);
}

// --- What reqwest would do of itself ---

#[tokio::test]
async fn reqwest_retries_nothing_behind_the_layers() {
    let eager = || {
        reqwest::retry::for_host("127.0.0.1")
            .max_retries_per_request(3)
            .no_budget()
            .classify_fn(|seen| match seen.status() {
                Some(StatusCode::SERVICE_UNAVAILABLE) => seen.retryable(),
                _ => seen.success(),
            })
    };
    let built = Client::build(|builder| builder.no_proxy().retry(eager())).unwrap();
    let own = reqwest::Client::builder().no_proxy().retry(eager());
    for client in [built, own.build().unwrap().into()] {
        let mock = Mock::start().await.unwrap();
        mock.script_path("", Reply::status(503).body("busy"));
        for request in [chat(&mock.url(), false), get(&mock.url())] {
            let response = within(client.clone().oneshot(request)).await.unwrap();
            assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        }
        assert_eq!(mock.log().len(), 2);
    }
}

#[tokio::test]
async fn redirects_are_followed_only_where_asked_for() {
    let mock = Mock::start().await.unwrap();
    let away = format!("{}/elsewhere", mock.url());
    let there = Reply::ok().body("there");
    mock.script_path("/here", Reply::status(307).header("location", &away));
    mock.script_path("/elsewhere", there);
    let follow = |builder: reqwest::ClientBuilder| {
        let policy = reqwest::redirect::Policy::limited(2);
        builder.no_proxy().redirect(policy)
    };
    let following = Client::build(follow).unwrap();
    for (client, expected) in [(client(), 307), (following, 200)] {
        let url = format!("{}/here", mock.url());
        let request = Request::get(url).body(Body::empty()).unwrap();
        let response = within(client.oneshot(request)).await.unwrap();
        assert_eq!(response.status(), expected);
    }
}

#[tokio::test]
async fn the_connection_decides_the_version() {
    let mock = Mock::start().await.unwrap();
    let mut request = chat(&mock.url(), false);
    *request.version_mut() = Version::HTTP_2;
    let response = within(client().oneshot(request)).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(mock.log()[0].http_version, Version::HTTP_11);
}

// --- What is told of a connection ---

#[tokio::test]
async fn the_connect_clock_is_kept() {
    let limit = 200 * MS;
    let built = Client::build(|builder| builder.no_proxy().dns_resolver(NeverResolves)).unwrap();
    let own = reqwest::Client::builder()
        .no_proxy()
        .dns_resolver(NeverResolves)
        .connector_layer(ConnectClock::new());
    for client in [built, own.build().unwrap().into()] {
        let targets = Targets::new(once("m"));
        let clocks = Timeouts::new().connect(limit);
        let (stack, observed) = observed_stack(client, targets, clocks, AMPLE);
        let started = Instant::now();
        let request = chat("http://never.example", false);
        let error = within(stack.oneshot(request)).await.unwrap_err();
        let elapsed = Instant::now().saturating_duration_since(started);
        assert!(elapsed >= limit && elapsed < AMPLE, "{elapsed:?}");
        let told = find(&*error);
        assert_eq!(told.kind(), ErrorKind::Timeout(Clock::Connect));
        assert_eq!(told.limit(), Some(limit));
        let attempts = attempts_of(&observed, 1).await;
        assert_eq!(attempts[0].outcome, Outcome::Timeout(Clock::Connect));
        assert!(!attempts[0].uncertain);
    }
}

#[tokio::test]
async fn what_was_not_sent_is_told() {
    let nobody = format!("http://{}", nobody().await);
    for (url, expected) in [
        (&*nobody, Delivery::NotSent),
        ("/v1/chat/completions", Delivery::Refused),
        ("ftp://upstream.example", Delivery::Refused),
    ] {
        let request = Request::post(url).body(Body::empty()).unwrap();
        let failure = within(client().oneshot(request)).await.unwrap_err();
        assert_eq!(failure.delivery(), expected, "{url}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_told_apart_by_its_use() {
    let own = || reqwest::Client::builder().no_proxy();
    let clocked = own().connector_layer(ConnectClock::new());
    for (mut client, told) in [
        (client(), true),
        (clocked.build().unwrap().into(), true),
        // Nobody sees its connections, so that nothing is said of them.
        (own().build().unwrap().into(), false),
    ] {
        let one_each = Answers::start(1).await;
        let url = one_each.url();
        within(client.call(get(&url))).await.map(drop).unwrap();
        one_each.settle().await;
        let failure = within(client.call(get(&url))).await.unwrap_err();
        assert_eq!(failure.delivery(), Delivery::maybe_sent(told));

        let none = Answers::start(0).await;
        let failure = within(client.call(get(&none.url()))).await.unwrap_err();
        assert_eq!(failure.delivery(), Delivery::maybe_sent(false));
    }
}

#[tokio::test]
async fn a_new_connection_is_made_for_those_who_ask() {
    let two_each = Answers::start(2).await;
    let mut client = client();
    let url = two_each.url();
    within(client.call(get(&url))).await.map(drop).unwrap();
    two_each.settle().await;
    let mut fresh = get(&url);
    fresh.extensions_mut().insert(FreshConnection);
    within(client.call(fresh)).await.map(drop).unwrap();
    assert_eq!(two_each.connections(), 2);
}

#[tokio::test]
async fn a_call_that_lost_a_used_connection_is_sent_once_more() {
    let one_each = Answers::start(1).await;
    let stack = over_reqwest(Targets::new(once("m")), AMPLE);
    let first = within(stack.clone().oneshot(chat(&one_each.url(), false))).await;
    let first = first.unwrap().into_body();
    within(first.collect()).await.unwrap();
    one_each.settle().await;
    let second = within(stack.clone().oneshot(chat(&one_each.url(), false))).await;
    let trail = second.unwrap().extensions().get::<Trail>().unwrap().clone();
    let attempts = trail.attempts();
    assert_eq!(attempts.len(), 1);
    assert!(attempts[0].notes.contains(&Note::Resent), "{trail}");
    assert_eq!(one_each.connections(), 2);
}

#[tokio::test]
async fn no_key_of_a_url_is_in_an_error() {
    let url = format!("http://{}/v1?key=sesame", nobody().await);
    let failure = within(client().oneshot(get(&url))).await.unwrap_err();
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&failure);
    while let Some(error) = next {
        assert!(!format!("{error} {error:?}").contains("sesame"));
        next = error.source();
    }
}

// --- How it is done ---

fn client() -> Client {
    Client::build(reqwest::ClientBuilder::no_proxy).unwrap()
}

fn over_reqwest(targets: Targets, budget: Duration) -> Stack<Client> {
    stack(client(), targets, Timeouts::new(), budget)
}

/// A target that is not tried again.
fn once(model: &'static str) -> Target {
    Target::model(model).retries(0)
}

fn chat(origin: &str, stream: bool) -> Request<Body> {
    let body = format!(
        r#"{{"model":"m","stream":{stream:<5},"messages":[{{"role":"user","content":"Hi"}}]}}"#
    );
    Request::post(format!("{origin}/v1/chat/completions"))
        .header("content-type", "application/json")
        .body(body.into())
        .unwrap()
}

fn get(url: &str) -> Request<Body> {
    Request::get(url).body(Body::empty()).unwrap()
}

async fn call(
    stack: &Stack<Client>,
    mock: &Mock,
    stream: bool,
) -> Result<reqwest::Response, backstay::BoxError> {
    let request = chat(&mock.url(), stream);
    let url = request.uri().to_string().parse()?;
    let response = stack.clone().oneshot(request).await?;
    Ok(backstay_reqwest::response(url, response))
}

/// A name server that never answers.
struct NeverResolves;

impl Resolve for NeverResolves {
    fn resolve(&self, _: Name) -> Resolving {
        Box::pin(future::pending())
    }
}

/// A server that answers so many requests of each connection, and closes it when it has read one more.
struct Answers {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";

impl Answers {
    async fn start(each: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::<AtomicUsize>::default();
        tokio::spawn({
            let connections = connections.clone();
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(Self::serve(stream, each));
                }
            }
        });
        Self {
            address,
            connections,
        }
    }

    async fn serve(mut stream: TcpStream, each: usize) {
        for answered in 0.. {
            let mut read = Vec::new();
            while !read.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else {
                    return;
                };
                read.push(byte);
            }
            let head = String::from_utf8(read).unwrap().to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
            stream.read_exact(&mut body).await.unwrap();
            if answered == each || stream.write_all(ANSWER).await.is_err() {
                return;
            }
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// Lets the connection of an answer that was read come back to the pool.
    async fn settle(&self) {
        tokio::time::sleep(50 * MS).await;
    }
}
