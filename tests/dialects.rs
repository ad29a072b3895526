//! What is promised of a stream holds for every dialect that has streams.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::{
    Body, Error, ErrorKind,
    dialect::FailureClass,
    fallback::Targets,
    trail::{Next, Outcome},
};
use backstay_client::Client;
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    answer::{Answer, attempts, find, read},
    spoken::{SPOKEN, Spoken},
    stack::{Setup, http1},
    within,
};
use bytes::Bytes;
use http_body_util::BodyExt;
use tower::ServiceExt;

fn first() -> Reply {
    Reply::tokens(["first", "first"])
}

async fn mock(spoken: &Spoken, reply: Reply) -> Mock {
    let mock = Mock::start().await.unwrap();
    mock.script(spoken.model("first"), reply);
    mock.script(spoken.model("second"), Reply::tokens(["sec", "ond"]));
    mock
}

/// The whole stack's answer to a call whose first target gives this reply.
async fn answered(client: &Client<Body>, spoken: &Spoken, reply: Reply) -> (Mock, Answer) {
    let mock = mock(spoken, reply).await;
    let targets = Targets::new(spoken.target("first").retries(0)).then(spoken.target("second"));
    let stack = Setup::new(targets).over(client.clone());
    let response = within(stack.call(spoken.request(&mock.url(), "first"))).await;
    let answer = read(response.unwrap()).await;
    let log = mock.log();
    let spoke = |entry: &backstay_mock::Logged| entry.dialect.map(|it| it.as_str());
    assert!(log.iter().all(|entry| spoke(entry) == Some(spoken.dialect)));
    (mock, answer)
}

/// What each of the two models says to whoever asks it himself, in this order.
async fn asked_directly(
    client: &Client<Body>,
    spoken: &Spoken,
    reply: Reply,
) -> [Option<Bytes>; 2] {
    let mock = mock(spoken, reply).await;
    let mut said = [None, None];
    for (name, said) in ["first", "second"].into_iter().zip(&mut said) {
        let response = within(client.clone().oneshot(spoken.request(&mock.url(), name))).await;
        let body = within(response.unwrap().into_body().collect()).await;
        *said = body.ok().map(|body| body.to_bytes());
    }
    said
}

#[tokio::test]
async fn a_healthy_stream_passes_byte_for_byte() {
    let client = http1();
    for spoken in SPOKEN {
        for reply in [first(), first().reasoning(["hm"]).split_frames(7)] {
            let (mock, answer) = answered(&client, &spoken, reply.clone()).await;
            assert!(answer.error.is_none(), "{spoken:?} {:?}", answer.error);
            let [said, _] = asked_directly(&client, &spoken, reply).await;
            assert_eq!(Some(answer.body.clone()), said, "{spoken:?}");
            assert!(answer.contains("first") || spoken.dialect == "bedrock-invoke");
            assert_eq!(mock.log().len(), 1, "{spoken:?}");
            let attempts = answer.attempts();
            assert_eq!(attempts[0].outcome, Outcome::Complete, "{spoken:?}");
        }
    }
}

#[tokio::test]
async fn the_trail_has_the_answers_id_and_its_usage() {
    let client = http1();
    for spoken in SPOKEN {
        let (_mock, answer) = answered(&client, &spoken, first()).await;
        let attempt = answer.attempts().remove(0);
        let id = attempt.response_id.as_deref();
        assert_eq!(id.is_some(), spoken.has_id, "{spoken:?}");
        assert_eq!(answer.trail.response_id().as_deref(), id, "{spoken:?}");
        // It is the one that the caller sees.
        assert!(id.is_none_or(|id| answer.contains(id)), "{spoken:?}");
        let usage = attempt.usage.unwrap_or_default();
        assert_eq!(usage.output, Some(2), "{spoken:?}");
        assert!(usage.input.is_some_and(|input| input > 0), "{spoken:?}");
    }
}

/// The second target's whole answer, and nothing else.
async fn assert_fell_over(
    client: &Client<Body>,
    spoken: &Spoken,
    reply: Reply,
    outcome: Outcome,
) -> Answer {
    let (_mock, answer) = answered(client, spoken, reply).await;
    assert!(answer.error.is_none(), "{spoken:?} {:?}", answer.error);
    let [_, said] = asked_directly(client, spoken, first()).await;
    assert_eq!(Some(answer.body.clone()), said, "{spoken:?}");
    let attempts = answer.attempts();
    assert_eq!(attempts.len(), 2, "{spoken:?}");
    assert_eq!(attempts[0].outcome, outcome, "{spoken:?}");
    assert!(attempts[0].committed.is_none(), "{spoken:?}");
    assert!(matches!(attempts[0].next, Some(Next::Skip(_))));
    assert_eq!(attempts[1].outcome, Outcome::Complete, "{spoken:?}");
    answer
}

/// The dialect's other form of an error in band. Older builds of llama.cpp have one in a field that is none of
/// SSE's, so that no reader of events sees it.
fn closing(spoken: &Spoken, after_tokens: usize, code: &str) -> Reply {
    match spoken.dialect {
        "llama.cpp" => first().error_in_band(after_tokens, code),
        _ => first().failed_in_band(after_tokens, code),
    }
}

#[tokio::test]
async fn an_error_in_band_before_content_falls_over() {
    let client = http1();
    for spoken in SPOKEN {
        let code = spoken.overloaded.unwrap_or("boom");
        for reply in [
            first().error_in_band(0, code),
            closing(&spoken, 0, code),
            // The socket stays open: the error itself is the end.
            first().error_in_band(0, code).stay_open(),
        ] {
            let answer = assert_fell_over(&client, &spoken, reply, Outcome::InBand).await;
            if spoken.overloaded.is_some() {
                let class = answer.attempts()[0].class;
                assert_eq!(class, Some(FailureClass::Overloaded), "{spoken:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_cut_before_content_falls_over() {
    let client = http1();
    for spoken in SPOKEN {
        for reply in [first().cut_after_tokens(0), first().reset_after_tokens(0)] {
            assert_fell_over(&client, &spoken, reply, Outcome::Transport).await;
        }
        assert_fell_over(&client, &spoken, first().empty_stream(), Outcome::Empty).await;
    }
    // The error that nobody sees: there was no content all the same.
    let hidden = first().failed_in_band(0, "boom");
    assert_fell_over(&client, &Spoken::of("llama.cpp"), hidden, Outcome::Empty).await;
}

/// The typed error at the end of an answer that had begun, and how it says that the attempt ended.
async fn told(client: &Client<Body>, spoken: &Spoken, reply: Reply) -> (ErrorKind, Outcome) {
    let (mock, answer) = answered(client, spoken, reply).await;
    assert_eq!(mock.log().len(), 1, "{spoken:?}");
    assert!(!answer.body.is_empty(), "{spoken:?}");
    let error = answer.error.unwrap();
    let attempts = attempts(&error);
    assert_eq!(attempts.len(), 1, "{spoken:?}");
    assert!(attempts[0].committed.is_some(), "{spoken:?}");
    assert_eq!(find(&error).target(), Some("first"));
    (Error::kind(find(&error)), attempts[0].outcome)
}

#[tokio::test]
async fn a_cut_after_content_is_a_typed_error_that_carries_the_trail() {
    let client = http1();
    for spoken in SPOKEN {
        for reply in [first().cut_after_tokens(1), first().reset_after_tokens(1)] {
            let told = told(&client, &spoken, reply).await;
            let expected = (ErrorKind::Transport, Outcome::Transport);
            assert_eq!(told, expected, "{spoken:?}");
        }
    }
}

#[tokio::test]
async fn an_end_without_evidence_is_no_success() {
    let client = http1();
    for spoken in SPOKEN {
        let told = told(&client, &spoken, first().no_end_marker()).await;
        let expected = (ErrorKind::Truncated, Outcome::Truncated);
        assert_eq!(told, expected, "{spoken:?}");
    }
}

#[tokio::test]
async fn an_error_in_band_after_content_is_a_typed_error() {
    let client = http1();
    for spoken in SPOKEN {
        let code = spoken.overloaded.unwrap_or("boom");
        for reply in [first().error_in_band(1, code), closing(&spoken, 1, code)] {
            let (kind, outcome) = told(&client, &spoken, reply).await;
            assert!(matches!(kind, ErrorKind::InBand(_)), "{spoken:?} {kind:?}");
            assert_eq!(outcome, Outcome::InBand, "{spoken:?}");
            if spoken.overloaded.is_some() {
                let overloaded = ErrorKind::InBand(FailureClass::Overloaded);
                assert_eq!(kind, overloaded, "{spoken:?}");
            }
        }
    }
}
