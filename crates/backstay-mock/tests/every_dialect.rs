//! Every streamed dialect says what its readers understand, and every fault works in each of them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may")]

mod client;

use std::io::Read;
use std::time::Duration;

use backstay_mock::{Dialect, Mock, Reply};
use client::stream::{ALL, Seen, Spoken};
use client::{Answer, End, ask};
use flate2::read::GzDecoder;
use tokio::time::Instant;

const MS: Duration = Duration::from_millis(1);

fn abc() -> Reply {
    Reply::tokens(["a", "b", "c"])
}

/// Asks each dialect for the reply, and hands what came to `check`.
async fn each(reply: Reply, check: impl Fn(&Spoken, &Answer, Option<Seen>)) {
    for spoken in ALL {
        let mock = Mock::start().await.unwrap();
        mock.script("m", reply.clone());
        let answer = ask(&mock, &spoken.request()).await;
        let seen = match answer.header("transfer-encoding") {
            Some(_) => spoken.read(&answer.body()),
            None => None,
        };
        check(spoken, &answer, seen);
        let entry = &mock.log()[0];
        assert_eq!(entry.dialect.map(Dialect::as_str), Some(spoken.dialect));
        assert_eq!(entry.model.as_deref(), Some("m"), "{spoken:?}");
    }
}

#[tokio::test]
async fn a_plain_stream_says_its_tokens_and_ends_with_evidence() {
    each(abc(), |spoken, answer, seen| {
        let seen = seen.unwrap();
        assert_eq!(
            (answer.status(), &answer.end),
            (200, &End::Closed),
            "{spoken:?}"
        );
        assert!(answer.is_terminated(), "{spoken:?}");
        assert_eq!(seen.texts, ["a", "b", "c"], "{spoken:?}");
        assert!(
            seen.ended && seen.finish.is_some() && seen.error.is_none(),
            "{spoken:?}"
        );
        assert!(seen.reasoning.is_empty() && seen.tools == 0, "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn reasoning_and_tool_calls_are_told_apart_from_content() {
    let rich = Reply::tokens(["Hi", " there"])
        .reasoning(["hm", "so"])
        .tool_call("look", r#"{"at":"sea"}"#)
        .tool_call("leap", "{}");
    each(rich, |spoken, _, seen| {
        let seen = seen.unwrap();
        assert_eq!(seen.texts, ["Hi", " there"], "{spoken:?}");
        assert_eq!(seen.reasoning, ["hm", "so"], "{spoken:?}");
        assert_eq!((seen.tools, seen.ended), (2, true), "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn usage_is_there_wherever_the_dialect_sends_it_unasked() {
    // The OpenAI-shaped family sends it when asked, but for these.
    let unasked = ["mistral", "groq", "openrouter"];
    each(abc().reasoning(["hm"]), |spoken, _, seen| {
        let asked_for =
            spoken.path.contains("chat/completions") && !unasked.contains(&spoken.dialect);
        let expected = (!asked_for).then_some(4);
        assert_eq!(seen.unwrap().usage, expected, "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn a_cut_is_no_end() {
    each(abc().cut_after_tokens(2), |spoken, answer, seen| {
        let seen = seen.unwrap();
        assert_eq!(seen.texts, ["a", "b"], "{spoken:?}");
        assert!(!seen.ended && !answer.is_terminated(), "{spoken:?}");
        assert_eq!(answer.end, End::Closed, "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn a_reset_is_a_reset() {
    each(abc().reset_after_tokens(1), |spoken, answer, seen| {
        assert_eq!(seen.unwrap().texts, ["a"], "{spoken:?}");
        assert_eq!(answer.end, End::Reset, "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn a_stall_is_silent_and_open() {
    each(abc().stall_after_tokens(1), |spoken, answer, seen| {
        let seen = seen.unwrap();
        assert_eq!((seen.texts.len(), seen.ended), (1, false), "{spoken:?}");
        assert_eq!(answer.end, End::Open, "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn an_empty_stream_has_not_a_byte() {
    each(abc().empty_stream(), |spoken, answer, seen| {
        assert!(
            seen.is_none_or(|seen| seen == Seen::default()),
            "{spoken:?}"
        );
        assert_eq!(
            (answer.body().len(), answer.status()),
            (0, 200),
            "{spoken:?}"
        );
    })
    .await;
}

#[tokio::test]
async fn garbage_cannot_be_read() {
    each(abc().garbage(), |spoken, answer, seen| {
        assert_eq!(seen, None, "{spoken:?}");
        assert!(!answer.body().is_empty(), "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn an_error_in_band_follows_its_tokens_and_is_no_end() {
    for reply in [
        abc().error_in_band(1, "boom"),
        abc().failed_in_band(1, "boom"),
    ] {
        each(reply, |spoken, answer, seen| {
            // Older builds of llama.cpp hide it in a field that is none of SSE's.
            let hidden = String::from_utf8_lossy(&answer.body()).contains("\nerror: {");
            let seen = match seen {
                Some(seen) => seen,
                None => panic!("{spoken:?}"),
            };
            assert_eq!(seen.texts, ["a"], "{spoken:?}");
            if hidden {
                assert_eq!(spoken.dialect, "llama.cpp");
                return;
            }
            let error = seen.error.unwrap();
            let coded = spoken.dialect != "mistral" && spoken.dialect != "tgi";
            assert!(!coded || error.contains("boom"), "{spoken:?} {error}");
            assert!(!seen.ended && answer.is_terminated(), "{spoken:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn an_error_before_the_first_token_comes_after_the_start_of_the_message() {
    each(
        abc().error_in_band(0, "overloaded_error"),
        |spoken, answer, seen| {
            let seen = seen.unwrap();
            assert!(seen.texts.is_empty() && seen.error.is_some(), "{spoken:?}");
            if spoken.dialect == "anthropic" {
                let body = String::from_utf8(answer.body()).unwrap();
                let at = |what: &str| body.find(what).unwrap();
                assert!(at("event: message_start") < at("event: error"));
                assert_eq!(seen.error.as_deref(), Some("overloaded_error"));
            }
        },
    )
    .await;
}

#[tokio::test]
async fn without_an_end_marker_there_is_no_evidence_of_an_end() {
    each(abc().no_end_marker(), |spoken, answer, seen| {
        let seen = seen.unwrap();
        assert_eq!(
            (seen.texts.len(), seen.ended, seen.finish),
            (3, false, None),
            "{spoken:?}"
        );
        assert!(answer.is_terminated(), "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn a_socket_can_stay_open_after_the_end() {
    for reply in [abc().hold_open_after_end(), abc().stay_open()] {
        each(reply, |spoken, answer, seen| {
            assert!(seen.unwrap().ended, "{spoken:?}");
            assert!(!answer.is_terminated(), "{spoken:?}");
            assert_eq!(answer.end, End::Open, "{spoken:?}");
        })
        .await;
    }
}

#[tokio::test]
async fn a_socket_can_stay_open_after_an_error_in_band() {
    each(
        abc().error_in_band(0, "boom").stay_open(),
        |spoken, answer, seen| {
            assert!(seen.unwrap().error.is_some(), "{spoken:?}");
            assert_eq!(answer.end, End::Open, "{spoken:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn pings_and_comments_are_bytes_that_say_nothing() {
    for reply in [abc().pings(2, MS), abc().comments_after_tokens(1, 2, MS)] {
        for spoken in ALL {
            let mock = Mock::start().await.unwrap();
            mock.script("m", reply.clone());
            let noisy = ask(&mock, &spoken.request()).await.body();
            mock.script("m", abc());
            let plain = ask(&mock, &spoken.request()).await.body();
            assert!(noisy.len() > plain.len(), "{spoken:?}");
            let (mut noisy, mut plain) =
                (spoken.read(&noisy).unwrap(), spoken.read(&plain).unwrap());
            (noisy.events, plain.events) = (0, 0);
            assert_eq!(noisy, plain, "{spoken:?}");
        }
    }
}

#[tokio::test]
async fn long_reasoning_comes_first_and_keeps_its_pace() {
    each_timed(abc().long_reasoning(4, 10 * MS), 40 * MS, |spoken, seen| {
        assert_eq!(seen.reasoning.len(), 4, "{spoken:?}");
        assert_eq!(seen.texts.len(), 3, "{spoken:?}");
    })
    .await;
    let cut_off = abc().long_reasoning(4, MS).stall_after_tokens(4);
    each(cut_off, |spoken, _, seen| {
        let seen = seen.unwrap();
        assert_eq!(
            (seen.reasoning.len(), seen.texts.len()),
            (4, 0),
            "{spoken:?}"
        );
    })
    .await;
}

async fn each_timed(reply: Reply, at_least: Duration, check: impl Fn(&Spoken, &Seen)) {
    for spoken in ALL {
        let mock = Mock::start().await.unwrap();
        mock.script("m", reply.clone());
        let began = Instant::now();
        let answer = ask(&mock, &spoken.request()).await;
        let took = Instant::now().saturating_duration_since(began);
        assert!(took >= at_least, "{spoken:?} {took:?}");
        check(spoken, &spoken.read(&answer.body()).unwrap());
    }
}

#[tokio::test]
async fn split_and_compressed_it_is_the_same_stream() {
    each(abc().split_frames(7), |spoken, answer, seen| {
        assert!(
            answer.chunks().0.iter().all(|chunk| chunk.len() <= 7),
            "{spoken:?}"
        );
        assert_eq!(seen.unwrap().texts, ["a", "b", "c"], "{spoken:?}");
    })
    .await;
    each(abc().gzip(), |spoken, answer, _| {
        let mut plain = Vec::new();
        let body = answer.body();
        GzDecoder::new(body.as_slice())
            .read_to_end(&mut plain)
            .unwrap();
        assert!(spoken.read(&plain).unwrap().ended, "{spoken:?}");
    })
    .await;
}

#[tokio::test]
async fn a_status_is_an_error_document_in_a_stream_too() {
    each(
        Reply::status(429).header("retry-after", "1"),
        |spoken, answer, _| {
            assert_eq!(answer.status(), 429, "{spoken:?}");
            assert_eq!(
                answer.header("content-type"),
                Some("application/json"),
                "{spoken:?}"
            );
            assert!(answer.json().is_object(), "{spoken:?}");
        },
    )
    .await;
}

#[tokio::test]
async fn names_stand_for_faults_in_every_dialect() {
    for spoken in ALL {
        let mock = Mock::start().await.unwrap();
        let named = |name: &str| {
            let path = spoken
                .path
                .replace("/m/", &format!("/{name}/"))
                .replace("/m:", &format!("/{name}:"));
            let body = serde_json::json!({"model": name, "stream": true}).to_string();
            client::request("POST", &path, &body)
        };
        let overloaded = ask(&mock, &named("overloaded")).await.status();
        assert!([503, 529].contains(&overloaded), "{spoken:?}");
        assert!([402, 429, 400].contains(&ask(&mock, &named("no-quota")).await.status()));
        assert!((400..500).contains(&ask(&mock, &named("too-long")).await.status()));
        let failed = ask(&mock, &named("early-in-band-error")).await;
        assert!(
            spoken.read(&failed.body()).unwrap().error.is_some(),
            "{spoken:?}"
        );
    }
}
