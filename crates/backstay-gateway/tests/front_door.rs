//! Who is let in, and what is not believed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may"
)]

mod door;

use backstay_gateway::{Config, Gateway};
use door::{Answer, CHAT, Door, MESSAGES};

const UNARY: &str = r#"{"model":"alone","messages":[]}"#;

/// A request line and headers as they are, with a body.
fn raw(line: &str, headers: &str, body: &str) -> String {
    format!(
        "{line} HTTP/1.1\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

const JSON: &str = "content-type: application/json\r\n";

async fn post(door: &Door, headers: &str) -> Answer {
    door.ask(&raw(
        &format!("POST {CHAT}"),
        &format!("{JSON}{headers}"),
        UNARY,
    ))
    .await
}

#[tokio::test]
async fn a_host_that_is_not_ours_is_refused() {
    let door =
        Door::with(|text| text.replace("address = ", "hosts = [\"Gateway.internal\"]\naddress = "))
            .await;
    for host in [
        "127.0.0.1:4141",
        "localhost",
        "LOCALHOST:80",
        "[::1]:9",
        "10.1.2.3",
        "gateway.INTERNAL:7",
    ] {
        let answer = post(&door, &format!("host: {host}\r\n")).await;
        assert_eq!(answer.status, 200, "{host}");
    }
    let passed = door.mock.log().len();
    for host in [
        "rebound.example",
        "localhost.example",
        "127.0.0.1.example:4141",
        "127.0.0.1@evil",
    ] {
        let answer = post(&door, &format!("host: {host}\r\n")).await;
        assert_eq!(answer.status, 421, "{host}");
        assert_eq!(answer.json()["error"]["code"], "unknown_host");
    }
    for headers in [
        "",
        "host: a b\r\n",
        "host: localhost\r\nhost: localhost\r\n",
    ] {
        assert_eq!(post(&door, headers).await.status, 400, "{headers}");
    }
    assert_eq!(door.mock.log().len(), passed);
}

#[tokio::test]
async fn a_web_page_is_refused_unless_its_origin_is_listed() {
    let door = Door::with(|text| {
        text.replace(
            "address = ",
            "origins = [\"http://localhost:3000\"]\naddress = ",
        )
    })
    .await;
    let with = |headers: &str| format!("host: localhost\r\n{headers}");
    for headers in [
        "origin: https://evil.example\r\n",
        "origin: null\r\n",
        "origin: http://localhost:3001\r\n",
        "origin: http://localhost:3000\r\norigin: https://evil.example\r\n",
        "sec-fetch-site: cross-site\r\n",
        "sec-fetch-site: same-site\r\n",
    ] {
        let answer = post(&door, &with(headers)).await;
        assert_eq!(answer.status, 403, "{headers}");
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    assert_eq!(door.mock.log().len(), 0);
    let listed = post(
        &door,
        &with("origin: http://localhost:3000\r\nsec-fetch-site: same-site\r\n"),
    )
    .await;
    assert_eq!(listed.status, 200);
    assert_eq!(
        listed.header("access-control-allow-origin"),
        Some("http://localhost:3000")
    );
    let ask_first = |origin: &str| {
        format!(
            "OPTIONS {CHAT} HTTP/1.1\r\nhost: localhost\r\norigin: {origin}\r\n\
             access-control-request-method: POST\r\n\
             access-control-request-headers: content-type\r\n\r\n"
        )
    };
    let allowed = door.ask(&ask_first("http://localhost:3000")).await;
    assert_eq!(allowed.status, 204);
    assert_eq!(
        allowed.header("access-control-allow-headers"),
        Some("content-type")
    );
    assert_eq!(
        door.ask(&ask_first("https://evil.example")).await.status,
        403
    );
}

#[tokio::test]
async fn what_a_form_can_send_is_refused() {
    let door = Door::open().await;
    for kind in [
        "",
        "content-type: text/plain\r\n",
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-type: multipart/form-data; boundary=x\r\n",
        "content-type: application/jsonx\r\n",
    ] {
        for path in [CHAT, MESSAGES, "/api/v2/tenants"] {
            let headers = format!("host: localhost\r\n{kind}");
            let answer = door
                .ask(&raw(&format!("POST {path}"), &headers, UNARY))
                .await;
            assert_eq!(answer.status, 415, "{kind}");
        }
    }
    assert_eq!(door.mock.log().len(), 0);
    let headers = "host: localhost\r\ncontent-type: Application/JSON; charset=utf-8\r\n";
    let answer = door
        .ask(&raw(&format!("POST {CHAT}"), headers, UNARY))
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn an_absolute_target_never_routes() {
    let door = Door::open().await;
    let mock = door.mock.url();
    for line in [
        format!("POST {mock}{CHAT}"),
        format!("POST http://localhost{CHAT}"),
        "GET http://localhost/trails".to_owned(),
    ] {
        let answer = door
            .ask(&raw(&line, &format!("host: localhost\r\n{JSON}"), UNARY))
            .await;
        assert_eq!(answer.status, 400, "{line}");
    }
    let connect = "CONNECT 127.0.0.1:9 HTTP/1.1\r\nhost: 127.0.0.1:9\r\n\r\n";
    assert_eq!(door.ask(connect).await.status, 405);
    assert_eq!(door.mock.log().len(), 0);
}

#[tokio::test]
async fn a_key_is_asked_for_where_there_is_one() {
    let door = Door::with(|text| {
        format!("{text}\n[[callers]]\nname = \"ci\"\nkey_inline_insecure = \"sk-of-a-caller\"\n")
    })
    .await;
    let ask = |path: &str, headers: &str| {
        raw(path, &format!("host: localhost\r\n{JSON}{headers}"), UNARY)
    };
    for headers in [
        "",
        "authorization: Bearer sk-wrong\r\n",
        "x-api-key: sk-of-a-calle\r\n",
    ] {
        let answer = door.ask(&ask(&format!("POST {CHAT}"), headers)).await;
        assert_eq!(answer.status, 401);
        assert_eq!(answer.json()["error"]["code"], "invalid_api_key");
        let answer = door.ask(&ask(&format!("POST {MESSAGES}"), headers)).await;
        assert_eq!(answer.json()["error"]["type"], "authentication_error");
        for page in ["GET /trails", "GET /trails.json", "GET /v1/models"] {
            assert_eq!(door.ask(&ask(page, headers)).await.status, 401, "{page}");
        }
    }
    assert_eq!(door.mock.log().len(), 0);
    for page in ["GET /healthz", "GET /readyz"] {
        assert_eq!(door.ask(&ask(page, "")).await.status, 200);
    }
    for headers in [
        "authorization: Bearer sk-of-a-caller\r\n",
        "x-api-key: sk-of-a-caller\r\n",
    ] {
        let answer = door.ask(&ask(&format!("POST {CHAT}"), headers)).await;
        assert_eq!(answer.status, 200);
    }
    let trails = door
        .ask(&ask("GET /trails.json", "x-api-key: sk-of-a-caller\r\n"))
        .await;
    assert_eq!(trails.json()["calls"][0]["caller"], "ci");
    for entry in door.mock.log() {
        assert!(!format!("{:?}", entry.headers).contains("sk-of-a-caller"));
    }
}

#[tokio::test]
async fn an_open_address_demands_a_key() {
    let text = door::text("http://127.0.0.1:1").replace("127.0.0.1:0", "0.0.0.0:0");
    let error = Config::parse(&text, "open.toml").unwrap_err();
    assert_eq!(error.line(), Some(3));
    assert!(error.remedy().contains("callers"));
    let keyed = format!("{text}\n[[callers]]\nname = \"a\"\nkey_inline_insecure = \"k\"\n");
    let config = Config::parse(&keyed, "open.toml").unwrap();
    // It can be bound; nothing is served.
    Gateway::bind(config).await.unwrap();
}

#[tokio::test]
async fn other_methods_and_paths_are_refused() {
    let door = Door::open().await;
    let answer = door.ask(&door.get(CHAT)).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("post")));
    for path in [
        "/",
        "/v1",
        "/chat/completions",
        "/v1/../v1/models",
        "/trails/nothing",
    ] {
        assert_eq!(door.ask(&door.get(path)).await.status, 404, "{path}");
    }
    assert_eq!(door.ask(&door.post("/trails", "{}")).await.status, 405);
}

#[tokio::test]
async fn an_upstreams_headers_for_its_own_origin_do_not_pass() {
    let door = Door::open().await;
    let reply = [
        ("access-control-allow-origin", "*"),
        ("alt-svc", "h3=\":443\""),
        ("strict-transport-security", "max-age=1"),
        ("x-backstay-target", "forged"),
        ("x-kept", "yes"),
    ]
    .iter()
    .fold(backstay_mock::Reply::ok(), |reply, (name, value)| {
        reply.header(name, value)
    });
    door.mock.script("alone", reply);
    let answer = door.chat(UNARY).await;
    for gone in [
        "access-control-allow-origin",
        "alt-svc",
        "strict-transport-security",
    ] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    assert_eq!(answer.header("x-backstay-target"), Some("any"));
    assert_eq!(answer.header("x-kept"), Some("yes"));
}
