//! Changes to top-level fields, against `serde_json` as the judge.
#![allow(clippy::unwrap_used)]

use std::fmt;

use backstay_dialect::{
    Dialect, Edits, OpenAiChat, Patch, PatchError, RequestError, model_literal, model_name,
};
use bytes::Bytes;
use proptest::prelude::*;
use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

fn patched(body: &str, patch: &str) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let edits = Patch::parse(patch).unwrap().edits(&body).unwrap();
    text_of(&edits, &body)
}

fn text_of(edits: &Edits, body: &Bytes) -> String {
    let slices: Vec<Bytes> = edits.slices(body).collect();
    assert!(slices.iter().all(|slice| !slice.is_empty()));
    let text = slices.concat();
    assert_eq!(text.len(), edits.length(body.len()));
    String::from_utf8(text).unwrap()
}

#[test]
fn a_value_overrides_null_removes_and_absence_keeps() {
    for (body, patch, expected) in [
        (r#"{"a":1,"b":2}"#, "{}", r#"{"a":1,"b":2}"#),
        (r#"{"a":1,"b":2}"#, r#"{"a":[3]}"#, r#"{"a":[3],"b":2}"#),
        // Removed: first, middle, last, only, all, and several in a row.
        (
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"a":null}"#,
            r#"{"b":2,"c":3}"#,
        ),
        (
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"b":null}"#,
            r#"{"a":1,"c":3}"#,
        ),
        (
            r#"{"a":1,"b":2,"c":3}"#,
            r#"{"c":null}"#,
            r#"{"a":1,"b":2}"#,
        ),
        (r#"{ "a" : 1 }"#, r#"{"a":null}"#, r#"{  }"#),
        (r#"{"a":1,"b":2}"#, r#"{"b":null,"a":null}"#, "{}"),
        (
            r#"{"a":1,"b":2,"c":3,"d":4}"#,
            r#"{"b":null,"c":null}"#,
            r#"{"a":1,"d":4}"#,
        ),
        (
            r#"{"a":1,"b":2,"c":3,"d":4}"#,
            r#"{"a":null,"b":null,"d":null}"#,
            r#"{"c":3}"#,
        ),
        // Added: to something, to nothing, to what is removed.
        (
            r#"{"a":1}"#,
            r#"{"x":0,"y":"z"}"#,
            r#"{"x":0,"y":"z","a":1}"#,
        ),
        ("{}", r#"{"x":0}"#, r#"{"x":0}"#),
        (" { \n } ", r#"{"x":0}"#, " {\"x\":0 \n } "),
        (r#"{"a":1}"#, r#"{"a":null,"x":0}"#, r#"{"x":0}"#),
        (r#"{"a":1}"#, r#"{"x":null}"#, r#"{"a":1}"#),
        // One level deep.
        (
            r#"{"a":{"b":1,"c":2},"b":3}"#,
            r#"{"a":{"b":null}}"#,
            r#"{"a":{"b":null},"b":3}"#,
        ),
        // Keys that repeat, and keys that are spelled with escapes.
        (
            r#"{"a":1,"b":2,"a":3}"#,
            r#"{"a":4}"#,
            r#"{"a":4,"b":2,"a":4}"#,
        ),
        (r#"{"a":1,"b":2,"a":3}"#, r#"{"a":null}"#, r#"{"b":2}"#),
        (r#"{"\u0061":1}"#, r#"{"a":2}"#, r#"{"\u0061":2}"#),
        (r#"{"a":1}"#, r#"{"\u0061":2}"#, r#"{"a":2}"#),
        (r#"{"A":1}"#, r#"{"a":2}"#, r#"{"a":2,"A":1}"#),
        // Values are sent as they are written.
        (r#"{"a":1}"#, r#"{"a":1.50e+2}"#, r#"{"a":1.50e+2}"#),
        (
            r#"{"s":"{\"a\":1}"}"#,
            r#"{"a":2}"#,
            r#"{"a":2,"s":"{\"a\":1}"}"#,
        ),
    ] {
        assert_eq!(patched(body, patch), expected, "{body} with {patch}");
    }
}

#[test]
fn a_long_key_is_told_with_escapes_too() {
    let key = "k".repeat(300);
    let body = format!(r#"{{"\u006b{}":1}}"#, &key[1..]);
    assert_eq!(patched(&body, &format!(r#"{{"{key}":null}}"#)), "{}");
}

#[test]
fn a_patch_that_cannot_be_meant_is_refused_where_it_is_written() {
    for (text, error) in [
        (r#"{"model":"m"}"#, PatchError::NamesModel),
        (r#"{"Model":null}"#, PatchError::NamesModel),
        (r#"{"mod\u0065l":"m"}"#, PatchError::NamesModel),
    ] {
        assert_eq!(Patch::parse(text), Err(error), "{text}");
    }
    let twice = Patch::parse(r#"{"a":1,"\u0061":null}"#);
    assert!(matches!(twice, Err(PatchError::Repeated { key, .. }) if &*key == "a"));
    for text in [
        "",
        "null",
        "[]",
        "{",
        "{}{}",
        r#"{"a":tru}"#,
        r#"{"a":1,}"#,
        "{a:1}",
        "\u{feff}{}",
    ] {
        let refused = text.parse::<Patch>();
        assert!(
            matches!(refused, Err(PatchError::NotAnObject { .. })),
            "{text}"
        );
    }
    assert!(Patch::parse("{}").unwrap().is_empty());
    // Not the request's model.
    assert!(Patch::parse(r#"{"models":[],"fallback":{"model":"m"}}"#).is_ok());
}

#[test]
fn what_becomes_of_the_stream_can_be_asked() {
    for (patch, stream) in [
        ("{}", None),
        (r#"{"a":{"stream":true}}"#, None),
        (r#"{"stream":true}"#, Some(true)),
        (r#"{"stream":false}"#, Some(false)),
        (r#"{"stream":null}"#, Some(false)),
    ] {
        assert_eq!(Patch::parse(patch).unwrap().stream(), stream, "{patch}");
    }
}

#[test]
fn a_body_that_is_no_object_or_breaks_off_is_not_patched() {
    let patch = Patch::parse(r#"{"a":1}"#).unwrap();
    for body in ["", "[]", "7"] {
        assert_eq!(patch.edits(body.as_bytes()), Err(RequestError::NotAnObject));
    }
    let whole = r#"{"b":"\"","a":[{}]}"#;
    for end in 1..whole.len() {
        let error = patch.edits(&whole.as_bytes()[..end]);
        assert!(
            matches!(error, Err(RequestError::Malformed { .. })),
            "at {end}"
        );
    }
}

#[test]
fn the_model_goes_in_with_the_patch_and_no_byte_is_copied() {
    let prompt = "x".repeat(1 << 16);
    let body = Bytes::from(format!(
        r#"{{"model":"a","user":"u","messages":"{prompt}","n":1}}"#
    ));
    let mut edits = Patch::parse(r#"{"user":null,"n":2,"top_p":1}"#)
        .unwrap()
        .edits(&body)
        .unwrap();
    let model = OpenAiChat.read_request("/", &body).unwrap().model.unwrap();
    edits.replace(model, model_literal("b"));

    let expected = format!(r#"{{"top_p":1,"model":"b","messages":"{prompt}","n":2}}"#);
    assert_eq!(text_of(&edits, &body), expected);
    let largest = edits.slices(&body).max_by_key(Bytes::len).unwrap();
    assert!(body.as_ptr_range().contains(&largest.as_ptr()));
}

#[test]
fn edits_keep_their_order_and_do_not_overlap() {
    let body = Bytes::from_static(b"0123456789");
    let put = |text: &'static str| Bytes::from_static(text.as_bytes());
    let mut edits = Edits::new();
    edits.replace(8..9, put("c"));
    edits.replace(2..4, put("a"));
    edits.replace(4..4, put("b"));
    edits.replace(2..2, put("<"));
    // These overlap one that is there.
    edits.replace(3..5, put("!"));
    edits.replace(0..10, put("!"));
    edits.replace(3..3, put("!"));
    assert_eq!(text_of(&edits, &body), "01<ab4567c9");
    assert_eq!(edits.iter().count(), 4);

    // Of another, shorter body only what there is.
    let slices: Vec<Bytes> = edits.slices(&Bytes::from_static(b"012")).collect();
    assert_eq!(slices.concat(), b"01<abc");
}

#[test]
fn nothing_of_a_value_is_printed() {
    let patch = Patch::parse(r#"{"user":"secret","n":null}"#).unwrap();
    let edits = patch.edits(b"{}").unwrap();
    for printed in [format!("{patch:?}"), format!("{edits:?}")] {
        assert!(!printed.contains("secret"), "{printed}");
    }
}

/// The members of an object as they stand, keys that repeat included.
#[derive(Clone, Debug, PartialEq)]
struct Members(Vec<(String, Value)>);

impl Members {
    fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap()
    }

    /// What the patch is to make of these, written without any regard to bytes.
    fn patched(&self, patch: &Self) -> Self {
        let has = |key: &str| self.0.iter().any(|(other, _)| other == key);
        let added = patch
            .0
            .iter()
            .filter(|(key, value)| !has(key) && !value.is_null());
        let kept = self.0.iter().filter_map(|(key, value)| {
            let field = patch.0.iter().find(|(other, _)| other == key);
            let value = field.map_or(value, |(_, value)| value);
            (field.is_none() || !value.is_null()).then(|| (key.clone(), value.clone()))
        });
        Self(added.cloned().chain(kept).collect())
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(serde_json::json!([{"a": 1, "b": "}\",\"c\":"}, []])),
    ]
}

/// A member as text: its key, with its first letter escaped or not, and white space around.
fn member() -> impl Strategy<Value = String> {
    let key = prop::sample::select(&["a", "b", "c", "d", "model", "stream"][..]);
    let space = prop::sample::select(&["", " ", "\n\t"][..]);
    (key, value(), any::<bool>(), space).prop_map(|(key, value, escaped, space)| {
        let (first, rest) = key.split_at(1);
        let first = if escaped {
            format!("\\u{:04x}", first.as_bytes()[0])
        } else {
            first.to_owned()
        };
        format!("{space}\"{first}{rest}\"{space}:{space}{value}{space}")
    })
}

proptest! {
    #[test]
    fn the_document_is_the_same_but_for_the_patched_fields(
        members in proptest::collection::vec(member(), 0..7),
        patch in proptest::collection::btree_map("[abcd]|[xy]|stream", value(), 0..5),
    ) {
        let body = format!("{{{}}}", members.join(","));
        let patch = serde_json::to_string(&patch).unwrap();
        let expected = Members::parse(&body).patched(&Members::parse(&patch));
        prop_assert_eq!(Members::parse(&patched(&body, &patch)), expected);
    }

    #[test]
    fn the_model_and_a_patch_do_not_get_into_each_others_way(
        members in proptest::collection::vec(member(), 0..5),
        at in any::<prop::sample::Index>(),
        patch in proptest::collection::btree_map("[abcd]|[xy]|stream", value(), 0..5),
        name in any::<String>(),
    ) {
        let mut members: Vec<_> = members.into_iter().filter(|m| !m.contains("odel\"")).collect();
        members.insert(at.index(members.len() + 1), r#""model":"old""#.to_owned());
        let body = Bytes::from(format!("{{{}}}", members.join(",")));
        let patch = serde_json::to_string(&patch).unwrap();

        let mut edits = Patch::parse(&patch).unwrap().edits(&body).unwrap();
        let model = OpenAiChat.read_request("/", &body).unwrap().model.unwrap();
        edits.replace(model, model_literal(&name));
        let sent = text_of(&edits, &body);

        let mut expected = Members::parse(std::str::from_utf8(&body).unwrap()).patched(&Members::parse(&patch));
        for (key, value) in &mut expected.0 {
            if key == "model" {
                *value = Value::from(name.clone());
            }
        }
        prop_assert_eq!(Members::parse(&sent), expected);
        let span = OpenAiChat.read_request("/", sent.as_bytes()).unwrap().model.unwrap();
        prop_assert_eq!(model_name(&sent.as_bytes()[span]), name);
    }
}
