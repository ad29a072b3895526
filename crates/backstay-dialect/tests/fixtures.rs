//! Recorded streams of OpenAI's shapes and of Anthropic's, replayed: what each says, that no cut changes it, and
//! where its success begins.

mod replay;

use backstay_dialect::{
    AnthropicMessages, AzureOpenAi, Dialect, FailureClass, Framing, Groq, Mistral, OpenAiChat,
    OpenAiCompatible, OpenAiResponses, OpenRouter, Progress,
};
use replay::{Expected, Fixture, Success};

#[track_caller]
fn replay(file: &'static str, dialect: &'static dyn Dialect, success: Success, said: Expected) {
    let framing = Framing::ServerSent;
    let fixture = Fixture {
        file,
        dialect,
        framing,
        success,
    };
    replay::replay(&fixture, &said);
}

/// A stream that ends as it should, with its id, its tokens and the number of its events.
fn good(id: &'static str, usage: Option<(u64, u64)>, events: u32) -> Expected {
    Expected {
        progress: Progress::Content,
        finished: true,
        ended: true,
        response_id: Some(id),
        usage,
        events,
        ..Expected::default()
    }
}

/// A stream that fails, with what it had said before.
fn bad(
    class: FailureClass,
    code: Option<&'static str>,
    progress: Progress,
    id: &'static str,
    events: u32,
) -> Expected {
    Expected {
        progress,
        error: Some((class, code)),
        response_id: Some(id),
        events,
        ..Expected::default()
    }
}

const STOP: Success = Success::AfterEvent(r#""finish_reason":"stop""#);

const CHATCMPL: &str = "chatcmpl-CkQ7xv2bZ0";

#[test]
fn openai_chat() {
    replay(
        "openai_chat.sse",
        &OpenAiChat,
        STOP,
        good(CHATCMPL, Some((19, 10)), 6),
    );
    let tools = Success::AfterEvent(r#""finish_reason":"tool_calls""#);
    replay(
        "openai_chat_tools.sse",
        &OpenAiChat,
        tools,
        good(CHATCMPL, None, 5),
    );
}

#[test]
fn an_openai_chat_refusal_is_an_answer() {
    replay(
        "openai_chat_refusal.sse",
        &OpenAiChat,
        STOP,
        good(CHATCMPL, None, 5),
    );
}

#[test]
fn openai_chat_with_an_error() {
    let said = bad(
        FailureClass::Server,
        Some("server_error"),
        Progress::None,
        CHATCMPL,
        2,
    );
    replay("openai_chat_error.sse", &OpenAiChat, Success::Never, said);
}

#[test]
fn openai_chat_that_breaks_off_is_never_a_success() {
    let said = Expected {
        progress: Progress::Content,
        response_id: Some(CHATCMPL),
        events: 3,
        ..Expected::default()
    };
    replay("openai_chat_cut.sse", &OpenAiChat, Success::Never, said);
}

#[test]
fn framing_of_every_kind() {
    replay(
        "framing_of_every_kind.sse",
        &OpenAiChat,
        STOP,
        good("chatcmpl-1", Some((12, 34)), 6),
    );
}

const RESPONSE: &str = "resp_68af4030592c81938ec0a5fbab4a3e9f";

#[test]
fn openai_responses() {
    let end = Success::AfterEvent("event: response.completed");
    replay(
        "openai_responses.sse",
        &OpenAiResponses,
        end,
        good(RESPONSE, Some((37, 11)), 13),
    );
    replay(
        "openai_responses_tools.sse",
        &OpenAiResponses,
        end,
        good(RESPONSE, Some((37, 11)), 11),
    );
}

#[test]
fn openai_responses_that_are_incomplete_are_a_success() {
    let end = Success::AfterEvent("event: response.incomplete");
    let said = good(RESPONSE, Some((37, 11)), 7);
    replay(
        "openai_responses_incomplete.sse",
        &OpenAiResponses,
        end,
        said.clone(),
    );
    let withheld = Expected {
        refused: true,
        ..said
    };
    replay(
        "openai_responses_withheld.sse",
        &OpenAiResponses,
        end,
        withheld,
    );
}

#[test]
fn openai_responses_with_an_error() {
    use FailureClass::{Overloaded, RateLimit};
    let said = bad(
        RateLimit,
        Some("rate_limit_exceeded"),
        Progress::None,
        RESPONSE,
        3,
    );
    replay(
        "openai_responses_failed.sse",
        &OpenAiResponses,
        Success::Never,
        said,
    );
    let said = bad(
        Overloaded,
        Some("server_is_overloaded"),
        Progress::None,
        RESPONSE,
        3,
    );
    replay(
        "openai_responses_error.sse",
        &OpenAiResponses,
        Success::Never,
        said,
    );
}

#[test]
fn azure_that_withholds() {
    let said = Expected {
        refused: true,
        ..good("chatcmpl-Az1", None, 5)
    };
    let end = Success::AfterEvent(r#""finish_reason":"content_filter""#);
    replay("azure_withheld.sse", &AzureOpenAi, end, said);
}

#[test]
fn mistral() {
    replay(
        "mistral.sse",
        &Mistral,
        STOP,
        good("b3b2c5d1e0f94a7d", Some((14, 11)), 5),
    );
}

#[test]
fn mistral_that_finishes_with_an_error() {
    let said = bad(
        FailureClass::Server,
        Some("error"),
        Progress::Content,
        "b3b2c5d1e0f94a7d",
        4,
    );
    let said = Expected {
        usage: Some((14, 1)),
        ended: true,
        ..said
    };
    replay("mistral_error.sse", &Mistral, Success::Never, said);
}

#[test]
fn groq() {
    replay(
        "groq.sse",
        &Groq,
        STOP,
        good("chatcmpl-f51b2cd2", Some((18, 9)), 5),
    );
}

#[test]
fn groq_with_an_error() {
    let code = Some("internal_server_error");
    let said = bad(
        FailureClass::Server,
        code,
        Progress::Content,
        "chatcmpl-f51b2cd2",
        3,
    );
    replay("groq_error.sse", &Groq, Success::Never, said);
}

#[test]
fn openrouter() {
    replay(
        "openrouter.sse",
        &OpenRouter,
        STOP,
        good("gen-1763800000-Zk3", Some((14, 11)), 6),
    );
}

#[test]
fn openrouter_with_an_error() {
    let code = Some("server_error");
    let said = bad(
        FailureClass::Server,
        code,
        Progress::Content,
        "gen-1763800000-Zk3",
        2,
    );
    replay("openrouter_error.sse", &OpenRouter, Success::Never, said);
}

const SELF_HOSTED: &dyn Dialect = &OpenAiCompatible::SELF_HOSTED;

#[test]
fn vllm() {
    replay(
        "vllm.sse",
        SELF_HOSTED,
        STOP,
        good("chatcmpl-7f7a", Some((9, 5)), 6),
    );
}

#[test]
fn vllm_that_fails_and_says_done_all_the_same() {
    let code = Some("InternalServerError");
    let said = bad(
        FailureClass::Server,
        code,
        Progress::Content,
        "chatcmpl-7f7a",
        4,
    );
    let said = Expected {
        ended: true,
        ..said
    };
    replay("vllm_error.sse", SELF_HOSTED, Success::Never, said);
    let said = bad(
        FailureClass::Server,
        Some("abort"),
        Progress::Content,
        "chatcmpl-7f7a",
        4,
    );
    let said = Expected {
        ended: true,
        ..said
    };
    replay("vllm_aborted.sse", SELF_HOSTED, Success::Never, said);
}

#[test]
fn a_finish_reason_is_enough_where_done_is_left_out() {
    let said = Expected {
        ended: false,
        ..good("chatcmpl-7f7a", Some((9, 5)), 3)
    };
    replay("no_done.sse", SELF_HOSTED, STOP, said);
}

#[test]
fn text_generation_inference_with_an_error() {
    let said = bad(
        FailureClass::Server,
        Some("500"),
        Progress::Content,
        "chatcmpl-7f7a",
        2,
    );
    replay("tgi_error.sse", SELF_HOSTED, Success::Never, said);
}

#[test]
fn deepseek() {
    let dialect = &OpenAiCompatible::DEEPSEEK;
    replay(
        "deepseek.sse",
        dialect,
        STOP,
        good("chatcmpl-7f7a", Some((9, 5)), 5),
    );
    let code = Some("insufficient_system_resource");
    let said = bad(
        FailureClass::Overloaded,
        code,
        Progress::Reasoning,
        "chatcmpl-7f7a",
        3,
    );
    let said = Expected {
        ended: true,
        ..said
    };
    replay(
        "deepseek_out_of_resources.sse",
        dialect,
        Success::Never,
        said,
    );
}

const MESSAGE: &str = "msg_01XFDUDYJgAACzvnptvVoYEL";

#[test]
fn anthropic() {
    let end = Success::AfterEvent(r#""stop_reason":"end_turn""#);
    replay(
        "anthropic.sse",
        &AnthropicMessages,
        end,
        good(MESSAGE, Some((17, 9)), 8),
    );
    let end = Success::AfterEvent(r#""stop_reason":"tool_use""#);
    let said = good(MESSAGE, Some((17, 89)), 12);
    replay(
        "anthropic_thinking_and_tools.sse",
        &AnthropicMessages,
        end,
        said,
    );
}

#[test]
fn an_anthropic_refusal_is_noted() {
    let end = Success::AfterEvent(r#""stop_reason":"refusal""#);
    let said = Expected {
        refused: true,
        ..good(MESSAGE, Some((17, 3)), 6)
    };
    replay("anthropic_refusal.sse", &AnthropicMessages, end, said);
}

#[test]
fn anthropic_with_an_error() {
    let code = Some("overloaded_error");
    let said = bad(FailureClass::Overloaded, code, Progress::None, MESSAGE, 3);
    let said = Expected {
        usage: Some((17, 1)),
        ..said
    };
    replay(
        "anthropic_overloaded.sse",
        &AnthropicMessages,
        Success::Never,
        said,
    );
}

#[test]
fn anthropic_pings_are_no_progress() {
    let said = Expected {
        response_id: Some(MESSAGE),
        usage: Some((17, 1)),
        events: 6,
        ..Expected::default()
    };
    replay(
        "anthropic_pings_only.sse",
        &AnthropicMessages,
        Success::Never,
        said,
    );
}
