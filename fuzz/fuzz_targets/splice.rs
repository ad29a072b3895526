//! The place of the model, against `serde_json` as the judge.

#![no_main]

use backstay_dialect::{
    AnthropicMessages, Dialect, OpenAiChat, RequestError, RequestFacts, model_literal, model_name,
};
use backstay_fuzz::Members;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// Bodies up to this length are also broken off at every byte.
const MAX_BROKEN_BYTES: usize = 256;

/// Needs an escape, so that the literal is more than its text between quotes.
const OTHER: &str = "x\"\\\n\u{e9}";

fuzz_target!(|body: &[u8]| {
    let facts = read(body);
    if let Ok(facts) = &facts {
        let literal = facts.model.clone().and_then(|span| body.get(span));
        assert!(
            literal.is_some_and(|l| l.len() >= 2 && l.starts_with(b"\"") && l.ends_with(b"\""))
        );
    }
    if let Err(RequestError::Malformed { position, .. }) = facts {
        assert!(position <= body.len());
    }

    let first = without_leading_white(body).first();
    assert_eq!(
        first != Some(&b'{'),
        facts == Err(RequestError::NotAnObject)
    );

    if let Ok(members) = serde_json::from_slice::<Members>(body) {
        judge(body, &facts, members);
        if body.len() <= MAX_BROKEN_BYTES {
            break_off(body);
        }
    }
});

fn read(body: &[u8]) -> Result<RequestFacts, RequestError> {
    let facts = OpenAiChat.read_request("/v1/chat/completions", body);
    assert_eq!(AnthropicMessages.read_request("/v1/messages", body), facts);
    facts
}

/// The body is an object. Says what was to be found in it, and puts another model in.
fn judge(body: &[u8], facts: &Result<RequestFacts, RequestError>, mut members: Members) {
    if members.has_model_in_other_case() {
        // Which complaint comes first is not promised, only that there is one.
        assert!(facts.is_err());
        return;
    }
    let expected = match members.all("model")[..] {
        [] => Err(RequestError::NoModel),
        [Value::String(name)] => Ok(name.as_str()),
        [_] => Err(RequestError::ModelNotAString),
        [..] => Err(RequestError::SecondModel),
    };
    let facts = match (facts, expected) {
        (Ok(facts), Ok(_)) => facts,
        (Err(error), Err(expected)) => return assert_eq!(*error, expected),
        (found, expected) => panic!("{found:?} is not {expected:?}"),
    };
    let Some(span) = facts.model.clone() else {
        panic!("no model in {facts:?}")
    };
    assert_eq!(Ok(&*model_name(&body[span.clone()])), expected);
    // Of members that repeat the last one counts, as in most parsers.
    let streams = members.all("stream").last() == Some(&&Value::Bool(true));
    assert_eq!(facts.stream, streams);

    let spliced = [
        &body[..span.start],
        &model_literal(OTHER),
        &body[span.end..],
    ]
    .concat();
    for (key, value) in &mut members.0 {
        if key == "model" {
            *value = Value::from(OTHER);
        }
    }
    let after = serde_json::from_slice::<Members>(&spliced);
    assert!(after.is_ok_and(|after| after == members));
}

/// What stops before the end of the object is malformed, wherever that is.
fn break_off(body: &[u8]) {
    let start = body.len() - without_leading_white(body).len();
    for end in start + 1..body.len() {
        let part = &body[..end];
        let whole = serde_json::from_slice::<Members>(part).is_ok();
        let malformed = matches!(read(part), Err(RequestError::Malformed { .. }));
        assert_eq!(malformed, !whole, "at {end}");
    }
}

/// `trim_ascii_start` would take a form feed too, which is no white space in JSON.
fn without_leading_white(body: &[u8]) -> &[u8] {
    let white = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    &body[body.iter().take_while(white).count()..]
}
