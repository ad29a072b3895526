//! One call, as far as it has come.

use backstay::{Trail, trail::Outcome};
use http::{HeaderValue, StatusCode};
use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};
use tokio::time::{Duration, Instant};

/// One call, as far as it has come. Written without a lock while it goes on.
pub(crate) struct Entry {
    boot: u32,
    number: u64,
    /// The endpoint; of a path route only that it is one, because a path may hold anything.
    pub(crate) path: &'static str,
    pub(crate) route: Arc<str>,
    /// Whose key was shown.
    pub(crate) caller: Option<Arc<str>>,
    pub(crate) at: SystemTime,
    started: Instant,
    trail: OnceLock<Trail>,
    status: AtomicU16,
    ending: AtomicU8,
    ended: OnceLock<Duration>,
    bytes: AtomicU64,
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Ending {
    /// It has not.
    Running = 0,
    /// The whole answer went out, whatever its status.
    Answered = 1,
    /// The gateway answered in place of an upstream.
    Refused = 2,
    /// The answer broke off, and the caller was told.
    Broken = 3,
    /// The caller went away first.
    Left = 4,
}

// === impl Entry ===

impl Entry {
    pub(super) fn new(
        (boot, number): (u32, u64),
        path: &'static str,
        route: Arc<str>,
        caller: Option<Arc<str>>,
    ) -> Self {
        Self {
            boot,
            number,
            path,
            route,
            caller,
            at: SystemTime::now(),
            started: Instant::now(),
            trail: OnceLock::new(),
            status: AtomicU16::new(0),
            ending: AtomicU8::new(Ending::Running as u8),
            ended: OnceLock::new(),
            bytes: AtomicU64::new(0),
        }
    }

    /// What the `x-backstay-trail` header says.
    pub(crate) fn id(&self) -> String {
        // By hand: each answer has one, and `format!` costs as much as all of its other headers.
        let digits = (u64::BITS - self.number.leading_zeros()).div_ceil(4).max(1);
        let mut id = String::with_capacity(8 + 1 + digits as usize);
        push_hex(&mut id, self.boot.into(), 8);
        id.push('-');
        push_hex(&mut id, self.number, digits);
        id
    }

    pub(crate) fn id_header(&self) -> Option<HeaderValue> {
        HeaderValue::try_from(self.id()).ok()
    }

    pub(crate) fn follow(&self, trail: Trail) {
        // The first stands: a call has one record.
        let _ = self.trail.set(trail);
    }

    pub(crate) fn trail(&self) -> Option<&Trail> {
        self.trail.get()
    }

    pub(crate) fn head(&self, status: StatusCode) {
        self.status.store(status.as_u16(), Relaxed);
    }

    pub(crate) fn status(&self) -> Option<u16> {
        Some(self.status.load(Relaxed)).filter(|status| *status != 0)
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// The first ending stands.
    pub(crate) fn end(&self, ending: Ending) {
        let running = Ending::Running as u8;
        let first = self
            .ending
            .compare_exchange(running, ending as u8, Relaxed, Relaxed)
            .is_ok();
        if first {
            let _ = self.ended.set(self.age());
        }
    }

    /// The answer was dropped before its transfer ended: after its end marker that is no matter, SDKs do
    /// so.
    pub(crate) fn dropped(&self) {
        if self.ending() != Ending::Running {
            return;
        }
        let complete = self.trail().is_some_and(|trail| {
            trail
                .attempts()
                .last()
                .is_some_and(|attempt| attempt.outcome == Outcome::Complete)
        });
        self.end(if complete {
            Ending::Answered
        } else {
            Ending::Left
        });
    }

    pub(crate) fn ending(&self) -> Ending {
        match self.ending.load(Relaxed) {
            1 => Ending::Answered,
            2 => Ending::Refused,
            3 => Ending::Broken,
            4 => Ending::Left,
            _ => Ending::Running,
        }
    }

    /// How long it took, or has taken so far.
    pub(crate) fn took(&self) -> Duration {
        self.ended.get().copied().unwrap_or_else(|| self.age())
    }

    fn age(&self) -> Duration {
        Instant::now().saturating_duration_since(self.started)
    }
}

fn push_hex(text: &mut String, number: u64, digits: u32) {
    for at in (0..digits).rev() {
        let digit = (number >> (4 * at)) & 0xf;
        text.push(char::from(b"0123456789abcdef"[digit as usize]));
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("id", &self.id())
            .field("ending", &self.ending())
            .finish_non_exhaustive()
    }
}

// === impl Ending ===

impl Ending {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::Broken => "broken off",
            Self::Left => "caller left",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_boots_eight_digits_and_the_number_in_hexadecimal() {
        for (boot, number) in [
            (0, 0),
            (7, 1),
            (u32::MAX, 15),
            (0x4dcf_275d, 16),
            (0x00ab_cdef, 0x274),
            (1, u64::MAX),
        ] {
            let entry = Entry::new((boot, number), "", "".into(), None);
            assert_eq!(entry.id(), format!("{boot:08x}-{number:x}"));
        }
    }
}
