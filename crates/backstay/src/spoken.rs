//! The dialects that are known by the path of a call.

use backstay_dialect::{AnthropicMessages, Dialect, OpenAiChat, Plain, detect};
use std::sync::{Arc, LazyLock};

/// Which of the known dialects a call speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoken {
    OpenAiChat,
    AnthropicMessages,
    Plain,
}

/// Shared, so that a call's record can hold one like any dialect of the user's.
static KNOWN: LazyLock<[Arc<dyn Dialect>; 3]> = LazyLock::new(|| {
    [
        Arc::new(OpenAiChat),
        Arc::new(AnthropicMessages),
        Arc::new(Plain),
    ]
});

// === impl Spoken ===

impl Spoken {
    /// What is spoken on this path.
    pub(crate) fn on(path: &str) -> Self {
        let name = detect(path).name();
        if name == OpenAiChat.name() {
            Self::OpenAiChat
        } else if name == AnthropicMessages.name() {
            Self::AnthropicMessages
        } else {
            Self::Plain
        }
    }

    pub(crate) fn dialect(self) -> &'static Arc<dyn Dialect> {
        let [openai, anthropic, plain] = &*KNOWN;
        match self {
            Self::OpenAiChat => openai,
            Self::AnthropicMessages => anthropic,
            Self::Plain => plain,
        }
    }
}
