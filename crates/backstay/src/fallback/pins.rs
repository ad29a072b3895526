//! Conversations that stay with the target that served them.

use parking_lot::Mutex;
use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, Hash, RandomState},
    sync::Arc,
};

/// The conversation that a request belongs to, in its extensions: with [`Pins`], the target that answered the
/// conversation last is tried first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conversation(u64);

/// Which target served which conversation: a handle; clones share it.
///
/// A prompt cache, or a model that signs its reasoning, is at one target: once a conversation has fallen over
/// it stays where it is. A pinned target that cools down, or does not hold the request, is passed over like
/// any other.
///
/// Bounded: past the most conversations that it was made for, it forgets those that were not heard of for
/// longest. A conversation takes some 40 bytes, whatever its name.
///
/// ```
/// use backstay::fallback::{Conversation, Pins, Targets};
///
/// let targets = Targets::new("gpt-4o").then("gpt-4o-mini").pins(Pins::new(100_000));
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Conversation::of("session-17"));
/// # drop(targets);
/// ```
#[derive(Clone)]
pub struct Pins(Arc<Mutex<Generations>>);

/// Two halves: what is asked for is brought to the young one; when that is full it becomes the old one, and
/// the old one is forgotten.
struct Generations {
    young: HashMap<u64, Arc<str>>,
    old: HashMap<u64, Arc<str>>,
    half: usize,
}

// === impl Conversation ===

impl Conversation {
    /// The conversation of this name: an id of a session, of a user, of a thread. Only a hash of it is kept.
    pub fn of(name: impl Hash) -> Self {
        static HASHER: std::sync::LazyLock<RandomState> =
            std::sync::LazyLock::new(RandomState::new);
        Self(HASHER.hash_one(name))
    }
}

// === impl Pins ===

impl Pins {
    /// For so many conversations.
    pub fn new(conversations: usize) -> Self {
        Self(Arc::new(Mutex::new(Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            half: conversations.div_ceil(2).max(1),
        })))
    }

    /// The name of the target that served this conversation last.
    pub fn target(&self, conversation: Conversation) -> Option<Arc<str>> {
        let mut pins = self.0.lock();
        if let Some(target) = pins.young.get(&conversation.0) {
            return Some(target.clone());
        }
        let target = pins.old.remove(&conversation.0)?;
        pins.put(conversation.0, target.clone());
        Some(target)
    }

    /// Forgets a conversation.
    pub fn forget(&self, conversation: Conversation) {
        let mut pins = self.0.lock();
        pins.young.remove(&conversation.0);
        pins.old.remove(&conversation.0);
    }

    pub(super) fn pin(&self, conversation: Conversation, target: &Arc<str>) {
        let mut pins = self.0.lock();
        pins.old.remove(&conversation.0);
        pins.put(conversation.0, target.clone());
    }
}

impl fmt::Debug for Pins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pins = self.0.lock();
        f.debug_struct("Pins")
            .field("conversations", &(pins.young.len() + pins.old.len()))
            .finish_non_exhaustive()
    }
}

// === impl Generations ===

impl Generations {
    fn put(&mut self, conversation: u64, target: Arc<str>) {
        if self.young.len() >= self.half && !self.young.contains_key(&conversation) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(conversation, target);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_are_forgotten_and_no_more_than_its_bound_is_kept() {
        let pins = Pins::new(10);
        let target: Arc<str> = "a".into();
        let kept = Conversation::of("kept");
        pins.pin(kept, &target);
        for number in 0..1000 {
            pins.pin(Conversation::of(number), &target);
            assert!(pins.target(kept).is_some());
            let generations = pins.0.lock();
            assert!(generations.young.len() + generations.old.len() <= 10);
        }
        assert!(pins.target(Conversation::of(0)).is_none());
        pins.forget(kept);
        assert!(pins.target(kept).is_none());
    }
}
