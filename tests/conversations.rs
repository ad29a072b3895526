//! A conversation stays with the target that served it.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::fallback::{Conversation, CoolDowns, Pins, Targets};
use backstay_mock::{Mock, Reply, Script};
use backstay_tests::{
    answer::read,
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};

#[tokio::test]
async fn also_when_the_first_target_is_well_again() {
    let client = http1();
    for spoken in SPOKEN {
        let mock = Mock::start().await.unwrap();
        // One bad moment.
        let script = Script::new()
            .attempt(Reply::status(500))
            .then(Reply::text("first"));
        mock.script(spoken.model("first"), script);
        mock.script(spoken.model("second"), Reply::text("second"));
        let pins = Pins::new(100);
        let targets = Targets::new(spoken.target("first"))
            .then(spoken.target("second"))
            .retries(0)
            // What keeps the conversation away from the first is the pin alone.
            .cool_downs(CoolDowns::off())
            .pins(pins.clone());
        let stack = Setup::new(targets).over(client.clone());
        let served_by = |conversation: Option<&'static str>| {
            let mut request = spoken.request(&mock.url(), "first");
            if let Some(name) = conversation {
                request.extensions_mut().insert(Conversation::of(name));
            }
            let call = stack.call(request);
            async move {
                let answer = read(within(call).await.unwrap()).await;
                assert!(answer.error.is_none());
                answer.attempts().last().unwrap().target.to_string()
            }
        };
        assert_eq!(served_by(Some("one")).await, "second", "{spoken:?}");
        for _ in 0..3 {
            assert_eq!(served_by(Some("one")).await, "second", "{spoken:?}");
            assert_eq!(served_by(Some("another")).await, "first", "{spoken:?}");
            assert_eq!(served_by(None).await, "first", "{spoken:?}");
        }
        let second = &spoken.model("second");
        assert_eq!(mock.attempts(second), 4, "{spoken:?}");
        assert_eq!(mock.attempts(&spoken.model("first")), 7, "{spoken:?}");

        // Forgotten, it begins where every call does.
        pins.forget(Conversation::of("one"));
        assert_eq!(served_by(Some("one")).await, "first", "{spoken:?}");
    }
}

#[tokio::test]
async fn a_pinned_target_that_fails_is_left_for_the_next() {
    let openai = Spoken::of("openai");
    let mock = Mock::start().await.unwrap();
    mock.script(
        "first",
        Script::new()
            .attempt(Reply::status(500))
            .then(Reply::text("x")),
    );
    mock.script(
        "second",
        Script::new()
            .attempt(Reply::text("x"))
            .then(Reply::status(503)),
    );
    let pins = Pins::new(100);
    let targets = Targets::new(openai.target("first")).then(openai.target("second"));
    let stack = Setup::new(targets.retries(0).pins(pins.clone())).http1();
    for served in ["second", "first", "first"] {
        let mut request = openai.request(&mock.url(), "first");
        request.extensions_mut().insert(Conversation::of("one"));
        let answer = read(within(stack.call(request)).await.unwrap()).await;
        assert!(answer.error.is_none());
        assert_eq!(&*answer.attempts().last().unwrap().target, served);
        let pinned = pins.target(Conversation::of("one"));
        assert_eq!(pinned.as_deref(), Some(served));
    }
}
