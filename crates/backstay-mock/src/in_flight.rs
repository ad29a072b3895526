//! How many requests are being answered, and the most there ever were: together, and per model.

use std::collections::HashMap;

use crate::script::MAX_KEYS;

/// Counts of what is in flight. Models beyond the first [`MAX_KEYS`] are counted in the total only.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    all: Count,
    by_model: HashMap<String, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    pub(crate) now: usize,
    pub(crate) peak: usize,
}

// === impl InFlight ===

impl InFlight {
    pub(crate) fn began(&mut self) {
        self.all.add();
    }

    /// The request that began turned out to be for `model`.
    pub(crate) fn is_for(&mut self, model: &str) {
        let full = self.by_model.len() >= MAX_KEYS;
        match self.by_model.get_mut(model) {
            Some(count) => count.add(),
            None if full => {}
            None => self.by_model.entry(model.to_owned()).or_default().add(),
        }
    }

    pub(crate) fn ended(&mut self, model: Option<&str>) {
        self.all.take();
        if let Some(count) = model.and_then(|model| self.by_model.get_mut(model)) {
            count.take();
        }
    }

    pub(crate) fn all(&self) -> Count {
        self.all
    }

    pub(crate) fn of_model(&self, model: &str) -> Count {
        self.by_model.get(model).copied().unwrap_or_default()
    }
}

// === impl Count ===

impl Count {
    fn add(&mut self) {
        self.now += 1;
        self.peak = self.peak.max(self.now);
    }

    fn take(&mut self) {
        self.now = self.now.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peaks_are_kept_together_and_per_model() {
        let mut flights = InFlight::default();
        for model in ["a", "b", "a"] {
            flights.began();
            flights.is_for(model);
        }
        flights.ended(Some("a"));
        flights.ended(Some("b"));
        let counts = |count: Count| (count.now, count.peak);
        assert_eq!(counts(flights.all()), (1, 3));
        assert_eq!(counts(flights.of_model("a")), (1, 2));
        assert_eq!(counts(flights.of_model("b")), (0, 1));
        assert_eq!(counts(flights.of_model("c")), (0, 0));
    }
}
