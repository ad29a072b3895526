//! The workflow: retrieve, generate, save. One scope around all of it, and one around each step.

use crate::{flags::Upstream, journal::Journal, sse::TextStream, stack::Stacks, store::Shelf};
use backstay::{Body, BoxError, Error, Scope, scope::ScopeHandle};
use http::Request;
use serde_json::json;
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// What every session needs.
pub(crate) struct Workflow {
    pub(crate) stacks: Stacks,
    pub(crate) upstream: Upstream,
    /// Where notes are looked for.
    pub(crate) shelves: Vec<Shelf>,
    /// Where answers go.
    pub(crate) answers: Shelf,
    pub(crate) budget: Duration,
    pub(crate) journal: Journal,
}

/// One run of it.
pub(crate) struct Session {
    pub(crate) id: String,
    pub(crate) question: String,
    /// Ends it, wherever it is.
    pub(crate) token: CancellationToken,
    /// Ends it itself after so many pieces of the answer, for a demonstration.
    pub(crate) leave_after: Option<usize>,
}

const DRAFT: &str = "(being written)";

// === impl Workflow ===

impl Workflow {
    /// Answers a question, and saves the answer. The error says which step of which session failed.
    pub(crate) async fn run(&self, session: &Session) -> Result<String, Error> {
        Scope::new("answer")
            .label("session", session.id.clone())
            .budget(self.budget)
            .token(session.token.clone())
            .run(async |scope| {
                self.reserve(&scope, session).await?;
                let notes = self.retrieve(&session.question).await?;
                let answer = self.generate(session, &notes).await?;
                self.save(session, &answer).await?;
                Ok(answer)
            })
            .await
    }

    /// Puts a draft where the answer will be. Whatever happens from here on, the cleanups undo it, the one
    /// that was given last first.
    async fn reserve(&self, scope: &ScopeHandle, session: &Session) -> Result<(), BoxError> {
        let journal = self.journal.clone();
        scope.defer(async move |left| {
            journal.cleanup("seat", "given back", &left);
        });

        // Given before the draft is written: a write that is cut off may have landed.
        let (journal, answers, id) = (
            self.journal.clone(),
            self.answers.clone(),
            session.id.clone(),
        );
        scope.defer(async move |left| {
            if left.why.is_complete() {
                return journal.cleanup("draft", "became the answer", &left);
            }
            // A call in a cleanup is out of reach of what ended the scope, and has time of its own.
            match answers.delete(&id).await {
                Ok(()) => journal.cleanup("draft", "deleted", &left),
                Err(error) => journal.line(&format!("the draft of {id} is still there: {error}")),
            }
        });

        let journal = self.journal.clone();
        scope.on_cancel(async move |left| {
            journal.cleanup("notice", "sent that nobody waits any more", &left);
        });
        self.answers.put(&session.id, DRAFT).await
    }

    /// Asks all shelves at once. One that fails does not keep the others from answering; if all fail, so
    /// does the step, with every failure.
    async fn retrieve(&self, question: &str) -> Result<Vec<String>, Error> {
        Scope::new("retrieve")
            .label("step", "retrieve")
            .run(async |scope| {
                let mut group = scope.group();
                for shelf in &self.shelves {
                    let (shelf, question) = (shelf.clone(), question.to_owned());
                    group.spawn(shelf.name, async move { shelf.nearest(&question).await });
                }
                let settled = group.wait_for_all().await;
                if let Some(failed) = settled.failed {
                    if settled.succeeded.is_empty() {
                        return Err(failed.into());
                    }
                    self.journal.partial(&failed);
                }
                let notes = settled.succeeded.into_iter();
                Ok(notes.flat_map(|found| found.value).collect())
            })
            .await
    }

    /// Streams the answer. The body is read in the scope that asked for it.
    async fn generate(&self, session: &Session, notes: &[String]) -> Result<String, Error> {
        Scope::new("generate")
            .label("step", "generate")
            .run(async |_| {
                let request = self.prompt(&session.question, notes)?;
                let response = self.stacks.llm.clone().oneshot(request).await?;
                let mut stream = TextStream::new(response.into_body());
                let (mut answer, mut pieces) = (String::new(), 0);
                while let Some(text) = stream.next().await? {
                    self.journal.text(&text);
                    answer.push_str(&text);
                    pieces += 1;
                    if session.leave_after == Some(pieces) {
                        // As a click on "stop" would, from anywhere.
                        session.token.cancel();
                    }
                }
                Ok(answer)
            })
            .await
    }

    async fn save(&self, session: &Session, answer: &str) -> Result<(), Error> {
        Scope::new("save")
            .label("step", "save")
            .run(async |_| self.answers.put(&session.id, answer).await)
            .await
    }

    fn prompt(&self, question: &str, notes: &[String]) -> Result<Request<Body>, BoxError> {
        let notes = notes.join("\n- ");
        let document = json!({
            "model": self.upstream.model,
            "stream": true,
            "messages": [
                {
                    "role": "system",
                    "content": format!("Answer in two short sentences, from these notes only:\n- {notes}"),
                },
                {"role": "user", "content": question},
            ],
        });
        let body = Body::from(document.to_string());
        Ok(self.upstream.server.post("/chat/completions").body(body)?)
    }
}

// === impl Session ===

impl Session {
    pub(crate) fn new(id: impl Into<String>, question: &str, token: CancellationToken) -> Self {
        Self {
            id: id.into(),
            question: question.to_owned(),
            token,
            leave_after: None,
        }
    }
}
