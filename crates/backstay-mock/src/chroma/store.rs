//! The collections and their records.

use std::collections::HashMap;

use http::StatusCode;
use serde_json::{Map, Value, json};

use super::filter::Filter;
use super::record::{Metadata, Record};
use super::refusal::Refusal;
use super::request::{Add, Create, Delete, Include, Update, Vector};
use super::space::Space;
use crate::embedding::number;

/// How many collections there may be; creating more is refused with 429.
pub const MAX_COLLECTIONS: usize = 1024;
/// How many records a collection may have; adding more is refused with 429.
pub const MAX_RECORDS: usize = 100_000;

/// All collections of all tenants.
#[derive(Debug, Default)]
pub(crate) struct Store {
    collections: Vec<Collection>,
    created: u64,
}

#[derive(Debug)]
pub(super) struct Collection {
    id: String,
    tenant: String,
    database: String,
    name: String,
    metadata: Option<Metadata>,
    space: Space,
    dimension: Option<usize>,
    records: Vec<Record>,
    places: HashMap<String, usize>,
}

// === impl Store ===

impl Store {
    pub(super) fn of(&self, place: (&str, &str)) -> impl Iterator<Item = &Collection> {
        self.collections
            .iter()
            .filter(move |it| (it.tenant.as_str(), it.database.as_str()) == place)
    }

    pub(super) fn by_name(&self, place: (&str, &str), name: &str) -> Result<&Collection, Refusal> {
        self.of(place)
            .find(|it| it.name == name)
            .ok_or_else(|| Refusal::not_found(format!("Collection [{name}] does not exist")))
    }

    pub(super) fn by_id(&mut self, id: &str) -> Result<&mut Collection, Refusal> {
        if !is_uuid(id) {
            return Err(Refusal::invalid("Collection ID is not a valid UUIDv4"));
        }
        self.collections
            .iter_mut()
            .find(|it| it.id == id)
            .ok_or_else(|| Refusal::not_found(format!("Collection [{id}] does not exist.")))
    }

    pub(super) fn create(
        &mut self,
        place: (&str, &str),
        create: Create,
    ) -> Result<&Collection, Refusal> {
        let known = self.collections.iter().position(|it| {
            (it.tenant.as_str(), it.database.as_str()) == place && it.name == create.name
        });
        if let Some(known) = known {
            return match create.get_or_create {
                true => Ok(&self.collections[known]),
                false => Err(Refusal::new(
                    StatusCode::CONFLICT,
                    format!("Collection [{}] already exists", create.name),
                )),
            };
        }
        if !is_name(&create.name) {
            return Err(Refusal::invalid(
                "Validation error: name: 3-512 characters from [a-zA-Z0-9._-], a letter or digit at each end",
            ));
        }
        if self.collections.len() >= MAX_COLLECTIONS {
            return Err(full());
        }
        let space = Space::of(&create.configuration, create.metadata.as_ref())
            .ok_or_else(|| Refusal::invalid("unknown hnsw space"))?;
        self.created += 1;
        self.collections.push(Collection {
            id: format!("00000000-0000-4000-8000-{:012x}", self.created),
            tenant: place.0.to_owned(),
            database: place.1.to_owned(),
            name: create.name,
            metadata: create.metadata,
            space,
            dimension: None,
            records: Vec::new(),
            places: HashMap::new(),
        });
        Ok(&self.collections[self.collections.len() - 1])
    }

    pub(super) fn delete(&mut self, place: (&str, &str), name: &str) -> Result<(), Refusal> {
        let id = self.by_name(place, name)?.id.clone();
        self.collections.retain(|it| it.id != id);
        Ok(())
    }
}

// === impl Collection ===

impl Collection {
    pub(super) fn describe(&self) -> Value {
        json!({
            "id": self.id,
            "name": self.name,
            "configuration_json": {
                "hnsw": {
                    "space": self.space.name(),
                    "ef_construction": 100,
                    "ef_search": 100,
                    "max_neighbors": 16,
                    "resize_factor": 1.2,
                    "sync_threshold": 1000,
                },
                "spann": null,
                "embedding_function": null,
            },
            "schema": null,
            "metadata": self.metadata,
            "dimension": self.dimension,
            "tenant": self.tenant,
            "database": self.database,
            "log_position": 0,
            "version": 0,
        })
    }

    pub(super) fn records(&self) -> &[Record] {
        &self.records
    }

    /// Adds records. One whose id is there already is replaced if `replace`, else left as it is.
    pub(super) fn add(&mut self, add: Add, replace: bool) -> Result<(), Refusal> {
        let count = add.ids.len();
        let lengths = [
            Some(add.embeddings.len()),
            add.documents.as_ref().map(Vec::len),
            add.uris.as_ref().map(Vec::len),
            add.metadatas.as_ref().map(Vec::len),
        ];
        same_lengths(count, lengths)?;
        let embeddings = self.check(&add.embeddings)?;
        if self.records.len() + count > MAX_RECORDS {
            return Err(full());
        }
        let mut documents = add.documents.unwrap_or_default().into_iter();
        let mut uris = add.uris.unwrap_or_default().into_iter();
        let mut metadatas = add.metadatas.unwrap_or_default().into_iter();
        for (id, embedding) in add.ids.into_iter().zip(embeddings) {
            let record = Record {
                id,
                embedding,
                document: documents.next().flatten(),
                uri: uris.next().flatten(),
                metadata: metadatas.next().flatten(),
            };
            match self.places.get(&record.id) {
                Some(&place) if replace => self.records[place].merge(record),
                Some(_) => {}
                None => {
                    self.places.insert(record.id.clone(), self.records.len());
                    self.records.push(record);
                }
            }
        }
        Ok(())
    }

    /// Changes what is given of the records that exist.
    pub(super) fn update(&mut self, update: Update) -> Result<(), Refusal> {
        let lengths = [
            update.embeddings.as_ref().map(Vec::len),
            update.documents.as_ref().map(Vec::len),
            update.uris.as_ref().map(Vec::len),
            update.metadatas.as_ref().map(Vec::len),
        ];
        same_lengths(update.ids.len(), lengths)?;
        let mut embeddings = Vec::with_capacity(update.ids.len());
        for vector in update.embeddings.unwrap_or_default() {
            embeddings.push(match vector {
                Some(vector) => self.check(&[vector])?.pop(),
                None => None,
            });
        }
        let mut embeddings = embeddings.into_iter();
        let mut documents = update.documents.unwrap_or_default().into_iter();
        let mut uris = update.uris.unwrap_or_default().into_iter();
        let mut metadatas = update.metadatas.unwrap_or_default().into_iter();
        for id in update.ids {
            let embedding = embeddings.next().flatten();
            let changes = Record {
                id,
                embedding: embedding.unwrap_or_default(),
                document: documents.next().flatten(),
                uri: uris.next().flatten(),
                metadata: metadatas.next().flatten(),
            };
            if let Some(&place) = self.places.get(&changes.id) {
                self.records[place].merge(changes);
            }
        }
        Ok(())
    }

    /// Deletes what the filter chooses, and says how many that were.
    pub(super) fn remove(&mut self, delete: &Delete) -> Result<usize, Refusal> {
        if delete.filter.is_empty() {
            return Err(Refusal::invalid("Deleting with empty filter."));
        }
        let mut kept = Vec::new();
        let mut goes = Vec::with_capacity(self.records.len());
        for record in &self.records {
            goes.push(delete.filter.accepts(record)?);
        }
        let before = self.records.len();
        for (record, goes) in std::mem::take(&mut self.records).into_iter().zip(goes) {
            if !goes {
                kept.push(record);
            }
        }
        self.records = kept;
        self.places = (self.records.iter().enumerate())
            .map(|(place, record)| (record.id.clone(), place))
            .collect();
        Ok(before - self.records.len())
    }

    /// The `count` nearest records of those that the filter chooses, nearest first.
    pub(super) fn nearest(
        &self,
        to: &[f32],
        count: usize,
        filter: &Filter,
    ) -> Result<Vec<(&Record, f32)>, Refusal> {
        if let Some(expected) = self.dimension.filter(|&expected| expected != to.len()) {
            return Err(wrong_dimension(expected, to.len()));
        }
        let mut found = Vec::new();
        for record in &self.records {
            if filter.accepts(record)? {
                found.push((record, self.space.distance(to, &record.embedding)));
            }
        }
        found.sort_by(|(_, a), (_, b)| a.total_cmp(b));
        found.truncate(count);
        Ok(found)
    }

    /// The floats of each vector; the first one ever decides how many there must be.
    fn check(&mut self, vectors: &[Vector]) -> Result<Vec<Vec<f32>>, Refusal> {
        let mut dimension = self.dimension;
        let mut checked = Vec::with_capacity(vectors.len());
        for vector in vectors {
            let floats = vector.floats()?;
            let expected = *dimension.get_or_insert(floats.len());
            if expected != floats.len() {
                return Err(wrong_dimension(expected, floats.len()));
            }
            checked.push(floats);
        }
        self.dimension = dimension;
        Ok(checked)
    }
}

/// Records and distances as Chroma's columns: a list for what is included, else null.
pub(super) fn columns(found: &[(&Record, f32)], include: &[Include]) -> Map<String, Value> {
    let column = |wanted: Include, of: fn(&(&Record, f32)) -> Value| match include.contains(&wanted)
    {
        true => found.iter().map(of).collect(),
        false => Value::Null,
    };
    let mut columns = Map::new();
    let ids: Value = found.iter().map(|(record, _)| record.id.clone()).collect();
    columns.insert("ids".into(), ids);
    columns.insert(
        "embeddings".into(),
        column(Include::Embeddings, |(record, _)| vector(&record.embedding)),
    );
    columns.insert(
        "documents".into(),
        column(Include::Documents, |(record, _)| {
            record.document.clone().into()
        }),
    );
    columns.insert(
        "uris".into(),
        column(Include::Uris, |(record, _)| record.uri.clone().into()),
    );
    columns.insert(
        "metadatas".into(),
        column(Include::Metadatas, |(record, _)| {
            record.metadata.clone().map_or(Value::Null, Value::Object)
        }),
    );
    columns.insert(
        "distances".into(),
        column(Include::Distances, |(_, distance)| number(*distance)),
    );
    columns.insert(
        "include".into(),
        include.iter().map(|it| it.name()).collect(),
    );
    columns
}

fn same_lengths(ids: usize, others: [Option<usize>; 4]) -> Result<(), Refusal> {
    match others.into_iter().flatten().all(|length| length == ids) {
        true => Ok(()),
        false => Err(Refusal::invalid("ids and their values differ in number")),
    }
}

fn wrong_dimension(expected: usize, got: usize) -> Refusal {
    Refusal::invalid(format!(
        "Collection expecting embedding with dimension of {expected}, got {got}"
    ))
}

fn full() -> Refusal {
    Refusal::new(StatusCode::TOO_MANY_REQUESTS, "the mock's store is full")
}

fn is_name(name: &str) -> bool {
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    (3..=512).contains(&name.len())
        && end(name.chars().next())
        && end(name.chars().next_back())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

fn is_uuid(id: &str) -> bool {
    let groups: Vec<&str> = id.split('-').collect();
    groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12])
        && groups
            .iter()
            .all(|group| group.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

fn vector(floats: &[f32]) -> Value {
    floats.iter().copied().map(number).collect()
}
