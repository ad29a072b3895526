//! What a target patches is what its provider gets, made from the original each time.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::fallback::{Backoff, Target, Targets};
use backstay_mock::{Logged, Mock, Reply, Script};
use backstay_tests::{
    MS,
    answer::read,
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1, http2},
    within,
};
use serde_json::{Value, json};

const PATCH: &str = r#"{"stream_options":null,"temperature":0.5,"nested":{"of":["any","kind"]}}"#;

fn document(entry: &Logged) -> Value {
    serde_json::from_slice(&entry.body).unwrap()
}

fn assert_length(entry: &Logged) {
    let length = entry.headers.get("content-length").unwrap();
    assert_eq!(*length, entry.body.len().to_string());
}

#[tokio::test]
async fn each_attempt_is_patched_from_the_original() {
    for client in [http1(), http2()] {
        for spoken in SPOKEN {
            let mock = Mock::start().await.unwrap();
            mock.script(spoken.model("first"), Reply::status(500));
            let script = Script::new()
                .attempt(Reply::status(500))
                .then(Reply::text("Here"));
            mock.script(spoken.model("third"), script);
            mock.script(spoken.model("second"), Reply::status(500));
            let targets = Targets::new(spoken.target("first").retries(0))
                .then(spoken.target("second").retries(0).patch(PATCH))
                .then(spoken.target("third").retries(1).patch(r#"{"top_p":0.9}"#))
                .backoff(Backoff::new(MS, MS));
            let stack = Setup::new(targets).over(client.clone());
            let request = spoken.request(&mock.url(), "first");
            let response = within(stack.call(request)).await;
            assert!(read(response.unwrap()).await.error.is_none(), "{spoken:?}");
            let log = mock.log();
            assert_eq!(log.len(), 4, "{spoken:?}");
            log.iter().for_each(assert_length);

            let original = document(&log[0]);
            let with = |name: &str, changes: &[(&str, Option<Value>)]| {
                let mut expected = original.clone();
                let fields = expected.as_object_mut().unwrap();
                if let Some(model) = fields.get_mut("model") {
                    *model = spoken.model(name).into();
                }
                for (field, value) in changes {
                    match value {
                        Some(value) => fields.insert((*field).into(), value.clone()),
                        None => fields.remove(*field),
                    };
                }
                expected
            };
            let second = [
                ("stream_options", None),
                ("temperature", Some(json!(0.5))),
                ("nested", Some(json!({"of": ["any", "kind"]}))),
            ];
            assert_eq!(document(&log[1]), with("second", &second), "{spoken:?}");
            let third = [("top_p", Some(json!(0.9)))];
            for entry in &log[2..] {
                assert_eq!(document(entry), with("third", &third), "{spoken:?}");
            }
        }
    }
}

#[tokio::test]
async fn null_removes_a_value_overrides_and_absence_keeps() {
    let openai = Spoken::of("openai");
    let mock = Mock::start().await.unwrap();
    mock.script_default(Reply::text("Here"));
    let patch = r#"{"temperature":null,"not_there":null,"max_tokens":7}"#;
    let target = Target::model("second").patch(patch);
    let stack = Setup::new(Targets::new(target)).http1();
    let body = r#"{"temperature":1,"model":"first","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"\"temperature\":1"}]}"#;
    let mut request = openai.request(&mock.url(), "first").map(|_| body.into());
    // The length that the caller gave is that of other bytes.
    let length = body.len().into();
    request.headers_mut().insert("content-length", length);
    let response = within(stack.call(request)).await;
    assert!(read(response.unwrap()).await.error.is_none());
    let entry = &mock.log()[0];
    assert_length(entry);
    let expected = json!({
        "model": "second", "stream": true, "max_tokens": 7,
        "messages": [{"role": "user", "content": "\"temperature\":1"}],
    });
    assert_eq!(document(entry), expected);
}
