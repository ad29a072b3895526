//! A body may narrow a 4xx. It never makes a 5xx the caller's fault.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    dialect::FailureClass,
    fallback::{Backoff, Targets},
    trail::Next,
};
use backstay_mock::{Mock, Reply, Script};
use backstay_tests::{MS, answer::read, spoken::Spoken, stack::Setup, within};

fn retried(spoken: &Spoken) -> Targets {
    let target = spoken.target("first").retries(1);
    Targets::new(target).backoff(Backoff::new(MS, MS))
}

#[tokio::test]
async fn a_500_that_mentions_context_length_is_retried() {
    for name in ["openai", "anthropic"] {
        let spoken = Spoken::of(name);
        let failure = Reply::provider_error(name, "context_too_long_in_500").unwrap();
        let mock = Mock::start().await.unwrap();
        let script = Script::new().attempt(failure).then(Reply::text("Here"));
        mock.script("first", script);
        let stack = Setup::new(retried(&spoken)).http1();
        let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert_eq!((answer.status.as_u16(), mock.attempts("first")), (200, 2));
        assert!(answer.error.is_none() && answer.contains("Here"));
        let attempts = answer.attempts();
        assert_eq!(attempts[0].class, Some(FailureClass::Server), "{name}");
        assert_eq!(attempts[0].next, Some(Next::Retry), "{name}");
    }
}

/// The control: with a 400 it is the caller's business, and final.
#[tokio::test]
async fn a_400_is_final() {
    for name in ["openai", "anthropic"] {
        let spoken = Spoken::of(name);
        let in_500 = Reply::provider_error(name, "context_too_long_in_500").unwrap();
        let too_long = Reply::provider_error(name, "context_too_long").unwrap();
        for (failure, classes) in [
            (too_long, vec![FailureClass::ContextTooLong]),
            // The words alone do not say it for every provider; that it is final, the status says.
            (
                in_500.with_status(400),
                vec![FailureClass::ContextTooLong, FailureClass::Caller],
            ),
        ] {
            let mock = Mock::start().await.unwrap();
            mock.script("first", failure);
            let targets = retried(&spoken).then(spoken.target("second"));
            let stack = Setup::new(targets).http1();
            let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
            let answer = read(response.unwrap()).await;
            assert_eq!(answer.status, 400);
            let class = answer.attempts()[0].class.unwrap();
            assert!(classes.contains(&class), "{name} {class:?}");
            assert_eq!((mock.attempts("first"), mock.attempts("second")), (1, 0));
        }
    }
}
