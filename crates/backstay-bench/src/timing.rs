//! Timing small pieces of work in turns.

use std::hint::black_box;
use tokio::time::Instant;

/// One thing to time.
pub(crate) struct Work<'w> {
    run: Box<dyn FnMut() + 'w>,
    /// How often the work is done in a turn.
    repeats: u32,
}

/// A turn lasts about this long: long enough for the clock, short enough that the machine changes little
/// within a round.
const TURN_NANOSECONDS: f64 = 200_000.0;
const MAX_REPEATS: f64 = 100_000.0;
const WARM_UP: u32 = 3;

// === impl Work ===

impl<'w> Work<'w> {
    pub(crate) fn new<T>(mut work: impl FnMut() -> T + 'w) -> Self {
        Self {
            run: Box::new(move || {
                black_box(work());
            }),
            repeats: 1,
        }
    }

    pub(crate) fn run(&mut self) {
        (self.run)();
    }

    /// Nanoseconds for one time, over a turn.
    fn turn(&mut self) -> f64 {
        let start = Instant::now();
        for _ in 0..self.repeats {
            (self.run)();
        }
        let took = Instant::now().saturating_duration_since(start);
        took.as_secs_f64() * 1e9 / f64::from(self.repeats)
    }
}

/// Nanoseconds of each work in each round. They take turns, and who begins changes from round to round, so
/// that a busy machine is equally unkind to each.
pub(crate) fn in_turns(works: &mut [Work<'_>], rounds: u32) -> Vec<Vec<f64>> {
    for work in &mut *works {
        (0..WARM_UP).for_each(|_| work.run());
        let once = work.turn().max(1.0);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let repeats = (TURN_NANOSECONDS / once).clamp(1.0, MAX_REPEATS) as u32;
        work.repeats = repeats;
    }
    let count = works.len();
    let mut times = vec![Vec::with_capacity(rounds as usize); count];
    for round in 0..rounds as usize {
        for turn in 0..count {
            let at = (round + turn) % count;
            times[at].push(works[at].turn());
        }
    }
    times
}

/// The middle of the values; NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle), values.len() % 2) {
        (Some(upper), 1) => *upper,
        (Some(upper), _) => (values[middle - 1] + upper) / 2.0,
        (None, _) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        let of = |values: &[f64]| median(values.iter().copied());
        assert_eq!(of(&[9.0, 1.0, 4.0]), 4.0);
        assert_eq!(of(&[9.0, 1.0, 4.0, 2.0]), 3.0);
        assert!(of(&[]).is_nan());
    }
}
