//! A refusal is final, unless the recipe says otherwise.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    dialect::FailureClass,
    fallback::{Targets, recipes::Recipe},
    trail::Outcome,
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    answer::{Answer, read},
    spoken::Spoken,
    stack::Setup,
    within,
};

/// The answer to a call whose first target refuses it, and how many attempts it took.
async fn refused(spoken: &Spoken, refusal: Reply, recipe: Option<Recipe>) -> (Answer, usize) {
    let mock = Mock::start().await.unwrap();
    mock.script(spoken.model("first"), refusal);
    mock.script(spoken.model("second"), Reply::tokens(["willing"]));
    let mut targets = Targets::new(spoken.target("first")).then(spoken.target("second"));
    if let Some(recipe) = recipe {
        targets = targets.policy(recipe);
    }
    let stack = Setup::new(targets).http1();
    let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
    let answer = read(response.unwrap()).await;
    assert!(answer.error.is_none(), "{spoken:?} {:?}", answer.error);
    assert_eq!(answer.attempts().len(), mock.log().len());
    (answer, mock.log().len())
}

#[tokio::test]
async fn a_request_that_is_refused() {
    for (provider, failure) in [
        ("openai", "content_policy"),
        ("openai", "invalid_prompt"),
        ("azure", "content_policy"),
        ("openrouter", "moderation"),
    ] {
        let spoken = Spoken::of(provider);
        let refusal = || Reply::provider_error(provider, failure).unwrap();
        let (answer, asked) = refused(&spoken, refusal(), None).await;
        assert!((400..500).contains(&answer.status.as_u16()), "{failure}");
        assert_eq!(asked, 1, "{failure}");
        let class = answer.attempts()[0].class;
        assert_eq!(class, Some(FailureClass::ContentPolicy), "{failure}");

        let elsewhere = Recipe::new().elsewhere_on_refusal();
        let (answer, asked) = refused(&spoken, refusal(), Some(elsewhere)).await;
        assert_eq!((answer.status.as_u16(), asked), (200, 2), "{failure}");
        assert!(answer.contains("willing"));
    }
}

#[tokio::test]
async fn an_answer_that_is_withheld() {
    for (dialect, reason) in [
        ("openai", "content_filter"),
        ("azure", "content_filter"),
        ("anthropic", "refusal"),
        ("bedrock", "guardrail_intervened"),
        ("gemini", "SAFETY"),
    ] {
        let spoken = Spoken::of(dialect);
        let withheld = || Reply::tokens([""; 0]).finish_reason(reason);
        let (answer, asked) = refused(&spoken, withheld(), None).await;
        assert_eq!((answer.status.as_u16(), asked), (200, 1), "{dialect}");
        assert!(!answer.contains("willing"));

        let elsewhere = Recipe::new().elsewhere_on_refusal();
        let (answer, asked) = refused(&spoken, withheld(), Some(elsewhere)).await;
        assert_eq!((answer.status.as_u16(), asked), (200, 2), "{dialect}");
        assert_eq!(answer.attempts()[0].outcome, Outcome::Refused, "{dialect}");
        assert!(answer.contains("willing"), "{dialect}");
    }
}
