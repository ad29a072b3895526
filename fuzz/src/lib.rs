//! What more than one target needs: the dialects, an input that says by itself how it is cut, and
//! another reader of JSON.

mod members;

pub use members::Members;

use backstay_dialect::{
    AnthropicMessages, AzureOpenAi, BedrockAnthropic, BedrockConverse, CohereChat, Dialect, Gemini,
    Groq, Mistral, OpenAiChat, OpenAiCompatible, OpenAiResponses, OpenRouter, Plain,
    VertexAnthropic, VertexGemini,
};

/// Every dialect there is. A new one goes in here, and each target that holds for all tries it.
pub static DIALECTS: &[&dyn Dialect] = &[
    &OpenAiChat,
    &AzureOpenAi,
    &Mistral,
    &Groq,
    &OpenRouter,
    &OpenAiCompatible::SELF_HOSTED,
    &OpenAiCompatible::TOGETHER,
    &OpenAiCompatible::CEREBRAS,
    &OpenAiCompatible::XAI,
    &OpenAiCompatible::DEEPSEEK,
    &OpenAiResponses,
    &AnthropicMessages,
    &VertexAnthropic,
    &BedrockAnthropic,
    &BedrockConverse,
    &Gemini,
    &VertexGemini,
    &CohereChat,
    &Plain,
];

/// A byte string and the places to cut it at.
#[derive(Clone, Debug)]
pub struct Cut<'a> {
    /// What is cut, whole.
    pub whole: &'a [u8],
    /// Where, in ascending order; places may repeat, so that empty pieces are tried too.
    places: Vec<usize>,
}

/// Enough for a cut within a cut within a field.
const MAX_CUTS: usize = 15;

// === impl Cut ===

impl<'a> Cut<'a> {
    /// Reads the number of cuts from the first byte, each place from a byte after it, and takes
    /// the rest as it is. `None` if the input is too short.
    ///
    /// One byte a place keeps the seeds readable; longer inputs are cut in steps.
    pub fn read(input: &'a [u8]) -> Option<Self> {
        let (&count, rest) = input.split_first()?;
        let (places, whole) = rest.split_at_checked(usize::from(count) % (MAX_CUTS + 1))?;
        let step = whole.len() / 256 + 1;
        let mut places: Vec<_> = places
            .iter()
            .map(|&place| (usize::from(place) * step).min(whole.len()))
            .collect();
        places.sort_unstable();
        Some(Self { whole, places })
    }

    /// The pieces, in order. Together they are the whole.
    pub fn pieces(&self) -> impl Iterator<Item = &'a [u8]> {
        let mut from = 0;
        self.places
            .iter()
            .copied()
            .chain([self.whole.len()])
            .map(move |to| {
                let piece = &self.whole[from..to];
                from = to;
                piece
            })
    }
}
