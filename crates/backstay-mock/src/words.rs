//! The words of replies that have none of their own.

use crate::call::Call;

/// How many words such a reply has.
const COUNT: u64 = 8;

const WORDS: [&str; 24] = [
    "harbour", "mast", "rope", "tide", "wind", "sail", "anchor", "keel", "lantern", "pier", "gull",
    "compass", "deck", "hull", "salt", "wave", "shore", "buoy", "oar", "knot", "chart", "helm",
    "cove", "swell",
];

impl Call<'_> {
    /// The answer's tokens: the reply's own; none beside a tool call; else a few words that depend only
    /// on the mock's seed and the model.
    pub(crate) fn content(&self) -> Vec<String> {
        if let Some(tokens) = &self.reply.tokens {
            return tokens.clone();
        }
        if !self.reply.tool_calls.is_empty() {
            return Vec::new();
        }
        let mut state = self.seed ^ crate::embedding::hash(self.asked.model().unwrap_or_default());
        let mut word = || {
            // A step of Knuth's MMIX generator; its high bits are the good ones.
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            WORDS[(state >> 33) as usize % WORDS.len()]
        };
        (0..COUNT)
            .map(|index| match index {
                0 => word().to_owned(),
                _ => format!(" {}", word()),
            })
            .collect()
    }
}
