//! Changes to a body, as spans of it and what takes their place.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;

/// Changes to one body: spans of it, each with the bytes that take its place. In order, and none
/// overlaps another.
///
/// The bytes of the body between them are used as they are, so a prompt is neither read nor copied.
/// `Debug` prints counts only.
///
/// ```
/// use backstay_dialect::{Dialect, Edits, OpenAiChat, Patch, model_literal};
/// use bytes::Bytes;
///
/// let body = Bytes::from_static(br#"{"model":"gpt-4o","user":"u1","messages":[]}"#);
/// let model = OpenAiChat.read_request("/v1/chat/completions", &body)?.model;
///
/// let patch: Patch = r#"{"user":null,"top_p":0.9}"#.parse()?;
/// let mut edits = patch.edits(&body)?;
/// edits.replace(model.expect("a chat request names its model"), model_literal("small"));
///
/// let sent: Vec<Bytes> = edits.slices(&body).collect();
/// assert_eq!(sent.concat(), br#"{"top_p":0.9,"model":"small","messages":[]}"#);
/// assert_eq!(edits.length(body.len()), sent.concat().len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Edits {
    list: Vec<(Range<usize>, Bytes)>,
}

// === impl Edits ===

impl Edits {
    /// No changes.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts other bytes in the place of a span. An empty span is a place to insert at; no bytes
    /// remove the span.
    ///
    /// A span that overlaps an earlier one is left as that one has it.
    pub fn replace(&mut self, span: Range<usize>, bytes: Bytes) {
        let at = self
            .list
            .partition_point(|(other, _)| (other.start, other.end) <= (span.start, span.end));
        let (before, after) = self.list.split_at(at);
        let clear = span.start <= span.end
            && before
                .last()
                .is_none_or(|(other, _)| other.end <= span.start)
            && after
                .first()
                .is_none_or(|(other, _)| span.end <= other.start);
        if clear {
            self.list.insert(at, (span, bytes));
        }
    }

    /// Whether nothing changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The spans and what takes their place, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Range<usize>, &Bytes)> {
        self.list.iter().map(|(span, bytes)| (span.clone(), bytes))
    }

    /// The length of the changed body, given that of the body: what `content-length` has to be.
    #[must_use]
    pub fn length(&self, body: usize) -> usize {
        let removed: usize = self.list.iter().map(|(span, _)| span.len()).sum();
        let added: usize = self.list.iter().map(|(_, bytes)| bytes.len()).sum();
        body.saturating_sub(removed).saturating_add(added)
    }

    /// The changed body: slices of the body and what takes the place of the rest, in order, none of
    /// them empty. Copies none of their bytes.
    ///
    /// `body` is the one that the edits were made for; what lies outside of it is left out.
    pub fn slices(&self, body: &Bytes) -> impl Iterator<Item = Bytes> {
        let length = body.len();
        let starts = self.list.iter().map(|(span, _)| span.end);
        let ends = self.list.iter().map(|(span, _)| span.start);
        let kept = std::iter::once(0)
            .chain(starts)
            .zip(ends.chain([length]))
            .map(move |(start, end)| {
                let start = start.min(length);
                body.slice(start..end.clamp(start, length))
            });
        let put = self.list.iter().map(|(_, bytes)| bytes.clone());
        kept.zip(put.chain([Bytes::new()]))
            .flat_map(|(kept, put)| [kept, put])
            .filter(|slice| !slice.is_empty())
    }
}

/// Prints counts only: the bytes are of the request.
impl fmt::Debug for Edits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let added: usize = self.list.iter().map(|(_, bytes)| bytes.len()).sum();
        f.debug_struct("Edits")
            .field("spans", &self.list.len())
            .field("added_bytes", &added)
            .finish()
    }
}
