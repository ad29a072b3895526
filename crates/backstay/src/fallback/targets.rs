//! The targets of a call, in order, and the rules between them.

use super::{Backoff, Commit, CoolDowns, DefaultPolicy, Pins, Policy, RetryBudget, Target};
use std::sync::Arc;
use tokio::time::Duration;

/// The targets of a call in the order in which they are tried, and the rules of the fallback layer.
///
/// | rule | default |
/// |---|---|
/// | [`retries`](Self::retries) of each target | 2, as the official SDKs have it |
/// | [`reserve`](Self::reserve) for each untried target | none |
/// | [`min_attempt`](Self::min_attempt) | none |
/// | [`max_wait`](Self::max_wait) | 30 s |
/// | [`backoff`](Self::backoff) | 500 ms, doubled up to 8 s, full jitter |
/// | [`replay_limit`](Self::replay_limit) | 32 MiB |
/// | [`hold_frames`](Self::hold_frames), [`hold_bytes`](Self::hold_bytes), [`hold_time`](Self::hold_time) | 4,096 frames, 16 MiB, 10 min |
/// | [`retry_uncertain`](Self::retry_uncertain) | yes |
/// | [`cool_downs`](Self::cool_downs) | on, of these targets alone |
/// | [`pins`](Self::pins) | none |
///
/// At most 64 targets.
#[derive(Clone, Debug)]
#[must_use]
pub struct Targets {
    pub(super) targets: Vec<Target>,
    pub(super) plain: bool,
    pub(super) policy: Arc<dyn Policy>,
    pub(super) budget: RetryBudget,
    pub(super) backoff: Backoff,
    pub(super) retries: u32,
    pub(super) reserve: Duration,
    pub(super) min_attempt: Duration,
    pub(super) max_wait: Duration,
    pub(super) replay_limit: usize,
    pub(super) hold: HoldBounds,
    pub(super) commit: Option<Commit>,
    pub(super) retry_uncertain: bool,
    pub(super) portable_headers: Vec<String>,
    pub(super) seed: Option<u64>,
    pub(super) cool_downs: CoolDowns,
    pub(super) pins: Option<Pins>,
}

/// How much of an answer is held back at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct HoldBounds {
    pub(super) frames: usize,
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

const DEFAULT_RETRIES: u32 = 2;
const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);
/// Anthropic takes requests of up to 32 MB.
const DEFAULT_REPLAY_LIMIT: usize = 32 * 1024 * 1024;
const DEFAULT_HOLD: HoldBounds = HoldBounds {
    frames: 4096,
    bytes: 16 * 1024 * 1024,
    time: Duration::from_secs(600),
};

// === impl Targets ===

impl Targets {
    /// The first target. A text is a model at the call's own authority.
    pub fn new(first: impl Into<Target>) -> Self {
        Self {
            targets: vec![first.into()],
            plain: false,
            policy: Arc::new(DefaultPolicy),
            budget: RetryBudget::default(),
            backoff: Backoff::default(),
            retries: DEFAULT_RETRIES,
            reserve: Duration::ZERO,
            min_attempt: Duration::ZERO,
            max_wait: DEFAULT_MAX_WAIT,
            replay_limit: DEFAULT_REPLAY_LIMIT,
            hold: DEFAULT_HOLD,
            commit: None,
            retry_uncertain: true,
            portable_headers: Vec::new(),
            seed: None,
            cool_downs: CoolDowns::default(),
            pins: None,
        }
    }

    /// For calls without a model, to a vector database say: the plain dialect. Only status and transport
    /// facts are known, and what may have been processed is retried only if the method, or an
    /// [`Idempotent`](super::Idempotent) extension, says that this is harmless.
    pub fn plain(first: Target) -> Self {
        Self {
            plain: true,
            ..Self::new(first)
        }
    }

    /// One more target, tried after those before it. All are of one dialect family.
    pub fn then(mut self, next: impl Into<Target>) -> Self {
        self.targets.push(next.into());
        self
    }

    /// How often each target is tried again, unless it says so itself.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries;
        self
    }

    /// What decides after a failed attempt.
    pub fn policy(mut self, policy: impl Policy) -> Self {
        self.policy = Arc::new(policy);
        self
    }

    /// What bounds retries of the same target.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.budget = budget;
        self
    }

    /// The waits when the server does not say.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Time kept for each untried target: until its commit an attempt ends at the deadline less this for each
    /// of them.
    /// When less is left than that, what is left is shared evenly.
    pub fn reserve(mut self, each: Duration) -> Self {
        self.reserve = each;
        self
    }

    /// No attempt starts with less time left than this.
    pub fn min_attempt(mut self, least: Duration) -> Self {
        self.min_attempt = least;
        self
    }

    /// The longest wait that is slept. A longer one is treated as one that does not fit the deadline.
    pub fn max_wait(mut self, longest: Duration) -> Self {
        self.max_wait = longest;
        self
    }

    /// The largest request body, in bytes, that is kept for another attempt or has its model replaced.
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.replay_limit = bytes;
        self
    }

    /// How many frames of an answer are held back at most.
    pub fn hold_frames(mut self, frames: usize) -> Self {
        self.hold.frames = frames;
        self
    }

    /// How many bytes of an answer are held back at most.
    pub fn hold_bytes(mut self, bytes: usize) -> Self {
        self.hold.bytes = bytes;
        self
    }

    /// How long frames of an answer are held back at most, from the second one on; looked at when one
    /// arrives, for silence is the business of the clocks.
    pub fn hold_time(mut self, time: Duration) -> Self {
        self.hold.time = time;
        self
    }

    /// The commit point of all answers, unless the target or the request says otherwise.
    pub fn commit(mut self, commit: Commit) -> Self {
        self.commit = Some(commit);
        self
    }

    /// Whether an attempt is repeated, there or elsewhere, although the one before may have been
    /// processed and billed: after a timeout, a lost connection, a truncated answer.
    pub fn retry_uncertain(mut self, retry: bool) -> Self {
        self.retry_uncertain = retry;
        self
    }

    /// A header of the request that may go to another authority. It must not be a secret.
    pub fn portable_header(mut self, name: impl Into<String>) -> Self {
        self.portable_headers.push(name.into());
        self
    }

    /// Which targets are passed over because of what happened in other calls. Give several stacks clones of
    /// one to share it.
    pub fn cool_downs(mut self, cool_downs: CoolDowns) -> Self {
        self.cool_downs = cool_downs;
        self
    }

    /// Keeps a [`Conversation`](super::Conversation) at the target that served it last.
    pub fn pins(mut self, pins: Pins) -> Self {
        self.pins = Some(pins);
        self
    }

    /// Makes the jitter repeatable, for simulations.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }
}
