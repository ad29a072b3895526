//! Whether a JSON answer arrived whole, against `serde_json` as the judge.

use backstay_dialect::JsonEnd;
use proptest::prelude::*;

fn complete(pieces: &[&[u8]]) -> bool {
    let mut end = JsonEnd::new();
    for piece in pieces {
        end.feed(piece);
    }
    end.is_complete()
}

#[test]
fn what_is_whole() {
    for (document, whole) in [
        ("{}", true),
        (" [1, {\"a\": \"]\\\"\"}] \r\n", true),
        ("", false),
        (" ", false),
        ("{", false),
        ("{\"a\":\"}", false),
        ("{\"a\":\"\\\"}", false),
        ("{}}", false),
        ("{} x", false),
        ("{}{}", false),
        ("null", true),
        ("8", true),
        (" -1.5e3\n", true),
        ("\"1.5.9\"", true),
        ("\"1.5", false),
        ("8 9", false),
        ("8}", false),
        ("true{", false),
        ("}", false),
        ("x{}", false),
    ] {
        assert_eq!(complete(&[document.as_bytes()]), whole, "{document}");
    }
}

proptest! {
    #[test]
    fn whole_only_at_the_end_however_it_is_cut(text in any::<String>(), keys in proptest::collection::vec("[{}\\[\\]\"\\\\a]{0,5}", 0..5), cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let members: serde_json::Map<_, _> = keys.into_iter().map(|key| (key.clone(), serde_json::json!([{key: text}, 1]))).collect();
        let document = serde_json::to_string(&members).unwrap();
        let bytes = document.as_bytes();
        for end in 0..=bytes.len() {
            prop_assert_eq!(complete(&[&bytes[..end]]), serde_json::from_slice::<serde_json::Value>(&bytes[..end]).is_ok());
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let pieces: Vec<_> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert!(complete(&pieces));
    }
}
