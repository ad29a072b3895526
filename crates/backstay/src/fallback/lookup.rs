//! The dialect that is spoken where a call goes.

use backstay_dialect::{Dialect, detect};
use http::{Uri, uri::Authority};
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

/// Looks dialects up, and remembers the first place that was asked for: most stacks, and most targets, call
/// one.
#[derive(Default)]
pub(super) struct LookUp(OnceLock<Seen>);

struct Seen {
    authority: Box<str>,
    path: Box<str>,
    dialect: &'static Arc<dyn Dialect>,
}

// === impl LookUp ===

impl LookUp {
    /// The dialect that is spoken at this host and on this path.
    pub(super) fn at(&self, uri: &Uri) -> &'static Arc<dyn Dialect> {
        let authority = uri.authority().map_or("", Authority::as_str);
        let path = uri.path();
        match self.0.get() {
            Some(seen) if *seen.path == *path && *seen.authority == *authority => seen.dialect,
            seen => {
                let dialect = detect(uri.host().unwrap_or_default(), path);
                // What may have a password in it is not kept.
                if seen.is_none() && !authority.contains('@') {
                    self.0.get_or_init(|| Seen {
                        authority: authority.into(),
                        path: path.into(),
                        dialect,
                    });
                }
                dialect
            }
        }
    }
}

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dialect = self.0.get().map(|seen| seen.dialect.name());
        f.debug_tuple("LookUp").field(&dialect).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_place_has_its_own_dialect_whatever_was_asked_for_first() {
        let places = [
            ("https://api.openai.com/v1/chat/completions", "openai-chat"),
            ("https://api.groq.com/v1/chat/completions", "groq"),
            ("https://api.openai.com/v1/messages", "anthropic-messages"),
            ("/v1/chat/completions?x=1", "openai-chat"),
            ("https://me:secret@api.groq.com/chat/completions", "groq"),
        ];
        for first in 0..places.len() {
            let look_up = LookUp::default();
            let (asked, _) = places[first];
            look_up.at(&Uri::from_static(asked));
            for (place, name) in places {
                assert_eq!(look_up.at(&Uri::from_static(place)).name(), name, "{place}");
            }
        }
    }

    #[test]
    fn a_password_is_not_kept() {
        let look_up = LookUp::default();
        look_up.at(&Uri::from_static(
            "https://me:secret@api.groq.com/chat/completions",
        ));
        assert!(look_up.0.get().is_none());
    }
}
