//! An `overloaded_error` after `message_start` falls over, and the caller sees one `message_start`.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    cancel::Why,
    dialect::FailureClass,
    fallback::{CoolDowns, Targets},
    trail::Outcome,
};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    answer::read,
    ask::Api,
    spoken::Spoken,
    stack::{Setup, http1, http2},
    within,
};

#[tokio::test]
async fn of_the_target_that_answers() {
    let anthropic = Spoken::of("anthropic");
    for client in [http1(), http2()] {
        let mock = Mock::start().await.unwrap();
        mock.script(
            "first",
            Reply::text("first").error_in_band(0, "overloaded_error"),
        );
        mock.script("second", Reply::text("Here at last"));
        let cool_downs = CoolDowns::new();
        let targets = Targets::new(anthropic.target("first").retries(0))
            .then(anthropic.target("second"))
            .cool_downs(cool_downs.clone());
        let stack = Setup::new(targets).over(client);
        let response = within(stack.call(anthropic.request(&mock.url(), "first"))).await;
        let answer = read(response.unwrap()).await;
        assert!(answer.error.is_none());
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(text.starts_with("event: message_start\n"));
        assert_eq!(text.matches("event: message_start").count(), 1);
        assert_eq!(text.matches(r#""type":"message_start""#).count(), 1);
        assert!(!text.contains("error") && text.ends_with(Api::Anthropic.end_marker()));

        let attempts = answer.attempts();
        assert_eq!(attempts.len(), 2);
        assert_eq!(attempts[0].outcome, Outcome::InBand);
        assert_eq!(attempts[0].class, Some(FailureClass::Overloaded));
        assert_eq!(attempts[0].code.as_deref(), Some("overloaded_error"));
        // The first had begun its message, and that was held back.
        assert!(attempts[0].bytes > 0 && attempts[0].committed.is_none());
        assert_eq!(attempts[1].outcome, Outcome::Complete);
        // The id is that of the message that the caller sees.
        assert!(answer.contains(attempts[1].response_id.as_deref().unwrap()));
        assert_eq!(answer.trail.response_id(), attempts[1].response_id);
        // It said so of itself.
        assert!(cool_downs.of("first").is_some());
        assert_eq!(stack.ends().settled().await.observed(), [Why::Complete]);
    }
}
