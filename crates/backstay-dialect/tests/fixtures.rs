//! Recorded streams, replayed: what each says, that no cut changes it, and where its success begins.

mod replay;

use backstay_dialect::{AnthropicMessages, Framing, OpenAiChat, Progress};
use replay::{Expected, Fixture, Success, replay};

#[test]
fn framing_of_every_kind() {
    replay(
        &Fixture {
            file: "framing_of_every_kind.sse",
            dialect: &OpenAiChat,
            framing: Framing::ServerSent,
            success: Success::AfterEvent(r#""finish_reason":"stop""#),
        },
        &Expected {
            progress: Progress::Content,
            finished: true,
            ended: true,
            response_id: Some("chatcmpl-1"),
            usage: Some((12, 34)),
            events: 6,
            ..Expected::default()
        },
    );
}

#[test]
fn anthropic() {
    replay(
        &Fixture {
            file: "anthropic.sse",
            dialect: &AnthropicMessages,
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
