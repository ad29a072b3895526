//! What a dialect makes an answer from.

use serde_json::Value;

use crate::answer::Document;
use crate::fault::Fault;
use crate::reply::Reply;
use crate::route::Asked;

/// All that an answer is made from.
pub(crate) struct Call<'a> {
    pub(crate) asked: &'a Asked,
    pub(crate) reply: &'a Reply,
    /// The request's number: ids are made from it.
    pub(crate) number: u64,
    pub(crate) seed: u64,
}

/// An error inside a 200, as the reply has it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InBand<'a> {
    pub(crate) code: &'a str,
    /// In the form that ends the answer's own lifecycle.
    pub(crate) closing: bool,
}

// === impl Call ===

impl Call<'_> {
    pub(crate) fn in_band(&self) -> Option<InBand<'_>> {
        match &self.reply.fault {
            Fault::ErrorInBand(_, code) => Some(InBand {
                code,
                closing: false,
            }),
            Fault::FailedInBand(_, code) => Some(InBand {
                code,
                closing: true,
            }),
            _ => None,
        }
    }

    /// The reply's own finish reason, or the usual one without and with tool calls.
    pub(crate) fn finish_reason(&self, usual: &str, with_tools: &str) -> String {
        let fits = match self.reply.tool_calls.is_empty() {
            true => usual,
            false => with_tools,
        };
        let own = self.reply.finish_reason.as_deref();
        own.unwrap_or(fits).to_owned()
    }

    /// What was generated beside the `content` tokens too.
    pub(crate) fn output_tokens(&self, content: usize) -> usize {
        content + self.reply.reasoning.len() + self.reply.tool_calls.len()
    }

    /// The unary answer, with this many content tokens in it.
    pub(crate) fn document(&self, document: &Value, content: usize) -> Document {
        Document {
            tokens: content + self.reply.reasoning.len(),
            ..Document::new(self.reply.status, document)
        }
    }
}
