//! The families of headers that tell when an allowance is full again.

use std::time::{Duration, SystemTime};

use http::HeaderMap;

use super::{HintSource, text, value};

/// What the other headers of an allowance say of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Allowance {
    UsedUp,
    /// It is not what a request was refused for.
    Left,
    Unknown,
}

/// A header's name that is put together without the heap.
struct Name {
    bytes: [u8; MAX_NAME_BYTES],
    length: usize,
}

/// Longer names are none of these families.
const MAX_NAME_BYTES: usize = 64;

const RESET: &str = "x-ratelimit-reset";
const REMAINING: &str = "x-ratelimit-remaining";
const ANTHROPIC: &str = "anthropic-ratelimit-";

/// The wait for what is used up, the longest of several. `refused`: the answer was a 429.
pub(super) fn read(
    headers: &HeaderMap,
    now: SystemTime,
    refused: bool,
) -> Option<(Duration, HintSource)> {
    // The best first: what is used up goes before what may be.
    let mut used_up: [Option<Duration>; 2] = [None; 2];
    let mut possible: [Option<Duration>; 2] = [None; 2];
    for (name, value) in headers {
        let name = name.as_str();
        let (family, allowance) = if let Some(which) = name
            .strip_prefix(RESET)
            .filter(|w| w.is_empty() || w.starts_with('-'))
        {
            (0, of_which(headers, which))
        } else if let Some(which) = name
            .strip_prefix(ANTHROPIC)
            .and_then(|rest| rest.strip_suffix("-reset"))
        {
            (1, of_anthropic(headers, which))
        } else {
            continue;
        };
        let longest = match allowance {
            Allowance::UsedUp => &mut used_up[family],
            Allowance::Unknown if refused => &mut possible[family],
            Allowance::Unknown | Allowance::Left => continue,
        };
        *longest = (*longest).max(text(value).and_then(|text| value::reset(text, now)));
    }
    let [openai, anthropic] = [0, 1].map(|family| used_up[family].or(possible[family]));
    None.or_else(|| Some((openai?, HintSource::RateLimitReset)))
        .or_else(|| Some((anthropic?, HintSource::AnthropicReset)))
}

/// `which` is what stands behind `reset`: `-requests`, `-tokens`, `-tokens-minute`, or nothing.
fn of_which(headers: &HeaderMap, which: &str) -> Allowance {
    let remaining = header(headers, &[REMAINING, which]);
    of_remaining(remaining, which)
}

/// `which` is what stands before `reset`: `requests`, `input-tokens`, `unified`, `unified-5h`.
fn of_anthropic(headers: &HeaderMap, which: &str) -> Allowance {
    match header(headers, &[ANTHROPIC, which, "-status"]) {
        Some("rejected") => Allowance::UsedUp,
        Some(status) if status.starts_with("allowed") => Allowance::Left,
        _ => of_remaining(header(headers, &[ANTHROPIC, which, "-remaining"]), which),
    }
}

/// Azure says `-1` where it does not know.
fn of_remaining(remaining: Option<&str>, which: &str) -> Allowance {
    match remaining.and_then(|count| count.parse::<f64>().ok()) {
        Some(0.0) => Allowance::UsedUp,
        Some(1.0..) if which.contains("requests") => Allowance::Left,
        _ => Allowance::Unknown,
    }
}

fn header<'h>(headers: &'h HeaderMap, parts: &[&str]) -> Option<&'h str> {
    let name = Name::of(parts)?;
    text(headers.get(name.as_str()?)?)
}

// === impl Name ===

impl Name {
    fn of(parts: &[&str]) -> Option<Self> {
        let mut bytes = [0; MAX_NAME_BYTES];
        let mut length = 0;
        for part in parts {
            let end = length + part.len();
            bytes.get_mut(length..end)?.copy_from_slice(part.as_bytes());
            length = end;
        }
        Some(Self { bytes, length })
    }

    fn as_str(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes[..self.length]).ok()
    }
}
