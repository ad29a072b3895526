//! Whose key goes where.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_gateway::Config;
use backstay_mock::{Mock, Reply};
use door::{CHAT, Door, MESSAGES};

const PAIR: &str = r#"{"model":"pair","messages":[]}"#;
const CALLERS: &str = "authorization: Bearer sk-of-the-caller\r\n";

/// The second target of each pair, and the store, are given the caller's key.
fn passes_keys(text: String) -> String {
    let text = text.replace(
        "model = \"second-model\"\n",
        "model = \"second-model\"\ncredential = \"caller\"\n",
    );
    text.replace(
        "name = \"store\"\n",
        "name = \"store\"\ncredential = \"caller\"\n",
    )
}

fn with_a_caller(text: String) -> String {
    let caller = "[[callers]]\nname = \"ci\"\nkey_inline_insecure = \"gw-key\"\n\n[[targets]]\nname = \"first\"";
    passes_keys(text).replace("[[targets]]\nname = \"first\"", caller)
}

#[tokio::test]
async fn the_callers_key_goes_to_the_target_that_says_so_and_to_no_other() {
    let door = Door::with(passes_keys).await;
    door.mock.script("first-model", Reply::status(500));
    let answer = door.ask(&door.post_with(CHAT, CALLERS, PAIR)).await;
    assert_eq!(answer.header("x-backstay-target"), Some("second"));
    let first = &door.mock.requests("first-model")[0].headers;
    assert_eq!(first["authorization"], "Bearer sk-upstream-secret");
    let second = &door.mock.requests("second-model")[0].headers;
    assert_eq!(second["authorization"], "Bearer sk-of-the-caller");
    // A target that says nothing gets none.
    let alone = r#"{"model":"alone","messages":[]}"#;
    door.ask(&door.post_with(CHAT, CALLERS, alone)).await;
    let alone = &door.mock.requests("alone")[0].headers;
    assert!(!alone.contains_key("authorization"));
}

#[tokio::test]
async fn a_key_goes_on_in_the_header_that_it_came_in() {
    let door = Door::with(passes_keys).await;
    door.mock.script("first-model", Reply::status(500));
    let body = r#"{"model":"claude-pair","max_tokens":9,"messages":[]}"#;
    door.ask(&door.post_with(MESSAGES, "x-api-key: sk-of-the-caller\r\n", body))
        .await;
    let first = &door.mock.requests("first-model")[0].headers;
    assert_eq!(first["x-api-key"], "sk-upstream-secret");
    let second = &door.mock.requests("second-model")[0].headers;
    assert_eq!(second["x-api-key"], "sk-of-the-caller");
    assert!(!second.contains_key("authorization"));
}

#[tokio::test]
async fn the_gateways_own_key_goes_nowhere_and_has_a_header_of_its_own_beside_the_callers() {
    let door = Door::with(with_a_caller).await;
    door.mock.script("first-model", Reply::status(500));
    // In the SDK's place it is the gateway's, and there is none for the upstream.
    for own in [
        "authorization: Bearer gw-key\r\n",
        "x-api-key: gw-key\r\n",
        "x-backstay-key: gw-key\r\nauthorization: Bearer gw-key\r\n",
        "x-backstay-key: gw-key\r\nauthorization: Bearer sk\r\nx-api-key: gw-key\r\n",
    ] {
        let before = door.mock.requests("second-model").len();
        assert_eq!(door.ask(&door.post_with(CHAT, own, PAIR)).await.status, 200);
        let sent = &door.mock.requests("second-model")[before].headers;
        for name in ["authorization", "x-api-key", "api-key", "x-backstay-key"] {
            assert!(!sent.contains_key(name), "{own}: {name}");
        }
    }
    // In its own place it leaves the SDK's to the caller's.
    let both = format!("x-backstay-key: gw-key\r\n{CALLERS}");
    let before = door.mock.requests("second-model").len();
    assert_eq!(
        door.ask(&door.post_with(CHAT, &both, PAIR)).await.status,
        200
    );
    let sent = &door.mock.requests("second-model")[before].headers;
    assert_eq!(sent["authorization"], "Bearer sk-of-the-caller");
    assert!(!sent.contains_key("x-backstay-key"));
    // The caller's alone opens nothing; nor does a wrong one beside a right one in the other place.
    for none in [
        CALLERS,
        "x-backstay-key: wrong\r\nauthorization: Bearer gw-key\r\n",
    ] {
        assert_eq!(
            door.ask(&door.post_with(CHAT, none, PAIR)).await.status,
            401
        );
    }
}

#[tokio::test]
async fn what_one_callers_key_runs_into_is_no_other_callers_business() {
    let door = Door::with(|text| {
        passes_keys(text).replace(
            "targets = [\"first\", \"second\"]",
            "targets = [\"second\", \"first\"]",
        )
    })
    .await;
    let again = Reply::status(429).header("retry-after", "3600");
    door.mock.script("second-model", again);
    let answer = door.ask(&door.post_with(CHAT, CALLERS, PAIR)).await;
    assert_eq!(answer.header("x-backstay-target"), Some("first"));
    door.mock.script("second-model", Reply::ok());
    let other = "authorization: Bearer sk-of-another\r\n";
    let answer = door.ask(&door.post_with(CHAT, other, PAIR)).await;
    assert_eq!(answer.header("x-backstay-target"), Some("second"));
}

#[tokio::test]
async fn a_path_routes_target_gets_what_is_on_the_list_and_nothing_else() {
    let door = Door::with(|text| {
        let listed = "path = \"/api/v2/*\"\nforward_headers = [\"x-session\"]";
        passes_keys(text).replace("path = \"/api/v2/*\"", listed)
    })
    .await;
    for (path, kind) in [("/api/v2/heartbeat", "store"), (CHAT, "alone")] {
        let headers = "x-session: s\r\nx-forwarded-for: 10.0.0.1\r\nforwarded: for=10.0.0.1\r\nx-real-ip: 10.0.0.1\r\n\
             cookie: a=b\r\nreferer: http://x\r\nconnection: x-hop, keep-alive\r\nx-hop: 1\r\nkeep-alive: 1\r\n\
             te: trailers\r\nx-anything: 1\r\nx-stainless-lang: python\r\naccept: application/json\r\n\
             user-agent: mine\r\nx-backstay-key: gw\r\nproxy-authorization: Basic eDp5\r\n";
        let body = r#"{"model":"alone","messages":[]}"#;
        let answer = door.ask(&door.post_with(path, headers, body)).await;
        assert!(answer.status < 500, "{answer:?}");
        let sent = door.mock.log().last().unwrap().headers.clone();
        assert_eq!(sent["accept"], "application/json", "{kind}");
        assert_eq!(sent["user-agent"], "mine");
        assert_eq!(sent.contains_key("x-session"), kind == "store");
        let listed = [
            "accept",
            "accept-encoding",
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "x-session",
        ];
        for name in sent.keys() {
            assert!(listed.contains(&name.as_str()), "{kind}: {name}");
        }
    }
}

#[tokio::test]
async fn a_credential_that_cannot_be_is_an_error_with_its_remedy() {
    let mock = Mock::start().await.unwrap();
    let text = door::text(&mock.url());
    for (from, to, about) in [
        (
            "model = \"first-model\"\nkey",
            "credential = \"caller\"\nkey",
            "a key of its own",
        ),
        (
            "model = \"second-model\"",
            "credential = \"mine\"",
            "no credential",
        ),
    ] {
        let error = Config::parse(&text.replacen(from, to, 1), "keys.toml").unwrap_err();
        assert!(
            error.line().is_some() && error.to_string().contains(about),
            "{error}"
        );
    }
    let text = text.replace(
        "path = \"/api/v2/*\"",
        "path = \"/api/v2/*\"\nforward_headers = [\"x-backstay-key\"]",
    );
    let config = Config::parse(&text, "keys.toml").unwrap();
    assert!(backstay_gateway::Gateway::bind(config).await.is_err());
}
