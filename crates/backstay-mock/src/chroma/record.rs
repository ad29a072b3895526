//! One record of a collection.

use std::fmt;

use serde_json::{Map, Value};

pub(super) type Metadata = Map<String, Value>;

pub(super) struct Record {
    pub(super) id: String,
    pub(super) embedding: Vec<f32>,
    pub(super) document: Option<String>,
    pub(super) uri: Option<String>,
    pub(super) metadata: Option<Metadata>,
}

// === impl Record ===

impl Record {
    pub(super) fn merge(&mut self, changes: Self) {
        if !changes.embedding.is_empty() {
            self.embedding = changes.embedding;
        }
        self.document = changes.document.or(self.document.take());
        self.uri = changes.uri.or(self.uri.take());
        if let Some(metadata) = changes.metadata {
            self.metadata.get_or_insert_default().extend(metadata);
        }
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}
