//! What providers say to their failures comes over the wire as the table has it, and by file too.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use backstay_mock::{Mock, ProviderError, Reply, ScriptFile};
use client::stream::Spoken;
use client::{End, ask, chat};

#[tokio::test]
async fn every_row_is_its_status_headers_and_body() {
    let mock = Mock::start().await.unwrap();
    for row in ProviderError::all() {
        mock.script("m", row.reply());
        for stream in [false, true] {
            let answer = ask(&mock, &chat("m", stream)).await;
            assert_eq!(answer.status(), row.status, "{row:?}");
            assert_eq!(answer.body(), row.body().as_bytes(), "{row:?}");
            let html = answer.header("content-type") == Some("text/html");
            assert_eq!(html, row.body().starts_with('<'), "{row:?}");
        }
    }
}

#[tokio::test]
async fn rows_are_found_by_name() {
    let mock = Mock::start().await.unwrap();
    mock.script("m", Reply::provider_error("openai", "rate_limit").unwrap());
    let answer = ask(&mock, &chat("m", true)).await;
    assert_eq!(answer.header("retry-after-ms"), Some("600"));
    assert_eq!(answer.json()["error"]["code"], "rate_limit_exceeded");

    mock.script("m", Reply::provider_error("gemini", "quota").unwrap());
    let details = &ask(&mock, &Spoken::of("gemini").request()).await.json()["error"]["details"];
    assert!(
        details[0]["violations"][0]["quotaId"]
            .as_str()
            .unwrap()
            .contains("PerDay")
    );
    assert_eq!(details[1]["retryDelay"], "37025s");
    assert!(Reply::provider_error("openai", "no_such_error").is_none());
}

#[tokio::test]
async fn a_script_file_has_the_newer_faults_too() {
    let mock = Mock::start().await.unwrap();
    let file = r#"{
        "models": {"m": [
            {"provider_error": "anthropic/overloaded"},
            {"tokens": ["a"], "fault": {"failed_in_band": {"after_tokens": 0, "code": "x"}}},
            {"tokens": ["a"], "long_reasoning": {"count": 3, "every_ms": 1}, "stay_open": true}
        ]},
        "outages": [
            {"with": {"status": 503}, "model": "n", "requests": 1},
            {"with": {"provider_error": "proxy/nginx_502"}, "path": "/nowhere", "for_ms": 60000},
            {"with": "refuse_connections", "after_ms": 60000}
        ]
    }"#;
    ScriptFile::from_json(file).unwrap().apply(&mock);
    assert_eq!(ask(&mock, &chat("m", true)).await.status(), 529);
    let responses = Spoken::of("openai-responses");
    let failed = ask(&mock, &responses.request()).await;
    assert_eq!(
        responses.read(&failed.body()).unwrap().error.as_deref(),
        Some("x")
    );
    let open = ask(&mock, &responses.request()).await;
    let seen = responses.read(&open.body()).unwrap();
    assert_eq!((seen.reasoning.len(), open.end), (3, End::Open));

    assert_eq!(ask(&mock, &chat("n", false)).await.status(), 503);
    assert_eq!(ask(&mock, &chat("n", false)).await.status(), 200);
    let nowhere = client::request("POST", "/nowhere", "{}");
    assert_eq!(ask(&mock, &nowhere).await.status(), 502);
    mock.recover();
    assert_eq!(ask(&mock, &nowhere).await.status(), 404);
}

#[test]
fn a_script_file_with_an_unknown_name_is_refused() {
    for file in [
        r#"{"models": {"m": [{"provider_error": "openai/no_such_error"}]}}"#,
        r#"{"outages": [{"with": "no_such_outage"}]}"#,
        r#"{"outages": [{"with": {"status": 503}, "modell": "m"}]}"#,
    ] {
        assert!(ScriptFile::from_json(file).is_err(), "{file}");
    }
}
