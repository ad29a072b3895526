//! Changes to top-level fields, against `serde_json` as the judge.

#![no_main]

use backstay_dialect::{
    Dialect, Edits, OpenAiChat, Patch, PatchError, RequestError, model_literal, model_name,
};
use backstay_fuzz::Members;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Needs an escape, so that the literal is more than its text between quotes.
const OTHER: &str = "x\"\\\n\u{e9}";

fuzz_target!(|input: &[u8]| {
    let Some(line) = input.iter().position(|&byte| byte == b'\n') else {
        return;
    };
    let body = Bytes::copy_from_slice(&input[line + 1..]);
    let Ok(text) = std::str::from_utf8(&input[..line]) else {
        return;
    };
    let fields = serde_json::from_str::<Members>(text).ok();
    let patch = match Patch::parse(text) {
        Ok(patch) => patch,
        Err(error) => return assert_refused(&error, fields.as_ref()),
    };
    let Some(fields) = fields else {
        panic!("{text} is no JSON object")
    };

    let edits = match patch.edits(&body) {
        Ok(edits) => edits,
        Err(error) => {
            if let RequestError::Malformed { position, .. } = error {
                assert!(position <= body.len());
            }
            assert!(serde_json::from_slice::<Members>(&body).is_err());
            return;
        }
    };
    let sent = apply(&edits, &body);
    let Ok(before) = serde_json::from_slice::<Members>(&body) else {
        return;
    };
    let expected = patched(&before, &fields);
    assert!(serde_json::from_slice::<Members>(&sent).is_ok_and(|after| after == expected));
    with_model(edits, &body, expected);
});

/// A patch is refused for a reason.
fn assert_refused(error: &PatchError, fields: Option<&Members>) {
    let keys = || {
        fields
            .into_iter()
            .flat_map(|f| f.0.iter().map(|(key, _)| key))
    };
    let repeats = |name: &str| keys().filter(|key| *key == name).count() > 1;
    let expected = match error {
        PatchError::NotAnObject { .. } => fields.is_none(),
        PatchError::NamesModel => keys().any(|key| key.eq_ignore_ascii_case("model")),
        PatchError::Repeated { key, .. } => repeats(key),
        other => panic!("{other:?} is not known here"),
    };
    assert!(expected, "{error:?}");
}

/// What the patch is to make of the members, written without any regard to bytes.
fn patched(before: &Members, fields: &Members) -> Members {
    let has = |key: &str| before.0.iter().any(|(other, _)| other == key);
    let added = fields
        .0
        .iter()
        .filter(|(key, value)| !has(key) && !value.is_null());
    let kept = before.0.iter().filter_map(|(key, value)| {
        let field = fields.0.iter().find(|(other, _)| other == key);
        let value = field.map_or(value, |(_, value)| value);
        (field.is_none() || !value.is_null()).then(|| (key.clone(), value.clone()))
    });
    Members(added.cloned().chain(kept).collect())
}

/// Puts another model in with the patch.
fn with_model(mut edits: Edits, body: &Bytes, mut expected: Members) {
    let Ok(facts) = OpenAiChat.read_request("/v1/chat/completions", body) else {
        return;
    };
    let Some(span) = facts.model else {
        panic!("no model in {facts:?}")
    };
    edits.replace(span, model_literal(OTHER));
    for (key, value) in &mut expected.0 {
        if key == "model" {
            *value = Value::from(OTHER);
        }
    }
    let sent = apply(&edits, body);
    assert!(serde_json::from_slice::<Members>(&sent).is_ok_and(|after| after == expected));
    let span = OpenAiChat
        .read_request("/", &sent)
        .ok()
        .and_then(|facts| facts.model);
    assert!(span.is_some_and(|span| model_name(&sent[span]) == OTHER));
}

fn apply(edits: &Edits, body: &Bytes) -> Vec<u8> {
    let mut end = 0;
    for (span, _) in edits.iter() {
        assert!(end <= span.start && span.start <= span.end && span.end <= body.len());
        end = span.end;
    }
    let slices: Vec<Bytes> = edits.slices(body).collect();
    let sent = slices.concat();
    assert_eq!(sent.len(), edits.length(body.len()));
    sent
}
