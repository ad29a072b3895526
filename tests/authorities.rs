//! A switch of authority carries no credential over, in headers, query or userinfo, whatever the dialect.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Body, ErrorKind,
    fallback::{Target, Targets},
};
use backstay_mock::{Logged, Mock, Reply};
use backstay_tests::{
    answer::{find, read},
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};
use http::{HeaderName, HeaderValue, Request, Uri};

/// In each of the caller's credentials, and nowhere else.
const SECRET: &str = "hush";

/// A provider's credentials, as its callers send them.
struct Credentials {
    /// The dialects that they are for.
    dialects: &'static [&'static str],
    headers: &'static [&'static str],
    query: &'static [&'static str],
}

const CREDENTIALS: [Credentials; 7] = [
    Credentials {
        dialects: &[
            "openai",
            "openai-responses",
            "mistral",
            "groq",
            "openrouter",
            "llama.cpp",
            "vllm",
            "sglang",
            "tgi",
            "ollama",
        ],
        headers: &["authorization", "openai-organization", "openai-project"],
        query: &["api_key"],
    },
    Credentials {
        dialects: &["azure", "azure-responses"],
        headers: &["api-key", "authorization", "ocp-apim-subscription-key"],
        query: &["api-key", "subscription-key", "code", "sig"],
    },
    Credentials {
        dialects: &["gemini"],
        headers: &["x-goog-api-key", "authorization", "x-goog-user-project"],
        query: &["key", "access_token", "oauth_token"],
    },
    Credentials {
        dialects: &["vertex-anthropic"],
        headers: &["authorization", "x-goog-user-project"],
        query: &["access_token", "key"],
    },
    Credentials {
        dialects: &["anthropic"],
        headers: &["x-api-key", "authorization"],
        query: &["api_key"],
    },
    Credentials {
        dialects: &["bedrock", "bedrock-invoke"],
        headers: &[
            "authorization",
            "x-amz-date",
            "x-amz-security-token",
            "x-amz-content-sha256",
        ],
        query: &[
            "X-Amz-Algorithm",
            "X-Amz-Credential",
            "X-Amz-Date",
            "X-Amz-Signature",
            "X-Amz-Security-Token",
            "X-Amz-SignedHeaders",
        ],
    },
    Credentials {
        dialects: &["cohere"],
        headers: &["authorization"],
        query: &["api_key"],
    },
];

/// Of every provider's callers.
const ANYBODYS: [&str; 3] = ["cookie", "proxy-authorization", "x-our-own-key"];

// === impl Credentials ===

impl Credentials {
    fn of(spoken: &Spoken) -> &'static Self {
        let found = CREDENTIALS
            .iter()
            .find(|of| of.dialects.contains(&spoken.dialect));
        found.unwrap()
    }

    fn headers(&self) -> impl Iterator<Item = &'static str> {
        self.headers.iter().copied().chain(ANYBODYS)
    }

    /// The call with all of them.
    fn put_on(&self, mut request: Request<Body>) -> Request<Body> {
        for name in self.headers() {
            let mut value = HeaderValue::try_from(format!("{SECRET} {name}")).unwrap();
            value.set_sensitive(true);
            request.headers_mut().append(name, value);
        }
        let more = self.query.iter().map(|name| format!("{name}={SECRET}"));
        let more: Vec<String> = more.collect();
        let uri = request.uri().to_string();
        let mark = if uri.contains('?') { '&' } else { '?' };
        *request.uri_mut() = format!("{uri}{mark}{}", more.join("&")).parse().unwrap();
        request
    }
}

/// All that the mock saw of a request, as one text.
fn seen(entry: &Logged) -> String {
    let headers = entry.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes());
        format!("{name}: {value}\n")
    });
    let headers: String = headers.collect();
    let body = String::from_utf8_lossy(&entry.body);
    format!("{}?{:?}\n{headers}\n{body}", entry.path, entry.query)
}

fn with_user(request: &mut Request<Body>) {
    let uri = request.uri().to_string();
    let uri = uri.replace("http://", &format!("http://user:{SECRET}@"));
    *request.uri_mut() = uri.parse::<Uri>().unwrap();
}

#[tokio::test]
async fn of_any_dialect() {
    let client = http1();
    for spoken in SPOKEN {
        let credentials = Credentials::of(&spoken);
        let first = Mock::start().await.unwrap();
        first.script(spoken.model("first"), Reply::status(503));
        let second = Mock::start().await.unwrap();
        second.script_default(Reply::status(503));
        let away = |name: &str| spoken.target(name).origin(second.url());
        let targets = Targets::new(spoken.target("first"))
            // Without credentials, and with some of its own.
            .then(away("second"))
            .then(away("third").credential("x-own", "the-targets-own"))
            .then(spoken.target("last"))
            .retries(0);
        let stack = Setup::new(targets).over(client.clone());
        let request = credentials.put_on(spoken.request(&first.url(), "first"));
        let query = request.uri().query().unwrap().to_owned();
        let response = within(stack.call(request)).await;
        assert!(read(response.unwrap()).await.error.is_none(), "{spoken:?}");

        // The caller's own choice gets all that the caller gave; so does another target there.
        let log = first.log();
        assert_eq!(log.len(), 2, "{spoken:?}");
        for entry in &log {
            for name in credentials.headers() {
                let kept = entry.headers.contains_key(name);
                // It is for the proxy that was asked, and no other.
                let hop = name == "proxy-authorization" && entry.number > 1;
                assert!(kept || hop, "{spoken:?} {name}");
            }
            assert_eq!(entry.query.as_deref(), Some(&*query), "{spoken:?}");
        }

        let log = second.log();
        assert_eq!(log.len(), 2, "{spoken:?}");
        for entry in &log {
            let seen = seen(entry);
            assert!(!seen.contains(SECRET), "{spoken:?} {seen}");
            for name in credentials.headers().map(HeaderName::from_static) {
                assert!(!entry.headers.contains_key(&name), "{spoken:?} {name}");
            }
            // The format that the caller reads is no credential.
            let sse = query.contains("alt=sse");
            assert_eq!(entry.query.as_deref(), sse.then_some("alt=sse"));
            assert_eq!(entry.headers["content-type"], "application/json");
        }
        assert_eq!(log[1].headers["x-own"], "the-targets-own");
    }
}

#[tokio::test]
async fn neither_do_a_user_and_a_password() {
    let client = http1();
    for spoken in SPOKEN {
        let first = Mock::start().await.unwrap();
        let second = Mock::start().await.unwrap();
        second.script(spoken.model("away"), Reply::text("Here"));
        let request = || {
            let mut request = spoken.request(&first.url(), "first");
            with_user(&mut request);
            request
        };
        // At another authority, and at the same one with credentials of the target's own.
        for (target, mock) in [
            (spoken.target("away").origin(second.url()), &second),
            (spoken.target("own").bearer("the-targets-own"), &first),
        ] {
            let stack = Setup::new(Targets::new(target)).over(client.clone());
            let response = within(stack.call(request())).await;
            assert!(read(response.unwrap()).await.error.is_none(), "{spoken:?}");
            let log = mock.log();
            assert_eq!(log.len(), 1, "{spoken:?}");
            assert!(!seen(&log[0]).contains(SECRET), "{spoken:?}");
            assert!(!seen(&log[0]).contains("user:"), "{spoken:?}");
        }

        // Where they would go, the client refuses, and does not say what they were.
        let stack = Setup::new(Targets::new(spoken.target("first"))).over(client.clone());
        let error = within(stack.call(request())).await.err().unwrap();
        assert_eq!(find(&error).kind(), ErrorKind::Transport);
        assert!(!format!("{error} {error:?}").contains(SECRET));
        assert_eq!(first.log().len(), 1);
    }
}

#[tokio::test]
async fn a_credential_is_in_no_trail_and_no_error() {
    let gemini = Spoken::of("gemini");
    let first = Mock::start().await.unwrap();
    first.script_default(Reply::text("x").cut_after_tokens(1));
    let target: Target = gemini.target("first").credential("x-goog-api-key", SECRET);
    let targets = Targets::new(target.query(format!("alt=sse&key={SECRET}")));
    assert!(!format!("{targets:?}").contains(SECRET));
    let stack = Setup::new(targets).http1();
    let request = Credentials::of(&gemini).put_on(gemini.request(&first.url(), "first"));
    let response = within(stack.call(request)).await;
    let answer = read(response.unwrap()).await;
    let error = answer.error.unwrap();
    let said = format!("{error} {error:?} {} {:?}", answer.trail, answer.trail);
    assert!(!said.contains(SECRET) && !said.contains("key="));
    // It was there.
    assert!(first.log()[0].query.as_deref().unwrap().contains(SECRET));
}
