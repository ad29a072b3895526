//! A target whose window cannot hold the request is passed over without being called.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    dialect::FailureClass,
    fallback::{PromptTokens, Targets, recipes::Recipe},
    trail::{Next, Reason},
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    answer::read,
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};

fn windows(spoken: &Spoken) -> Targets {
    let of = |name: &str, tokens| spoken.target(name).context_window(tokens).retries(0);
    Targets::new(of("small", 1_000)).then(of("large", 100_000))
}

#[tokio::test]
async fn of_any_dialect() {
    let client = http1();
    for spoken in SPOKEN {
        let mock = Mock::start().await.unwrap();
        mock.script_default(Reply::text("Here"));
        let stack = Setup::new(windows(&spoken)).over(client.clone());
        for (tokens, served) in [(1_000, "small"), (1_001, "large")] {
            let mut request = spoken.request(&mock.url(), "small");
            request.extensions_mut().insert(PromptTokens(tokens));
            let response = within(stack.call(request)).await;
            let answer = read(response.unwrap()).await;
            assert!(answer.error.is_none(), "{spoken:?}");
            let attempts = answer.attempts();
            assert_eq!(attempts.len(), 1, "{spoken:?}");
            assert_eq!(&*attempts[0].target, served, "{spoken:?}");
            let passed = answer.trail.passed_over();
            let small = |passed: &backstay::trail::PassedOver| {
                &*passed.target == "small" && passed.reason == Reason::ContextWindow
            };
            assert_eq!(passed.len(), usize::from(served == "large"));
            assert!(passed.iter().all(small), "{spoken:?}");
        }
        assert_eq!(mock.attempts(&spoken.model("small")), 1, "{spoken:?}");
        assert_eq!(mock.attempts(&spoken.model("large")), 1, "{spoken:?}");
    }
}

#[tokio::test]
async fn a_long_prompt_is_known_by_its_bytes() {
    let openai = Spoken::of("openai");
    let mock = Mock::start().await.unwrap();
    mock.script_default(Reply::text("Here"));
    let stack = Setup::new(windows(&openai)).http1();
    let prompt = "word ".repeat(4_000);
    let body = format!(
        r#"{{"model":"small","stream":true,"messages":[{{"role":"user","content":"{prompt}"}}]}}"#
    );
    let request = openai.request(&mock.url(), "small").map(|_| body.into());
    let response = within(stack.call(request)).await;
    assert!(read(response.unwrap()).await.error.is_none());
    assert_eq!((mock.attempts("small"), mock.attempts("large")), (0, 1));
}

#[tokio::test]
async fn what_the_provider_finds_too_long_is_final_unless_the_recipe_says_otherwise() {
    let client = http1();
    for name in ["openai", "anthropic", "gemini", "bedrock", "cohere"] {
        let spoken = Spoken::of(name);
        let mock = Mock::start().await.unwrap();
        let too_long = Reply::provider_error(name, "context_too_long").unwrap();
        mock.script(spoken.model("small"), too_long);
        mock.script(spoken.model("large"), Reply::text("Here"));
        let larger = windows(&spoken).policy(Recipe::new().larger_windows());
        for (targets, status, asked) in [(windows(&spoken), 400, 1), (larger, 200, 2)] {
            let stack = Setup::new(targets).over(client.clone());
            let response = within(stack.call(spoken.request(&mock.url(), "small"))).await;
            let answer = read(response.unwrap()).await;
            assert_eq!(answer.status, status, "{name}");
            let attempts = answer.attempts();
            assert_eq!(attempts.len(), asked, "{name}");
            let class = attempts[0].class;
            assert_eq!(class, Some(FailureClass::ContextTooLong), "{name}");
            if asked == 2 {
                let next = Some(Next::Skip(Reason::ContextWindow));
                assert_eq!(attempts[0].next, next, "{name}");
            }
        }
        assert_eq!(mock.attempts("large"), 1, "{name}");
    }
}
