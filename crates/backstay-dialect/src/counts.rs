//! Tokens as Anthropic and Amazon count them.

use crate::Usage;

/// Counts of which the input leaves out what went through the cache.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) input: Option<u64>,
    pub(crate) cache_written: Option<u64>,
    pub(crate) cache_read: Option<u64>,
    pub(crate) output: Option<u64>,
}

// === impl Counts ===

impl Counts {
    /// All that was read and written; `None` if nothing was counted.
    pub(crate) fn total(&self) -> Option<Usage> {
        let cached = |count: Option<u64>| count.unwrap_or(0);
        let usage = Usage {
            input: self.input.map(|input| {
                input
                    .saturating_add(cached(self.cache_written))
                    .saturating_add(cached(self.cache_read))
            }),
            output: self.output,
        };
        (usage != Usage::default()).then_some(usage)
    }
}
