//! Bytes in a few slices.

use backstay_dialect::Edits;
use bytes::{Bytes, BytesMut};
use std::{collections::VecDeque, fmt, ops::Range, slice};

/// The content of a request: one piece, or the caller's bytes with spans of them replaced.
///
/// Clones share the bytes. `Debug` prints lengths only.
#[derive(Clone, Default)]
pub struct Segments(Slices);

/// Empty slices are not sent.
#[derive(Clone)]
enum Slices {
    Whole(Bytes),
    /// One span was replaced. Boxed: a request is moved from layer to layer, and most are whole.
    Spliced(Box<[Bytes; 3]>),
    /// Any number.
    Edited(VecDeque<Bytes>),
}

// === impl Segments ===

impl Segments {
    /// The length in bytes.
    pub fn len(&self) -> usize {
        self.iter().map(Bytes::len).sum()
    }

    /// Whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// The slices, none of them empty.
    pub fn iter(&self) -> impl Iterator<Item = &Bytes> {
        let (slices, more) = match &self.0 {
            Slices::Whole(only) => (slice::from_ref(only), None),
            Slices::Spliced(slices) => (slices.as_slice(), None),
            Slices::Edited(slices) => (&[][..], Some(slices)),
        };
        let slices = slices.iter().chain(more.into_iter().flatten());
        slices.filter(|slice| !slice.is_empty())
    }

    /// All in one piece. Copies unless it is in one piece already.
    pub fn to_bytes(&self) -> Bytes {
        let mut slices = self.iter();
        match (slices.next(), slices.next()) {
            (None, _) => Bytes::new(),
            (Some(only), None) => only.clone(),
            _ => {
                let mut all = BytesMut::with_capacity(self.len());
                self.iter().for_each(|slice| all.extend_from_slice(slice));
                all.freeze()
            }
        }
    }

    /// All in one piece, by value.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self.0 {
            Slices::Whole(only) => only,
            Slices::Spliced(_) | Slices::Edited(_) => self.to_bytes(),
        }
    }

    /// These bytes with one span replaced. Copies none of them.
    ///
    /// The span must lie inside of `original`; what lies outside of it is left out.
    pub fn splice(original: &Bytes, span: Range<usize>, replacement: Bytes) -> Self {
        let start = span.start.min(original.len());
        let end = span.end.clamp(start, original.len());
        Self(Slices::Spliced(Box::new([
            original.slice(..start),
            replacement,
            original.slice(end..),
        ])))
    }

    /// These bytes with these changes. Copies none of them.
    pub(crate) fn edited(original: &Bytes, edits: &Edits) -> Self {
        Self(Slices::Edited(edits.slices(original).collect()))
    }

    pub(super) fn take_next(&mut self) -> Option<Bytes> {
        let slices = match &mut self.0 {
            Slices::Whole(only) => slice::from_mut(only),
            Slices::Spliced(slices) => slices.as_mut_slice(),
            Slices::Edited(slices) => return slices.pop_front(),
        };
        slices
            .iter_mut()
            .find(|slice| !slice.is_empty())
            .map(std::mem::take)
    }
}

impl Default for Slices {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl From<Bytes> for Segments {
    fn from(bytes: Bytes) -> Self {
        Self(Slices::Whole(bytes))
    }
}

impl fmt::Debug for Segments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segments")
            .field("bytes", &self.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_splice_shares_the_original() {
        let original = Bytes::from_static(b"abcdef");
        let spliced = Segments::splice(&original, 2..4, Bytes::from_static(b"XYZ"));
        assert_eq!(spliced.to_bytes(), "abXYZef");
        assert_eq!(spliced.len(), 7);
        let first = spliced.iter().next().unwrap();
        assert_eq!(first.as_ptr(), original.as_ptr());
    }

    #[test]
    fn a_span_outside_is_cut() {
        let original = Bytes::from_static(b"ab");
        let spliced = Segments::splice(&original, 5..9, Bytes::from_static(b"X"));
        assert_eq!(spliced.to_bytes(), "abX");
    }
}
