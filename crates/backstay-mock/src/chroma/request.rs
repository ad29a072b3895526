//! What the vector store is asked, as Chroma's clients send it.

use http::StatusCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

use super::filter::Filter;
use super::record::Metadata;
use super::refusal::Refusal;
use crate::embedding::from_base64;

#[derive(Deserialize)]
pub(super) struct Create {
    pub(super) name: String,
    #[serde(default)]
    pub(super) metadata: Option<Metadata>,
    #[serde(default)]
    pub(super) configuration: Value,
    #[serde(default)]
    pub(super) get_or_create: bool,
}

/// Both `add` and `upsert`.
#[derive(Deserialize)]
pub(super) struct Add {
    pub(super) ids: Vec<String>,
    pub(super) embeddings: Vec<Vector>,
    pub(super) documents: Option<Vec<Option<String>>>,
    pub(super) uris: Option<Vec<Option<String>>>,
    pub(super) metadatas: Option<Vec<Option<Metadata>>>,
}

#[derive(Deserialize)]
pub(super) struct Update {
    pub(super) ids: Vec<String>,
    pub(super) embeddings: Option<Vec<Option<Vector>>>,
    pub(super) documents: Option<Vec<Option<String>>>,
    pub(super) uris: Option<Vec<Option<String>>>,
    pub(super) metadatas: Option<Vec<Option<Metadata>>>,
}

#[derive(Deserialize)]
pub(super) struct Delete {
    #[serde(flatten)]
    pub(super) filter: Filter,
}

#[derive(Deserialize)]
pub(super) struct Get {
    #[serde(flatten)]
    pub(super) filter: Filter,
    pub(super) include: Option<Vec<Include>>,
    pub(super) limit: Option<usize>,
    pub(super) offset: Option<usize>,
}

#[derive(Deserialize)]
pub(super) struct Query {
    pub(super) query_embeddings: Vec<Vector>,
    pub(super) n_results: Option<usize>,
    #[serde(flatten)]
    pub(super) filter: Filter,
    pub(super) include: Option<Vec<Include>>,
}

/// An embedding: a list of numbers, or floats in base64, as the Python client sends them.
#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum Vector {
    Floats(Vec<f32>),
    Base64(String),
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(super) enum Include {
    Distances,
    Documents,
    Embeddings,
    Metadatas,
    Uris,
}

/// Reads a body, or refuses it as Chroma does: 400 for what is no JSON, 422 for what does not fit.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(body).map_err(|error| {
        let status = match error.classify() {
            Category::Data => StatusCode::UNPROCESSABLE_ENTITY,
            Category::Syntax | Category::Eof | Category::Io => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, format!("Failed to read the request body: {error}"))
    })
}

// === impl Vector ===

impl Vector {
    pub(super) fn floats(&self) -> Result<Vec<f32>, Refusal> {
        match self {
            Self::Floats(floats) => Ok(floats.clone()),
            Self::Base64(text) => {
                from_base64(text).ok_or_else(|| Refusal::invalid("Error parsing embeddings"))
            }
        }
    }
}

// === impl Include ===

impl Include {
    pub(super) const GET: &[Self] = &[Self::Documents, Self::Metadatas];
    pub(super) const QUERY: &[Self] = &[Self::Documents, Self::Metadatas, Self::Distances];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Distances => "distances",
            Self::Documents => "documents",
            Self::Embeddings => "embeddings",
            Self::Metadatas => "metadatas",
            Self::Uris => "uris",
        }
    }
}
