//! The agent: embed the question, look up notes, answer. Three calls, one budget.

use crate::{
    chroma::{self, Collection, Note},
    document::{Called, fetch},
    embedder::Embedder,
    report::{CallReport, Ending, Timing},
    servers::Servers,
    sse::TextStream,
    stack::Stacks,
};
use backstay::{Body, BoxError, Deadline, Error, Labels, Trail, fallback::Commit};
use http::Request;
use serde_json::json;
use std::ops::ControlFlow::{self, Continue};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

/// Everything that answering takes.
pub(crate) struct Research<'a> {
    pub(crate) stacks: &'a Stacks,
    pub(crate) servers: &'a Servers,
    pub(crate) embedder: &'a Embedder,
    pub(crate) collection: &'a Collection,
}

/// A question, and how it is to be treated.
pub(crate) struct Question<'a> {
    pub(crate) text: &'a str,
    /// A name for the report and the labels.
    pub(crate) name: &'a str,
    /// Ends every call of the question when it fires.
    pub(crate) token: CancellationToken,
    /// `None`: the answer is shown from its first content on.
    pub(crate) commit: Option<Commit>,
}

/// What the agent tells while it works.
pub(crate) enum Told<'a> {
    LocalEmbeddings,
    Notes(&'a [Note]),
    Text(&'a str),
}

/// What became of a question.
pub(crate) struct Asked {
    /// One for each call that was made.
    pub(crate) calls: Vec<CallReport>,
    pub(crate) result: Result<(), BoxError>,
}

const NOTES_PER_QUESTION: usize = 3;
/// How long a program that is about to end waits for its hooks.
pub(crate) const HOOKS_WAIT: Duration = Duration::from_secs(5);

// === impl Research ===

impl Research<'_> {
    /// Asks. `tell` hears of notes and text as they come, and may break off.
    pub(crate) async fn ask<F>(&self, question: &Question<'_>, mut tell: F) -> Asked
    where
        F: FnMut(Told<'_>) -> ControlFlow<()>,
    {
        let mut calls = Vec::new();
        // The one budget: each layer used inside lowers its own deadline to this instant.
        let result = Deadline::after(self.stacks.limits.budget)
            .scope(self.steps(question, &mut calls, &mut tell))
            .await;
        // Hooks run in tasks of their own: wait, then read what they were told.
        self.stacks.hooks.wait(HOOKS_WAIT).await;
        for cleanup in self.stacks.cleanups.take() {
            if let Some(call) = calls.iter_mut().find(|call| call.step == cleanup.step) {
                call.hook = Some(cleanup);
            }
        }
        Asked { calls, result }
    }

    async fn steps<F>(
        &self,
        question: &Question<'_>,
        calls: &mut Vec<CallReport>,
        tell: &mut F,
    ) -> Result<(), BoxError>
    where
        F: FnMut(Told<'_>) -> ControlFlow<()>,
    {
        let mut log = Log {
            calls,
            question: question.name,
            began: Instant::now(),
            budget: self.stacks.limits.budget,
        };
        let embedding = self.embed(question, &mut log).await?;
        if self.embedder.is_local() && tell(Told::LocalEmbeddings).is_break() {
            return Ok(());
        }
        let notes = self.search(question, &embedding, &mut log).await?;
        if tell(Told::Notes(&notes)).is_break() {
            return Ok(());
        }
        self.answer(question, &notes, &mut log, tell).await
    }

    async fn embed(
        &self,
        question: &Question<'_>,
        log: &mut Log<'_>,
    ) -> Result<Vec<f32>, BoxError> {
        let texts = [question.text];
        let vectors = if self.embedder.is_local() {
            self.embedder.embed(&self.stacks.embeddings, &texts).await
        } else {
            let at = Instant::now();
            let request = question.mark("embed", self.embedder.request(&texts)?);
            let called = fetch(&self.stacks.embeddings, request).await;
            log.unary("embed", at, &called);
            match self.embedder.vectors(&called, &texts) {
                Some(vectors) => vectors,
                None => return called.result.map(|_| Vec::new()),
            }
        };
        vectors?.pop().ok_or_else(|| "there is no embedding".into())
    }

    async fn search(
        &self,
        question: &Question<'_>,
        embedding: &[f32],
        log: &mut Log<'_>,
    ) -> Result<Vec<Note>, BoxError> {
        let at = Instant::now();
        let request = self.collection.query(embedding, NOTES_PER_QUESTION)?;
        let called = fetch(&self.stacks.vectors, question.mark("search", request)).await;
        log.unary("search", at, &called);
        chroma::notes(called).result
    }

    async fn answer<F>(
        &self,
        question: &Question<'_>,
        notes: &[Note],
        log: &mut Log<'_>,
        tell: &mut F,
    ) -> Result<(), BoxError>
    where
        F: FnMut(Told<'_>) -> ControlFlow<()>,
    {
        let at = Instant::now();
        let mut request = question.mark("answer", self.prompt(question, notes)?);
        if let Some(commit) = question.commit {
            request.extensions_mut().insert(commit);
        }
        let mut answer = Answer::default();
        let called = self.stream(request, at, &mut answer, tell).await;
        // The trail is complete only now: the body has ended, or has been dropped.
        let ending = match &called.result {
            Ok(Continue(())) => Ending::Complete,
            Ok(ControlFlow::Break(())) => Ending::Left,
            Err(error) => Ending::Failed(error),
        };
        log.call("answer", at, &ending, called.trail.as_ref(), answer);
        called.result.map(|_| ())
    }

    async fn stream<F>(
        &self,
        request: Request<Body>,
        at: Instant,
        answer: &mut Answer,
        tell: &mut F,
    ) -> Called<ControlFlow<()>>
    where
        F: FnMut(Told<'_>) -> ControlFlow<()>,
    {
        let response = match self.stacks.llm.clone().oneshot(request).await {
            Ok(response) => response,
            Err(error) => return Called::failed(error),
        };
        let trail = response.extensions().get::<Trail>().cloned();
        let mut stream = TextStream::new(response.into_body());
        let result = loop {
            match stream.next().await {
                Ok(Some(text)) => {
                    answer.first_text.get_or_insert(since(at));
                    answer.text.push_str(&text);
                    if tell(Told::Text(&text)).is_break() {
                        // Leaving is dropping: the body goes at the end of this function, its connection is
                        // closed, and the hook runs.
                        break Ok(ControlFlow::Break(()));
                    }
                }
                Ok(None) => break Ok(Continue(())),
                Err(error) => break Err(error),
            }
        };
        Called { result, trail }
    }

    fn prompt(&self, question: &Question<'_>, notes: &[Note]) -> Result<Request<Body>, BoxError> {
        let notes: String = notes
            .iter()
            .map(|note| format!("- {}\n", note.text))
            .collect();
        let document = json!({
            "model": self.servers.model,
            "stream": true,
            "messages": [
                {
                    "role": "system",
                    "content": format!("Answer in two short sentences, from these notes only:\n{notes}"),
                },
                {"role": "user", "content": question.text},
            ],
        });
        let body = Body::from(document.to_string());
        Ok(self.servers.llm.post("/chat/completions").body(body)?)
    }
}

// === impl Question ===

impl Question<'_> {
    /// What the layers read of a request: whose it is, and what cancels it.
    fn mark(&self, step: &'static str, mut request: Request<Body>) -> Request<Body> {
        let labels = Labels::new()
            .with("step", step)
            .with("question", self.name.to_owned());
        let extensions = request.extensions_mut();
        extensions.insert(labels);
        extensions.insert(self.token.clone());
        request
    }
}

// === impl Asked ===

impl Asked {
    /// Whether somebody wanted it to end. That is no failure.
    pub(crate) fn is_cancelled(&self) -> bool {
        let error = self.result.as_ref().err();
        error
            .and_then(|error| Error::find(&**error))
            .is_some_and(Error::is_cancelled)
    }
}

/// What came of the answer.
#[derive(Default)]
struct Answer {
    text: String,
    first_text: Option<Duration>,
}

/// Writes the report of each call of a question.
struct Log<'a> {
    calls: &'a mut Vec<CallReport>,
    question: &'a str,
    began: Instant,
    budget: Duration,
}

// === impl Log ===

impl Log<'_> {
    fn unary<T>(&mut self, step: &'static str, at: Instant, called: &Called<T>) {
        let ending = match &called.result {
            Ok(_) => Ending::Complete,
            Err(error) => Ending::Failed(error),
        };
        self.call(step, at, &ending, called.trail.as_ref(), Answer::default());
    }

    fn call(
        &mut self,
        step: &'static str,
        at: Instant,
        ending: &Ending<'_>,
        trail: Option<&Trail>,
        answer: Answer,
    ) {
        let timing = Timing {
            at: at.saturating_duration_since(self.began),
            first_token: answer.first_text,
            total: trail.and_then(Trail::ended).unwrap_or_else(|| since(at)),
            budget: self.budget,
        };
        let mut report = CallReport::new(self.question, step, ending, timing, trail);
        report.text = (step == "answer").then_some(answer.text);
        self.calls.push(report);
    }
}

fn since(at: Instant) -> Duration {
    Instant::now().saturating_duration_since(at)
}
