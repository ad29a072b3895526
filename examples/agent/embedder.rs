//! Texts into vectors: the server's, or the mock's own where the server has none.

use crate::{
    document::{Called, fetch},
    servers::Server,
    stack::Stack,
};
use backstay::{Body, BoxError, Error, ErrorKind};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Where embeddings come from.
pub(crate) struct Embedder {
    server: Server,
    model: String,
    /// The server has said that it has no such endpoint.
    local: AtomicBool,
}

// === impl Embedder ===

impl Embedder {
    pub(crate) fn new(server: Server, model: String) -> Self {
        Self {
            server,
            model,
            local: AtomicBool::new(false),
        }
    }

    /// Whether the vectors are made here: hashed words, good enough to find a note that shares them.
    pub(crate) fn is_local(&self) -> bool {
        self.local.load(Relaxed)
    }

    pub(crate) fn request(&self, texts: &[&str]) -> Result<Request<Body>, BoxError> {
        let document = json!({"model": self.model, "input": texts});
        Ok(self
            .server
            .post("/embeddings")
            .body(Body::from(document.to_string()))?)
    }

    /// The vectors of all texts, outside of any question.
    pub(crate) async fn embed(
        &self,
        stack: &Stack,
        texts: &[&str],
    ) -> Result<Vec<Vec<f32>>, BoxError> {
        if self.is_local() {
            return Ok(local(texts));
        }
        let called = fetch(stack, self.request(texts)?).await;
        self.vectors(&called, texts)
            .unwrap_or_else(|| Err(called.result.err().unwrap_or_else(|| "no vectors".into())))
    }

    /// Reads the vectors out of the answer. `None` for a failure that has no way around it.
    pub(crate) fn vectors(
        &self,
        called: &Called<Value>,
        texts: &[&str],
    ) -> Option<Result<Vec<Vec<f32>>, BoxError>> {
        match &called.result {
            Ok(answer) => Some(read(answer, texts.len())),
            Err(error) if has_no_endpoint(error) => {
                self.local.store(true, Relaxed);
                Some(Ok(local(texts)))
            }
            Err(_) => None,
        }
    }
}

fn local(texts: &[&str]) -> Vec<Vec<f32>> {
    texts
        .iter()
        .map(|text| backstay_mock::embed(text))
        .collect()
}

fn has_no_endpoint(error: &BoxError) -> bool {
    let kind = Error::find(&**error).map(Error::kind);
    matches!(
        kind,
        Some(ErrorKind::Status(
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
        ))
    )
}

fn read(answer: &Value, count: usize) -> Result<Vec<Vec<f32>>, BoxError> {
    let vectors = answer["data"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|item| serde_json::from_value(item["embedding"].clone()))
        .collect::<Result<Vec<Vec<f32>>, _>>()?;
    if vectors.len() == count {
        Ok(vectors)
    } else {
        Err("the server answered with another number of embeddings".into())
    }
}
