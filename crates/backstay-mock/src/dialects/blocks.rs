//! Streams that open and close content blocks: Anthropic, Responses, Bedrock and Cohere.

use bytes::Bytes;

/// Content blocks being rendered. A token's bytes carry the block boundaries before it along, so that a
/// token stays one event for whoever counts.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    opened: usize,
    first: Bytes,
    /// What ends the open block.
    end: Bytes,
    boundary: Vec<u8>,
    tokens: Vec<Bytes>,
}

/// Blocks that are all rendered.
#[derive(Debug)]
pub(super) struct Rendered {
    /// What opens the first block.
    pub(super) first: Bytes,
    pub(super) tokens: Vec<Bytes>,
    /// What ends the last block.
    pub(super) last: Bytes,
}

// === impl Blocks ===

impl Blocks {
    /// How many blocks were opened: the index of the next one.
    pub(super) fn next(&self) -> usize {
        self.opened
    }

    /// The index of the open block.
    pub(super) fn index(&self) -> usize {
        self.opened.saturating_sub(1)
    }

    /// Ends the block before, and opens one.
    pub(super) fn open(&mut self, start: Bytes, end: Bytes) {
        let before = std::mem::replace(&mut self.end, end);
        if self.opened == 0 {
            self.first = start;
        } else {
            self.boundary.extend_from_slice(&before);
            self.boundary.extend_from_slice(&start);
        }
        self.opened += 1;
    }

    pub(super) fn token(&mut self, token: &[u8]) {
        let mut bytes = std::mem::take(&mut self.boundary);
        bytes.extend_from_slice(token);
        self.tokens.push(bytes.into());
    }

    /// A delta that is no token.
    pub(super) fn aside(&mut self, delta: &[u8]) {
        self.boundary.extend_from_slice(delta);
    }

    pub(super) fn close(mut self) -> Rendered {
        self.boundary.extend_from_slice(&self.end);
        Rendered {
            first: self.first,
            tokens: self.tokens,
            last: self.boundary.into(),
        }
    }
}
