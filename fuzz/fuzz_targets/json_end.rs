//! Whether a document is whole, against `serde_json` as the judge.

#![no_main]

use backstay_dialect::JsonEnd;
use backstay_fuzz::Cut;
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

/// Documents up to this length are also broken off at every byte.
const MAX_BROKEN_BYTES: usize = 256;

fuzz_target!(|input: &[u8]| {
    let Some(cut) = Cut::read(input) else { return };
    let whole = complete([cut.whole]);
    assert_eq!(complete(cut.pieces()), whole);
    assert_eq!(complete(cut.whole.chunks(1)), whole);

    if !is_json(cut.whole) {
        return;
    }
    assert!(whole);
    // The start of a number or a word looks whole: it has no end of its own.
    let bare = !matches!(
        cut.whole.trim_ascii_start().first(),
        Some(b'{' | b'[' | b'"')
    );
    if !bare && cut.whole.len() <= MAX_BROKEN_BYTES {
        for end in 0..cut.whole.len() {
            let part = &cut.whole[..end];
            assert_eq!(complete([part]), is_json(part), "at {end}");
        }
    }
    // Only white space may follow.
    for (more, expected) in [
        (&b" \r\n\t"[..], true),
        (b" {}", false),
        (b" 0", false),
        (b"]", false),
    ] {
        assert_eq!(complete([cut.whole, more]), expected);
    }
});

fn complete<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut end = JsonEnd::new();
    for piece in pieces {
        end.feed(piece);
    }
    end.is_complete()
}

fn is_json(document: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(document).is_ok()
}
