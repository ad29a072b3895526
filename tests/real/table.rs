//! The printed table: a drill, what must be seen, what was seen, how long it took.

use backstay::BoxError;
use std::{fmt::Display, future::Future, time::Duration};
use tokio::time::{Instant, timeout};

/// The rows that were printed.
#[derive(Default)]
pub(crate) struct Table {
    good: u32,
    failed: u32,
}

/// What a drill saw, and whether it is what must be seen.
pub(crate) struct Seen {
    good: bool,
    text: String,
}

/// What a drill comes to; an error is never what must be seen.
pub(crate) type Drill = Result<Seen, BoxError>;

/// The end of a drill that hangs. The longest waits on purpose for some seconds.
const HANGS: Duration = Duration::from_secs(25);

/// What was seen, and whether it is as expected.
pub(crate) fn seen(good: bool, text: impl Display) -> Drill {
    Ok(Seen {
        good,
        text: text.to_string(),
    })
}

// === impl Table ===

impl Table {
    /// Does a drill and prints its row.
    pub(crate) async fn row(
        &mut self,
        drill: &str,
        expected: &str,
        doing: impl Future<Output = Drill>,
    ) {
        let began = Instant::now();
        let seen = match timeout(HANGS, doing).await {
            Ok(Ok(seen)) => seen,
            Ok(Err(error)) => Seen {
                good: false,
                text: error.to_string(),
            },
            Err(_) => Seen {
                good: false,
                text: "it hangs".to_owned(),
            },
        };
        let took = Instant::now().saturating_duration_since(began);
        let mark = if seen.good { "ok" } else { "NOT AS EXPECTED" };
        self.good += u32::from(seen.good);
        self.failed += u32::from(!seen.good);
        print(drill, expected, &seen.text, took.as_millis(), mark);
    }

    /// Prints the sum, and says whether nothing failed.
    pub(crate) fn end(&self) -> bool {
        println!("{} as expected, {} not", self.good, self.failed);
        self.failed == 0 && self.good > 0
    }
}

fn print(drill: &str, expected: &str, seen: &str, milliseconds: u128, mark: &str) {
    println!("{drill:43}  {expected:42}  {seen:60} {milliseconds:6} ms  {mark}");
}
