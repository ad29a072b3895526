//! Which reply an attempt gets: a [`Script`] is a list of replies, and the book keeps them by model, by
//! path, and for all others.

use std::collections::HashMap;

use crate::reply::Reply;

/// How many different models and paths are counted apart; all further ones share one count.
pub const MAX_KEYS: usize = 4096;

/// The replies to the successive attempts for one model or path: the nth request takes the nth, and the
/// last one repeats. An empty script answers [`Reply::ok`].
///
/// ```
/// use backstay_mock::{Reply, Script};
///
/// let fails_twice = Script::new()
///     .attempts(2, Reply::status(503))
///     .then(Reply::text("Third time lucky"));
/// # let _ = fails_twice;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Script {
    steps: Vec<Reply>,
}

/// Every script of a mock, with the place each has come to.
#[derive(Debug, Default)]
pub(crate) struct Book {
    models: HashMap<String, Course>,
    paths: Vec<(String, Course)>,
    default: Option<(Script, Counts)>,
    attempts: Counts,
}

/// What the book says about one request.
pub(crate) struct Turn {
    /// How many requests for this model (or, without one, path) there have been, this one included.
    pub(crate) attempt: usize,
    /// `None`: nothing is scripted for it.
    pub(crate) reply: Option<Reply>,
}

/// A script and how many of its steps were taken.
#[derive(Debug)]
struct Course {
    script: Script,
    taken: usize,
}

/// A count per key, of at most [`MAX_KEYS`] keys.
#[derive(Debug, Default)]
struct Counts {
    by_key: HashMap<String, usize>,
    others: usize,
}

// === impl Script ===

impl Script {
    /// A script without steps.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the reply to the next attempt.
    #[must_use]
    pub fn attempt(mut self, reply: impl Into<Reply>) -> Self {
        self.steps.push(reply.into());
        self
    }

    /// Adds the same reply for the next `count` attempts.
    #[must_use]
    pub fn attempts(mut self, count: usize, reply: impl Into<Reply>) -> Self {
        let reply = reply.into();
        self.steps.extend(std::iter::repeat_n(reply, count));
        self
    }

    /// Adds the reply to every attempt from here on. The same as [`attempt`](Self::attempt) in last place.
    #[must_use]
    pub fn then(self, reply: impl Into<Reply>) -> Self {
        self.attempt(reply)
    }

    fn step(&self, index: usize) -> Reply {
        self.steps
            .get(index)
            .or(self.steps.last())
            .cloned()
            .unwrap_or_default()
    }
}

impl From<Reply> for Script {
    fn from(reply: Reply) -> Self {
        Self::new().then(reply)
    }
}

// === impl Book ===

impl Book {
    pub(crate) fn set_model(&mut self, model: String, script: Script) {
        self.models.insert(model, Course::new(script));
    }

    pub(crate) fn set_path(&mut self, suffix: String, script: Script) {
        self.paths.retain(|(known, _)| *known != suffix);
        self.paths.push((suffix, Course::new(script)));
        // The longest, hence most particular, suffix is found first.
        self.paths
            .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
    }

    pub(crate) fn set_default(&mut self, script: Script) {
        self.default = Some((script, Counts::default()));
    }

    /// Counts this request and finds its reply: by model, then by path, then the default one. Endpoints
    /// that are not `work` (health, lists of models) get only what is scripted for their path.
    pub(crate) fn turn(&mut self, model: Option<&str>, path: &str, work: bool) -> Turn {
        let key = model.unwrap_or(path);
        let attempt = self.attempts.next(key);
        let by_model = model.and_then(|model| self.models.get_mut(model));
        let by_path = self
            .paths
            .iter_mut()
            .find(|(suffix, _)| path.ends_with(suffix.as_str()))
            .map(|(_, course)| course);
        let reply = match by_model.or(by_path) {
            Some(course) => Some(course.next()),
            None if work => self.default.as_mut().map(|(script, counts)| {
                let nth = counts.next(key);
                script.step(nth - 1)
            }),
            None => None,
        };
        Turn { attempt, reply }
    }

    /// Counts this request, and takes no step of any script.
    pub(crate) fn pass_over(&mut self, model: Option<&str>, path: &str) -> Turn {
        Turn {
            attempt: self.attempts.next(model.unwrap_or(path)),
            reply: None,
        }
    }

    pub(crate) fn attempts(&self, model: &str) -> usize {
        self.attempts.by_key.get(model).copied().unwrap_or(0)
    }
}

// === impl Course ===

impl Course {
    fn new(script: Script) -> Self {
        Self { script, taken: 0 }
    }

    fn next(&mut self) -> Reply {
        let reply = self.script.step(self.taken);
        self.taken = self.taken.saturating_add(1);
        reply
    }
}

// === impl Counts ===

impl Counts {
    /// One more of `key`; never zero.
    fn next(&mut self, key: &str) -> usize {
        let full = self.by_key.len() >= MAX_KEYS;
        let count = match self.by_key.get_mut(key) {
            Some(count) => count,
            None if full => &mut self.others,
            None => self.by_key.entry(key.to_owned()).or_default(),
        };
        *count = count.saturating_add(1);
        *count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(book: &mut Book, model: Option<&str>, path: &str, times: usize) -> Vec<u16> {
        (0..times)
            .map(|_| {
                book.turn(model, path, true)
                    .reply
                    .map_or(0, |r| r.status.as_u16())
            })
            .collect()
    }

    #[test]
    fn the_last_step_repeats() {
        let mut book = Book::default();
        let script = Script::new()
            .attempts(2, Reply::status(503))
            .then(Reply::ok());
        book.set_model("m".into(), script);
        assert_eq!(
            statuses(&mut book, Some("m"), "/x", 4),
            [503, 503, 200, 200]
        );
    }

    #[test]
    fn a_model_goes_before_a_path_and_a_path_before_the_default() {
        let mut book = Book::default();
        book.set_default(Reply::status(500).into());
        book.set_path("/query".into(), Reply::status(501).into());
        book.set_path("/a/query".into(), Reply::status(502).into());
        book.set_model("m".into(), Reply::status(503).into());
        assert_eq!(statuses(&mut book, Some("m"), "/a/query", 1), [503]);
        assert_eq!(statuses(&mut book, Some("n"), "/a/query", 1), [502]);
        assert_eq!(statuses(&mut book, None, "/b/query", 1), [501]);
        assert_eq!(statuses(&mut book, None, "/b", 1), [500]);
        assert!(book.turn(None, "/health", false).reply.is_none());
    }

    #[test]
    fn the_default_script_counts_each_model_apart() {
        let mut book = Book::default();
        book.set_default(Script::new().attempt(Reply::status(503)).then(Reply::ok()));
        assert_eq!(statuses(&mut book, Some("a"), "/x", 2), [503, 200]);
        assert_eq!(statuses(&mut book, Some("b"), "/x", 2), [503, 200]);
    }

    #[test]
    fn the_number_of_keys_is_bounded() {
        let mut book = Book::default();
        for n in 0..MAX_KEYS + 10 {
            book.turn(Some(&n.to_string()), "/x", true);
        }
        assert_eq!(book.attempts.by_key.len(), MAX_KEYS);
    }
}
