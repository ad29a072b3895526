//! The failures, grouped.

use backstay::{BoxError, Error, ErrorClass};
use std::collections::BTreeMap;

/// Failures by class: what is handled alike.
#[derive(Default)]
pub(crate) struct Tally(BTreeMap<ErrorClass, Vec<(usize, BoxError)>>);

/// How many items of a class are named.
const NAMED: usize = 8;

// === impl Tally ===

impl Tally {
    pub(crate) fn add(&mut self, index: usize, error: BoxError) {
        // By kind, and never by text. An error that is not backstay's own is the reading closure's.
        let class = Error::find(&*error).map_or(ErrorClass::Other, |error| error.kind().class());
        self.0.entry(class).or_default().push((index, error));
    }

    pub(crate) fn print(&mut self) {
        for (class, failures) in &mut self.0 {
            failures.sort_by_key(|(index, _)| *index);
            let named: Vec<_> = failures
                .iter()
                .take(NAMED)
                .map(|(n, _)| n.to_string())
                .collect();
            let more = if failures.len() > NAMED { ", ..." } else { "" };
            println!(
                "  {class:?}: {} failed: items {}{more}",
                failures.len(),
                named.join(", ")
            );
            if let Some((index, error)) = failures.first() {
                println!("    item {index}: {error}");
            }
        }
    }
}
