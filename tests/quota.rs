//! A quota that is used up is never asked for twice.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    dialect::FailureClass,
    fallback::{Backoff, CoolDowns, Targets, cool_down::Why},
    trail::{Next, Reason},
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    MS,
    answer::read,
    spoken::Spoken,
    stack::{Setup, http1},
    within,
};
use futures_util::future::join_all;

/// Provider and failure, as the mock's table has them.
const SPENT: [(&str, &str); 15] = [
    ("openai", "insufficient_quota"),
    ("openai", "credit_balance_exhausted"),
    ("openai", "organization_spend_limit_exceeded"),
    ("openai", "project_spend_limit_exceeded"),
    ("openai", "organization_usage_limit_exceeded"),
    ("openai", "billing_hard_limit_reached"),
    ("anthropic", "spend_limit"),
    ("anthropic", "quota"),
    ("anthropic", "low_credit_400"),
    ("gemini", "quota"),
    ("gemini", "quota_limit_zero"),
    ("bedrock", "quota"),
    ("cohere", "quota"),
    ("mistral", "quota"),
    ("openrouter", "quota"),
];

fn first(spoken: &Spoken) -> Targets {
    let target = spoken.target("first").retries(2);
    Targets::new(target).backoff(Backoff::new(MS, MS))
}

async fn mock(spoken: &Spoken, provider: &str, failure: &str) -> Mock {
    let mock = Mock::start().await.unwrap();
    let spent = Reply::provider_error(provider, failure).unwrap();
    mock.script(spoken.model("first"), spent);
    mock.script(spoken.model("second"), Reply::text("Here"));
    mock
}

#[tokio::test]
async fn it_is_never_sent_twice_to_the_same_target() {
    let client = http1();
    for (provider, failure) in SPENT {
        let spoken = Spoken::of(provider);
        let mock = mock(&spoken, provider, failure).await;
        let cool_downs = CoolDowns::new();
        let targets = first(&spoken).then(spoken.target("second"));
        let stack = Setup::new(targets.cool_downs(cool_downs.clone())).over(client.clone());
        let call = || async {
            let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
            read(response.unwrap()).await
        };
        let answer = call().await;
        assert_eq!(answer.status, 200, "{failure}");
        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 2, "{failure}");
        let quota = FailureClass::Quota;
        assert_eq!(attempts[0].class, Some(quota), "{provider} {failure}");
        assert!(matches!(attempts[0].next, Some(Next::Skip(_))));

        // Nor in any other call: it cools down, and says why.
        for answer in join_all((0..10).map(|_| call())).await {
            assert_eq!(answer.attempts().len(), 1, "{failure}");
            let passed = answer.trail.passed_over();
            assert_eq!(passed[0].reason, Reason::CoolingDown);
        }
        assert_eq!(mock.attempts(&spoken.model("first")), 1, "{failure}");
        assert_eq!(mock.attempts(&spoken.model("second")), 11);
        let why = cool_downs.of("first").unwrap().why;
        assert_eq!(why, Why::Failure(FailureClass::Quota));
    }
}

#[tokio::test]
async fn where_there_is_no_other_target_each_call_asks_once_and_gets_the_answer() {
    let openai = Spoken::of("openai");
    let mock = mock(&openai, "openai", "insufficient_quota").await;
    let stack = Setup::new(first(&openai)).http1();
    for call in 1..=3 {
        let response = within(stack.call(openai.request(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert_eq!(answer.status, 429);
        assert!(answer.contains("insufficient_quota"));
        assert_eq!(mock.attempts("first"), call);
    }
}
