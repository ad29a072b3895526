//! Where a request names its model, against `serde_json` as the judge.

use backstay_dialect::{
    AnthropicMessages, Dialect, OpenAiChat, Plain, RequestError, RequestFacts, model_literal,
    model_name,
};
use proptest::prelude::*;
use serde_json::{Map, Value};

fn read(body: &[u8]) -> Result<RequestFacts, RequestError> {
    let facts = OpenAiChat.read_request("/v1/chat/completions", body);
    assert_eq!(AnthropicMessages.read_request("/v1/messages", body), facts);
    facts
}

/// The model's literal as found.
fn found(body: &str) -> Option<&str> {
    body.get(read(body.as_bytes()).ok()?.model?)
}

#[test]
fn the_top_level_model_and_no_other() {
    for (body, literal) in [
        (r#"{"model":"m"}"#, r#""m""#),
        (" \t\r\n{ \"model\" :\n \"m\" } trailing", r#""m""#),
        (
            r#"{"messages":[{"model":"x","c":"}\"model\":\"y\""}],"model":"m"}"#,
            r#""m""#,
        ),
        (
            r#"{"a":{"model":"x"},"model":"m","b":{"model":"y"}}"#,
            r#""m""#,
        ),
        (r#"{"a":"\\","model":"m"}"#, r#""m""#),
        (r#"{"a":"\\\"","model":"m"}"#, r#""m""#),
        (r#"{"models":"x","remodel":"y","model":"m"}"#, r#""m""#),
        (r#"{"a":[{"Model":"x"}],"model":"m"}"#, r#""m""#),
        (r#"{"mod\u0065l":"m"}"#, r#""m""#),
        (r#"{"model":"a\"b\\"}"#, r#""a\"b\\""#),
        (
            r#"{"a":-1.5e+3,"b":null,"c":true,"d":[],"e":{},"model":""}"#,
            r#""""#,
        ),
    ] {
        assert_eq!(found(body), Some(literal), "{body}");
    }
}

#[test]
fn what_leaves_the_model_open_is_refused() {
    use RequestError::*;
    for (body, error) in [
        ("", NotAnObject),
        ("  ", NotAnObject),
        ("[]", NotAnObject),
        ("\"model\"", NotAnObject),
        ("\u{feff}{\"model\":\"m\"}", NotAnObject),
        ("{}", NoModel),
        (r#"{"a":{"model":"m"}}"#, NoModel),
        (r#"{"mod\\u0065l":"m"}"#, NoModel),
        (r#"{"model":"a","model":"b"}"#, SecondModel),
        (r#"{"model":"a","mod\u0065l":"a"}"#, SecondModel),
        (r#"{"model":1,"model":"b"}"#, SecondModel),
        (r#"{"Model":"m"}"#, ModelInOtherCase),
        (r#"{"Model":"x","model":"m"}"#, ModelInOtherCase),
        (r#"{"model":"m","MODEL":"m"}"#, ModelInOtherCase),
        (r#"{"model":"m","M\u006fdel":"m"}"#, ModelInOtherCase),
        (r#"{"model":null}"#, ModelNotAString),
        (r#"{"model":["m"]}"#, ModelNotAString),
        (r#"{"model":{"model":"m"}}"#, ModelNotAString),
    ] {
        assert_eq!(read(body.as_bytes()), Err(error), "{body}");
    }
    for body in [
        "{",
        "{\"",
        "{\"model",
        "{\"model\"",
        "{\"model\":",
        "{\"model\":\"m",
        "{\"model\":\"m\"",
        "{\"model\":\"m\",",
        "{\"model\":\"m\\\"}",
        "{\"model\" \"m\"}",
        "{\"model\":}",
        "{model:\"m\"}",
        "{\"a\":[{},\"model\":\"m\"",
        "{\"a\":\"\\",
    ] {
        let error = read(body.as_bytes());
        assert!(
            matches!(error, Err(Malformed { position, .. }) if position <= body.len()),
            "{body} {error:?}"
        );
    }
}

#[test]
fn a_document_that_breaks_off_is_malformed_at_its_end() {
    let body = concat!(
        r#"{"messages":[{"role":"system","content":"Say \"{\" or \\, in \u00e9\\\"]"},"#,
        r#"[[12,-3.5e1,[]],{"a":{"}":null}}],"0123456789abcdef0123456789abcdef0123456789abcdef"],"#,
        "\n  \"mod\\u0065l\" : \"gpt-4o\" ,\t\"temperature\":0.2,\"stream\":true}",
    );
    assert_eq!(found(body), Some(r#""gpt-4o""#));
    let start = body.find('{').unwrap() + 1;
    for end in start..body.len() {
        let error = read(&body.as_bytes()[..end]);
        assert!(
            matches!(error, Err(RequestError::Malformed { position, .. }) if position == end),
            "{end} {error:?}"
        );
    }
}

#[test]
fn what_is_no_json_is_malformed_where_it_stands() {
    for (body, at) in [
        (r#"{model":"m"}"#, 1),
        (r#"{ "model" "m"}"#, 10),
        (r#"{"model":"m" "stream":true}"#, 13),
        (r#"{"model":"m",}"#, 13),
        (r#"{"model":"m","a":}"#, 17),
        (r#"{"model":"m","a":  ,"b":1}"#, 19),
        (r#"{"model":"m","a":[1]]}"#, 20),
        (r#"{"model":"m","a":"b"c}"#, 20),
    ] {
        let error = read(body.as_bytes());
        assert!(
            matches!(error, Err(RequestError::Malformed { position, .. }) if position == at),
            "{body} {error:?}"
        );
    }
}

#[test]
fn stream_is_a_top_level_true() {
    for (body, stream) in [
        (r#"{"model":"m","stream":true}"#, true),
        (r#"{"stream" : true ,"model":"m"}"#, true),
        (r#"{"str\u0065am":true,"model":"m"}"#, true),
        (r#"{"model":"m"}"#, false),
        (r#"{"model":"m","stream":false}"#, false),
        (r#"{"model":"m","stream":"true"}"#, false),
        (r#"{"model":"m","stream":null}"#, false),
        (r#"{"model":"m","a":{"stream":true}}"#, false),
        (r#"{"model":"m","stream_options":true}"#, false),
    ] {
        assert_eq!(
            read(body.as_bytes()).map(|facts| facts.stream),
            Ok(stream),
            "{body}"
        );
    }
}

#[test]
fn plain_takes_anything() {
    for body in [&b""[..], b"\xff\x00", br#"{"model":1,"stream":true}"#] {
        assert_eq!(Plain.read_request("/", body), Ok(RequestFacts::default()));
    }
}

#[test]
fn names_that_are_hard_to_read() {
    for (literal, name) in [
        (&br#""\ud83d\ude00""#[..], "😀"),
        (br#""\ud83d""#, "\u{fffd}"),
        (br#""\ud83d\u0041""#, "\u{fffd}A"),
        (br#""\uZZ""#, "\u{fffd}ZZ"),
        (br#""\n\t\/\q""#, "\n\t/\\q"),
        (b"\"a\xffb\"", "a\u{fffd}b"),
        (b"\"", ""),
        (b"", ""),
    ] {
        assert_eq!(model_name(literal), name);
    }
}

#[test]
fn large_and_deep_documents() {
    let body = format!(
        r#"{{"messages":[{{"content":"{}"}}],"model":"m"}}"#,
        "a{\\n".repeat(1 << 20)
    );
    assert_eq!(found(&body), Some(r#""m""#));
    let deep = format!(
        r#"{{"a":{}{},"model":"m"}}"#,
        "[".repeat(1 << 20),
        "]".repeat(1 << 20)
    );
    assert_eq!(found(&deep), Some(r#""m""#));
}

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[\\x00-\\x7f]{0,12}",
        Just("model".to_owned()),
        Just("stream".to_owned()),
        Just("\"model\":\"x\"".to_owned()),
        any::<String>(),
        // What looks like structure, in every place of the words that a reader takes at once.
        r#"[\[\]{}":,\\a-k]{0,90}"#,
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|eighths| Value::from(f64::from(eighths) / 8.0)),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::hash_map(text.clone(), inner, 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

proptest! {
    #[test]
    fn agrees_with_a_parser(document in any_json(), model in any::<String>(), named in any::<bool>(), pretty in any::<bool>()) {
        let mut document = document;
        if let (true, Value::Object(members)) = (named, &mut document) {
            members.insert("model".to_owned(), Value::from(model));
        }
        let body = if pretty { serde_json::to_string_pretty(&document) } else { serde_json::to_string(&document) };
        let body = body.unwrap();
        let expected = match document.as_object().map(|members| members.get("model")) {
            None => Err(RequestError::NotAnObject),
            Some(None) => Err(RequestError::NoModel),
            Some(Some(Value::String(name))) => Ok(name.clone()),
            Some(Some(_)) => Err(RequestError::ModelNotAString),
        };
        let facts = read(body.as_bytes());
        prop_assert_eq!(
            facts.clone().map(|facts| facts.model.map(|span| model_name(&body.as_bytes()[span]).into_owned())),
            expected.map(Some)
        );
        if let Ok(facts) = facts {
            prop_assert_eq!(facts.stream, document["stream"] == Value::Bool(true));
            // Another name goes in between, and nothing else changes.
            let span = facts.model.unwrap();
            let spliced = [&body.as_bytes()[..span.start], &model_literal("other\"\n"), &body.as_bytes()[span.end..]].concat();
            document["model"] = Value::from("other\"\n");
            prop_assert_eq!(serde_json::from_slice::<Value>(&spliced).unwrap(), document);
        }
    }

    #[test]
    fn a_request_that_breaks_off_is_malformed(document in any_json(), cut in any::<prop::sample::Index>()) {
        let body = serde_json::to_string(&serde_json::json!({"model": "m", "rest": document})).unwrap();
        let cut = 1 + cut.index(body.len() - 1);
        let error = read(&body.as_bytes()[..cut]);
        prop_assert!(matches!(error, Err(RequestError::Malformed { .. })), "{:?}", error);
    }

    #[test]
    fn names_survive_the_literal(name in any::<String>()) {
        let literal = model_literal(&name);
        prop_assert_eq!(&serde_json::from_slice::<String>(&literal).unwrap(), &name);
        prop_assert_eq!(model_name(&literal), name.as_str());
        let theirs = serde_json::to_string(&name).unwrap();
        prop_assert_eq!(model_name(theirs.as_bytes()), name.as_str());
    }

    #[test]
    fn nothing_panics(body in proptest::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(&b"{}[]\",:\\u model"[..])], 0..64)) {
        let _ = read(&body);
        let _ = model_name(&body);
        let _ = OpenAiChat.read_answer(&body);
        let _ = AnthropicMessages.read_answer(&body);
    }
}
