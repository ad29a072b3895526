//! When an answer is let through.

/// The point from which the caller sees an answer; before it a failure may be retried, after it never.
///
/// Chosen per stack, per target, or per request through its extensions. The default is the first semantic
/// event for an event stream and the end for a JSON document; anything else is let through at its head.
///
/// ```
/// use backstay::fallback::Commit;
///
/// // An agent that shows no tokens: a cut or stalled stream falls over too.
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(Commit::End);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Commit {
    /// At the response head.
    Head,
    /// At the first semantic event: output, reasoning, a tool call.
    FirstContent,
    /// At the first output that is not reasoning: text, a refusal, a tool call. Where nobody is shown the
    /// reasoning, so that a model that reasons for ever falls over when the `first_content` clock runs out.
    AfterReasoning,
    /// At the end of the body: the whole answer or nothing.
    End,
}
