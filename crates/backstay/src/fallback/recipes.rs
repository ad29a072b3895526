//! Ready policies for common wishes, each one line.
//!
//! | wish | line |
//! |---|---|
//! | a context that is too long is final (the default) | |
//! | … goes to larger windows | `targets.policy(Recipe::new().larger_windows())` |
//! | a refusal is final (the default) | |
//! | … goes to the next target | `targets.policy(Recipe::new().elsewhere_on_refusal())` |
//! | nothing is sent again once its bytes were sent | `targets.retry_uncertain(false)` |
//! | a conversation stays with the target that served it | `targets.pins(Pins::new(100_000))` |
//! | no target is passed over for what happened in other calls | `targets.cool_downs(CoolDowns::off())` |
//!
//! ```
//! use backstay::fallback::{Pins, Target, Targets, recipes::Recipe};
//!
//! let targets = Targets::new(Target::model("small").context_window(8_192))
//!     .then(Target::model("large").context_window(1_000_000))
//!     .policy(Recipe::new().larger_windows().elsewhere_on_refusal())
//!     .retry_uncertain(false)
//!     .pins(Pins::new(100_000));
//! # drop(targets);
//! ```

use super::{Cause, Decision, DefaultPolicy, Failed, Policy};
use backstay_dialect::FailureClass;

/// The [default policy](DefaultPolicy) with exceptions.
#[derive(Clone, Copy, Debug, Default)]
#[must_use]
pub struct Recipe {
    larger_windows: bool,
    on_refusal: bool,
}

// === impl Recipe ===

impl Recipe {
    /// No exception.
    pub const fn new() -> Self {
        Self {
            larger_windows: false,
            on_refusal: false,
        }
    }

    /// A context that is too long goes to the next target that declares a larger
    /// [window](super::Target::context_window) than the one that it was too long for. Any declared one is
    /// larger than one that was not declared.
    pub const fn larger_windows(mut self) -> Self {
        self.larger_windows = true;
        self
    }

    /// A refusal goes to the next target: a content policy that refused the request, and an answer that the
    /// provider withheld. In a stream that is let through at its first content, only what is withheld before
    /// that; hold it to its [end](super::Commit::End) for all of them.
    pub const fn elsewhere_on_refusal(mut self) -> Self {
        self.on_refusal = true;
        self
    }
}

impl Policy for Recipe {
    fn decide(&self, failed: &Failed<'_>) -> Decision {
        let class = match failed.cause {
            Cause::Status { failure, .. } | Cause::InBand(failure) => Some(failure.class),
            _ => None,
        };
        match (class, failed.cause) {
            (Some(FailureClass::ContextTooLong), _) if self.larger_windows => {
                Decision::LargerWindow
            }
            (Some(FailureClass::ContentPolicy), _) | (_, Cause::Refused) if self.on_refusal => {
                Decision::Skip
            }
            _ => DefaultPolicy.decide(failed),
        }
    }

    fn minds_refusals(&self) -> bool {
        self.on_refusal
    }
}
