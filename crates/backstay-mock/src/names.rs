//! Model names that stand for a fault, for trying one with nothing but `curl`.
//!
//! They hold where no script speaks for the model, its path or all others. A number of milliseconds may
//! follow an `@` where the table says *delay*: `slow-first-token@1500`.
//!
//! | model | what it does |
//! |---|---|
//! | `slow-headers` | *delay* before the response head, 5 s |
//! | `slow-first-token` | head and role chunk at once, *delay* before the first token, 30 s |
//! | `slow-tokens` | *delay* between tokens, 1 s |
//! | `slow-pings` | a ping each *delay*, 1 s, for 60 times before the first token |
//! | `overloaded` | 529 `overloaded_error` (Anthropic) or 503, in the dialect's form |
//! | `rate-limited` | 429 with `retry-after: 2` |
//! | `no-quota` | 429 `insufficient_quota`, or what else the provider says to that |
//! | `server-error` | 500 |
//! | `unauthorized` | 401 |
//! | `gone` | 404, the model does not exist |
//! | `too-long` | 400 `context_length_exceeded`, or what else the provider says to that |
//! | `flaky` | every first of two attempts is a 503 |
//! | `cut` | closed after 3 tokens |
//! | `reset` | TCP reset after 3 tokens |
//! | `reset-early` | TCP reset before the head |
//! | `stall` | silent after 3 tokens |
//! | `stall-pings` | after 3 tokens nothing but pings, one each *delay*, 1 s |
//! | `in-band-error` | an error event after 3 tokens |
//! | `early-in-band-error` | an error event instead of the first token |
//! | `never` | no answer at all |
//! | `empty` | a 200 that ends without an event |
//! | `garbage` | a 200 with nonsense in it |
//! | `no-end` | ends cleanly without finish reason and end marker |
//! | `hold-open` | all is sent, the body never ends |
//! | `truncated` | a unary body that is shorter than its `content-length` |
//! | `gzip` | compressed, asked for or not |
//! | `failed` | as `in-band-error`, as `response.failed` and the like |
//! | `slow-reasoning` | 60 reasoning tokens first, one each *delay*, 1 s |
//! | `reasoning` | a few reasoning tokens first |

use std::time::Duration;

use crate::dialect::Dialect;
use crate::provider_error::{self, ProviderError};
use crate::reply::Reply;

/// Every name of the table above.
pub const ALL: &[&str] = &[
    "slow-headers",
    "slow-first-token",
    "slow-tokens",
    "slow-pings",
    "overloaded",
    "rate-limited",
    "no-quota",
    "server-error",
    "unauthorized",
    "gone",
    "too-long",
    "flaky",
    "cut",
    "reset",
    "reset-early",
    "stall",
    "stall-pings",
    "in-band-error",
    "early-in-band-error",
    "never",
    "empty",
    "garbage",
    "no-end",
    "hold-open",
    "truncated",
    "gzip",
    "failed",
    "slow-reasoning",
    "reasoning",
];

/// How many pings or reasoning tokens a name stands for.
const PINGS: usize = 60;
/// What a truncated body has left.
const TRUNCATED: usize = 40;

/// The reply that `model` stands for, at its `attempt`th request.
pub(crate) fn reply(model: &str, dialect: Dialect, attempt: usize) -> Option<Reply> {
    let anthropic = matches!(dialect, Dialect::Anthropic | Dialect::VertexAnthropic);
    let own = |name| provider_error::of_dialect(dialect, name).map(ProviderError::reply);
    let (name, delay) = match model.split_once('@') {
        Some((name, millis)) => (name, Some(Duration::from_millis(millis.parse().ok()?))),
        None => (model, None),
    };
    let delay = |usual: u64| delay.unwrap_or(Duration::from_secs(usual));
    let overloaded = || Reply::status(if anthropic { 529 } else { 503 });
    let ok = Reply::ok();
    Some(match name {
        "slow-headers" => ok.delay_headers(delay(5)),
        "slow-first-token" => ok.delay_first_token(delay(30)),
        "slow-tokens" => ok.delay_between_tokens(delay(1)),
        "slow-pings" => ok.pings(PINGS, delay(1)),
        "overloaded" => overloaded(),
        "rate-limited" => Reply::status(429).header("retry-after", "2"),
        "no-quota" => own("quota").unwrap_or_else(|| Reply::status(429).code("insufficient_quota")),
        "server-error" => Reply::status(500),
        "unauthorized" => Reply::status(401),
        "gone" => Reply::status(404),
        "too-long" => own("context_too_long")
            .unwrap_or_else(|| Reply::status(400).code("context_length_exceeded")),
        "flaky" if attempt % 2 == 1 => overloaded(),
        "flaky" => ok,
        "cut" => ok.cut_after_tokens(3),
        "reset" => ok.reset_after_tokens(3),
        "reset-early" => ok.reset_before_headers(),
        "stall" => ok.stall_after_tokens(3),
        "stall-pings" => ok
            .stall_after_tokens(3)
            .pings_after_tokens(3, PINGS, delay(1)),
        "in-band-error" => ok.error_in_band(3, in_band_code(dialect)),
        "early-in-band-error" => ok.error_in_band(0, in_band_code(dialect)),
        "never" => Reply::never_answer(),
        "empty" => ok.empty_stream(),
        "garbage" => ok.garbage(),
        "no-end" => ok.no_end_marker(),
        "hold-open" => ok.hold_open_after_end(),
        "truncated" => ok.truncate_body_to(TRUNCATED),
        "gzip" => ok.gzip(),
        "failed" => ok.failed_in_band(3, in_band_code(dialect)),
        "slow-reasoning" => ok.long_reasoning(PINGS, delay(1)),
        "reasoning" => ok.reasoning(["The ", "sea ", "is ", "calm."]),
        _ => return None,
    })
}

fn in_band_code(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Anthropic | Dialect::VertexAnthropic => "overloaded_error",
        Dialect::BedrockConverse | Dialect::BedrockInvoke => "serviceUnavailableException",
        Dialect::Gemini => "UNAVAILABLE",
        Dialect::OpenAiResponses | Dialect::AzureResponses => "server_error",
        _ => "server_is_overloaded",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_name_stands_for_something_and_no_other_does() {
        for name in ALL {
            assert!(reply(name, Dialect::OpenAiChat, 1).is_some(), "{name}");
        }
        assert!(reply("gpt-4o", Dialect::OpenAiChat, 1).is_none());
        assert!(reply("stall@soon", Dialect::OpenAiChat, 1).is_none());
    }

    #[test]
    fn a_delay_may_follow() {
        let slow = reply("slow-first-token@1500", Dialect::OpenAiChat, 1).unwrap();
        assert_eq!(slow.delay_first_token, Duration::from_millis(1500));
    }
}
