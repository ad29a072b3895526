//! What each target is sent, and what is refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BuildError, ErrorKind, Timeouts, Trail,
    error::RequestProblem,
    fallback::{FallbackLayer, Target, Targets},
    trail::{Next, Reason},
};
use support::{Answer, PROMPT, Upstream, chat, chat_with, kind, models, send, stack, trail};
use tokio::time::Duration;

// Rewriting.

#[tokio::test(start_paused = true)]
async fn each_attempt_is_made_from_the_original() {
    let upstream = Upstream::new([
        Answer::status(500, "{}"),
        Answer::status(500, "{}"),
        Answer::stream(&["x"]),
    ]);
    let targets = Targets::new(
        Target::model("one")
            .path("/v9/first")
            .header("x-first", "1"),
    )
    .then(Target::model("two").query("b=2"))
    .then(Target::named("kept"))
    .retries(0);
    let mut request = chat();
    request.extensions_mut().insert(7_u8);
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    assert_eq!(seen[0].uri, "https://api.example.com/v9/first");
    assert_eq!(
        seen[1].uri,
        "https://api.example.com/v1/chat/completions?b=2"
    );
    assert_eq!(seen[2].uri, "https://api.example.com/v1/chat/completions");
    assert_eq!(models(&upstream), ["one", "two", "a"]);
    assert_eq!(seen[2].body, PROMPT);
    assert!(seen[0].headers.contains_key("x-first"));
    assert!(!seen[1].headers.contains_key("x-first"));
    // The caller's own extension and the call's record; nothing of the attempts before.
    assert!(seen.iter().all(|seen| seen.extensions == 2));
}

#[tokio::test(start_paused = true)]
async fn no_secret_follows_to_another_authority() {
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["x"])]);
    let targets = Targets::new(Target::named("own"))
        .then(
            Target::model("b")
                .origin("https://other.example:8443")
                .bearer("key-of-the-target"),
        )
        .retries(0)
        .portable_header("x-trace");
    let mut request = chat();
    *request.uri_mut() = "https://api.example.com/v1/chat/completions?key=sesame"
        .parse()
        .unwrap();
    let headers = request.headers_mut();
    for name in [
        "x-api-key",
        "api-key",
        "cookie",
        "proxy-authorization",
        "openai-organization",
        "x-whatever",
        "x-trace",
        "host",
        "expect",
    ] {
        headers.insert(name, "secret".parse().unwrap());
    }
    send(&stack(targets, &upstream), request).await.unwrap();
    let seen = upstream.seen();
    assert_eq!(
        seen[0].headers["authorization"],
        "Bearer secret-of-the-caller"
    );
    assert_eq!(
        seen[1].uri,
        "https://other.example:8443/v1/chat/completions"
    );
    let mut names: Vec<_> = seen[1]
        .headers
        .keys()
        .map(|name| name.as_str().to_owned())
        .collect();
    names.sort();
    assert_eq!(
        names,
        [
            "accept-encoding",
            "authorization",
            "content-type",
            "x-trace"
        ]
    );
    assert_eq!(seen[1].headers["authorization"], "Bearer key-of-the-target");
}

#[tokio::test(start_paused = true)]
async fn a_targets_own_credentials_replace_the_callers_at_the_same_authority() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let targets = Targets::new(Target::named("own").credential("x-api-key", "k"));
    send(&stack(targets, &upstream), chat()).await.unwrap();
    let headers = &upstream.seen()[0].headers;
    assert!(!headers.contains_key("authorization"));
    assert_eq!(headers["x-api-key"], "k");
}

#[tokio::test(start_paused = true)]
async fn the_same_authority_in_other_words_is_no_other_authority() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let targets = Targets::new(Target::named("same").origin("https://API.example.com:443"));
    send(&stack(targets, &upstream), chat()).await.unwrap();
    assert!(upstream.seen()[0].headers.contains_key("authorization"));
}

#[tokio::test(start_paused = true)]
async fn https_never_becomes_http_unless_allowed() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let plain = || Target::named("plain").origin("http://api.example.com");
    let error = send(&stack(Targets::new(plain()), &upstream), chat())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Request(RequestProblem::Plaintext));
    assert_eq!(upstream.attempts(), 0);
    let allowed = Targets::new(plain().allow_plaintext());
    send(&stack(allowed, &upstream), chat()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn headers_bound_to_the_request_are_rebuilt_on_a_rewrite() {
    let upstream = Upstream::new([Answer::stream(&["x"])]);
    let mut request = chat();
    let headers = request.headers_mut();
    for (name, value) in [
        ("host", "elsewhere"),
        ("content-length", "71"),
        ("transfer-encoding", "chunked"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("expect", "100-continue"),
        ("content-digest", "d"),
        ("signature", "s"),
        ("x-kept", "1"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    send(&stack(Targets::new("a-longer-name"), &upstream), request)
        .await
        .unwrap();
    let seen = &upstream.seen()[0];
    for name in [
        "host",
        "transfer-encoding",
        "connection",
        "x-hop",
        "expect",
        "content-digest",
        "signature",
    ] {
        assert!(!seen.headers.contains_key(name), "{name}");
    }
    assert_eq!(seen.headers["content-length"], seen.body.len().to_string());
    assert_eq!(seen.headers["x-kept"], "1");
    assert_eq!(seen.headers["accept-encoding"], "identity");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_cannot_be_called_is_passed_over() {
    let up = Upstream::new([Answer::status(500, "{}"), Answer::stream(&["ok"])]);
    let s = stack(
        Targets::new("a")
            .then(Target::model("b").origin("http://b.example.com"))
            .then("c")
            .retries(0),
        &up,
    );
    let r = send(&s, chat()).await.unwrap();
    assert_eq!(r.status(), 200);
    assert_eq!(up.attempts(), 2);
}

#[test]
fn no_credential_is_portable() {
    let target = || Target::model("a").origin("https://evil.example.com");
    for name in ["Authorization", "x-api-key", "cookie"] {
        let targets = Targets::new(target()).portable_header(name);
        let error = FallbackLayer::new(targets).unwrap_err();
        assert!(matches!(error, BuildError::PortableHeader { .. }), "{name}");
    }
    let targets = Targets::new(target()).portable_header("x-trace");
    assert!(FallbackLayer::new(targets).is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_credential_is_known_by_its_header() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let s = stack(
        Targets::new(Target::model("a").header("x-api-key", "mine")),
        &up,
    );
    let _ = send(&s, chat()).await.unwrap();
    assert!(!up.seen()[0].headers.contains_key("authorization"));
}

#[tokio::test(start_paused = true)]
async fn a_target_with_credentials_of_its_own_gets_no_userinfo() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let s = stack(Targets::new(Target::model("a").bearer("mine")), &up);
    let mut q = chat();
    *q.uri_mut() = "https://user:secret@api.example.com/v1/chat/completions"
        .parse()
        .unwrap();
    let _ = send(&s, q).await.unwrap();
    assert!(!up.seen()[0].uri.contains("secret"), "{}", up.seen()[0].uri);
}

#[test]
fn debug_of_a_target_shows_no_userinfo_and_no_query() {
    let t = Targets::new(
        Target::model("a")
            .origin("https://user:hunter2@x.example.com")
            .query("key=hunter2"),
    );
    assert!(!format!("{t:?}").contains("hunter2"));
}

#[tokio::test(start_paused = true)]
async fn signature_is_dropped_when_the_path_changes() {
    let up = Upstream::new([Answer::stream(&["ok"])]);
    let s = stack(
        Targets::new(Target::named("a").path("/other/chat/completions")),
        &up,
    );
    let mut q = chat();
    q.headers_mut()
        .insert("signature", "sig1=:x:".parse().unwrap());
    let _ = send(&s, q).await.unwrap();
    assert!(!up.seen()[0].headers.contains_key("signature"));
}

// Bad input.

#[tokio::test(start_paused = true)]
async fn a_bad_body_is_an_error_before_anything_is_sent() {
    for (body, problem) in [
        ("[1]", RequestProblem::NotAnObject),
        ("", RequestProblem::NotAnObject),
        (r#"{"messages":[{"model":"a"}]}"#, RequestProblem::NoModel),
        (r#"{"model":"a","model":"b"}"#, RequestProblem::SecondModel),
        (r#"{"model":7}"#, RequestProblem::ModelNotAString),
        (r#"{"model":"a""#, RequestProblem::Malformed),
    ] {
        let upstream = Upstream::new([Answer::json("{}")]);
        let service = stack(Targets::new("b"), &upstream);
        let error = send(&service, chat_with(body)).await.unwrap_err();
        assert_eq!(kind(&error), ErrorKind::Request(problem), "{body}");
        assert_eq!(upstream.attempts(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_replay_limit_streams_once_or_is_refused() {
    for (target, sent) in [(Target::model("b"), false), (Target::named("kept"), true)] {
        let upstream = Upstream::new([Answer::status(500, "{}")]);
        let service = stack(Targets::new(target).replay_limit(20), &upstream);
        let in_memory = send(&service, chat()).await;
        let boxed = chat().map(Body::wrap);
        let streamed = send(&service, boxed).await;
        for result in [in_memory, streamed] {
            if sent {
                let response = result.unwrap();
                assert_eq!(
                    trail(&response)[0].next,
                    Some(Next::Stop(Reason::NotReplayable))
                );
            } else {
                let problem = ErrorKind::Request(RequestProblem::TooLarge);
                assert_eq!(kind(&result.unwrap_err()), problem);
            }
        }
        assert_eq!(upstream.attempts(), if sent { 2 } else { 0 });
        assert!(upstream.seen().iter().all(|seen| seen.body == PROMPT));
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_request_is_never_rewritten() {
    let request = || {
        let mut request = chat_with("\x1f\x08");
        request
            .headers_mut()
            .insert("content-encoding", "gzip".parse().unwrap());
        request
    };
    let upstream = Upstream::new([Answer::status(500, "{}"), Answer::json("{}")]);
    let error = send(&stack(Targets::new("b"), &upstream), request())
        .await
        .unwrap_err();
    assert_eq!(kind(&error), ErrorKind::Request(RequestProblem::Encoded));
    assert_eq!(upstream.attempts(), 0);
    let targets = Targets::new(Target::named("kept"))
        .then("b")
        .then(Target::named("last"))
        .retries(0);
    let response = send(&stack(targets, &upstream), request()).await.unwrap();
    assert_eq!(upstream.attempts(), 2);
    let trail = response.extensions().get::<Trail>().unwrap();
    assert_eq!(trail.attempts()[1].target.as_ref(), "last");
    assert_eq!(trail.passed_over()[0].target.as_ref(), "b");
}

#[test]
fn what_can_never_work_is_refused_at_build() {
    let build = |targets: Targets| FallbackLayer::new(targets).map(drop);
    let uri = |target: Target| {
        assert!(matches!(
            build(Targets::new(target)),
            Err(BuildError::Uri { .. })
        ));
    };
    uri(Target::model("a").origin("not a uri"));
    uri(Target::model("a").origin("api.example.com"));
    uri(Target::model("a").origin("ftp://api.example.com"));
    uri(Target::model("a").origin("https://user:word@api.example.com"));
    uri(Target::model("a").origin("https://api.example.com/v1"));
    uri(Target::model("a").path("v1"));
    uri(Target::model("a").path("/v1?x"));
    uri(Target::model("a").query("a b\n"));
    assert!(matches!(
        build(Targets::new("a").then("a")),
        Err(BuildError::DuplicateTarget { .. })
    ));
    assert!(matches!(
        build(Targets::new(Target::model("a").bearer("new\nline"))),
        Err(BuildError::Header { .. })
    ));
    assert!(matches!(
        build(Targets::plain(Target::model("a"))),
        Err(BuildError::ModelNotCarried { .. })
    ));
    assert!(matches!(
        build(
            Targets::new(Target::model("a").dialect(backstay::dialect::OpenAiChat))
                .then(Target::model("b").dialect(backstay::dialect::AnthropicMessages))
        ),
        Err(BuildError::Dialects { .. })
    ));
    assert!(matches!(
        build(Targets::new("a").max_wait(Duration::ZERO)),
        Err(BuildError::ZeroDuration { .. })
    ));
    assert!(matches!(
        build(Targets::new(
            Target::model("a").timeouts(Timeouts::new().idle(Duration::ZERO))
        )),
        Err(BuildError::ZeroDuration { .. })
    ));
    for targets in [
        Targets::new("a").hold_frames(0),
        Targets::new("a").hold_bytes(0),
        Targets::new("a").replay_limit(0),
    ] {
        assert!(matches!(build(targets), Err(BuildError::Zero { .. })));
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_sets_no_header_that_the_client_writes() {
    let t = Targets::new(
        Target::model("a")
            .header("content-length", "5")
            .header("host", "evil"),
    );
    assert!(FallbackLayer::new(t).is_err());
}
