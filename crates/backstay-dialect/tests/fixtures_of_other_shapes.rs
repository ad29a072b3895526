//! Recorded streams of the dialects that are not of OpenAI's or Anthropic's shape, replayed as those in
//! `fixtures.rs` are.

mod replay;

use backstay_dialect::{
    BedrockAnthropic, BedrockConverse, CohereChat, FailureClass, Framing, Gemini, Progress,
    VertexAnthropic, VertexGemini,
};
use replay::{Expected, Fixture, Success, replay};

#[test]
fn gemini() {
    replay(
        &Fixture {
            file: "gemini.sse",
            dialect: &Gemini,
            framing: Framing::ServerSent,
            success: Success::AfterEvent(r#""finishReason":"STOP""#),
        },
        &Expected {
            progress: Progress::Content,
            finished: true,
            response_id: Some("mE8kaY7XNoqG-sAP"),
            usage: Some((9, 42)),
            events: 4,
            ..Expected::default()
        },
    );
}

#[test]
fn gemini_as_an_array() {
    replay(
        &Fixture {
            file: "gemini_array.json",
            dialect: &VertexGemini,
            framing: Framing::JsonArray,
            success: Success::After(b"}\n]"),
        },
        &Expected {
            progress: Progress::Content,
            finished: true,
            ended: true,
            response_id: Some("mE8kaY7XNoqG-sAP"),
            usage: Some((9, 42)),
            events: 4,
            ..Expected::default()
        },
    );
}

#[test]
fn gemini_that_blocks() {
    replay(
        &Fixture {
            file: "gemini_blocked.sse",
            dialect: &Gemini,
            framing: Framing::ServerSent,
            success: Success::AfterEvent(r#""blockReason":"PROHIBITED_CONTENT""#),
        },
        &Expected {
            finished: true,
            refused: true,
            response_id: Some("p08kaYi1"),
            events: 1,
            ..Expected::default()
        },
    );
}

#[test]
fn gemini_that_fails() {
    for (file, framing) in [
        ("gemini_failed.sse", Framing::ServerSent),
        ("gemini_failed_array.json", Framing::JsonArray),
    ] {
        replay(
            &Fixture {
                file,
                dialect: &Gemini,
                framing,
                success: Success::Never,
            },
            &Expected {
                progress: Progress::Content,
                error: Some((FailureClass::Overloaded, Some("UNAVAILABLE"))),
                events: 2,
                ..Expected::default()
            },
        );
    }
}

#[test]
fn bedrock_converse() {
    replay(
        &Fixture {
            file: "bedrock_converse.eventstream",
            dialect: &BedrockConverse,
            framing: Framing::EventStream,
            // The end of the frame of messageStop.
            success: Success::At(1627),
        },
        &Expected {
            progress: Progress::Content,
            finished: true,
            ended: true,
            usage: Some((27, 33)),
            events: 11,
            ..Expected::default()
        },
    );
}

#[test]
fn bedrock_converse_that_fails() {
    replay(
        &Fixture {
            file: "bedrock_converse_failed.eventstream",
            dialect: &BedrockConverse,
            framing: Framing::EventStream,
            success: Success::Never,
        },
        &Expected {
            progress: Progress::Content,
            error: Some((FailureClass::Server, Some("modelStreamErrorException"))),
            events: 3,
            ..Expected::default()
        },
    );
}

#[test]
fn bedrock_anthropic() {
    replay(
        &Fixture {
            file: "bedrock_anthropic.eventstream",
            dialect: &BedrockAnthropic,
            framing: Framing::EventStream,
            // The end of the frame of message_delta.
            success: Success::At(6090),
        },
        &Expected {
            progress: Progress::Content,
            finished: true,
            ended: true,
            usage: Some((17, 9)),
            events: 6,
            ..Expected::default()
        },
    );
}

#[test]
fn cohere() {
    replay(
        &Fixture {
            file: "cohere_chat.sse",
            dialect: &CohereChat,
            framing: Framing::ServerSent,
            success: Success::AfterEvent(r#""finish_reason":"COMPLETE""#),
        },
        &Expected {
            progress: Progress::Content,
            finished: true,
            ended: true,
            response_id: Some("29f14a5a-11de-4cae-9800-25e4747408ea"),
            usage: Some((17, 28)),
            events: 11,
            ..Expected::default()
        },
    );
}

#[test]
fn cohere_that_fails() {
    replay(
        &Fixture {
            file: "cohere_chat_failed.sse",
            dialect: &CohereChat,
            framing: Framing::ServerSent,
            success: Success::Never,
        },
        &Expected {
            progress: Progress::Content,
            error: Some((FailureClass::Server, Some("ERROR"))),
            response_id: Some("29f14a5a-11de-4cae-9800-25e4747408ea"),
            events: 4,
            ..Expected::default()
        },
    );
}

#[test]
fn vertex_anthropic() {
    replay(
        &Fixture {
            file: "anthropic.sse",
            dialect: &VertexAnthropic,
            framing: Framing::ServerSent,
            success: Success::AfterEvent(r#""stop_reason":"end_turn""#),
        },
        &Expected {
            progress: Progress::Content,
            finished: true,
            ended: true,
            response_id: Some("msg_01XFDUDYJgAACzvnptvVoYEL"),
            usage: Some((17, 9)),
            events: 8,
            ..Expected::default()
        },
    );
}

#[test]
fn vertex_anthropic_that_google_ends() {
    replay(
        &Fixture {
            file: "vertex_anthropic_failed.sse",
            dialect: &VertexAnthropic,
            framing: Framing::ServerSent,
            success: Success::Never,
        },
        &Expected {
            error: Some((FailureClass::RateLimit, Some("RESOURCE_EXHAUSTED"))),
            response_id: Some("msg_vrtx_01"),
            usage: Some((3, 1)),
            events: 3,
            ..Expected::default()
        },
    );
}
