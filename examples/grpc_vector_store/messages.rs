//! The few messages of Milvus's interface that are spoken here, with the fields that are used.
//!
//! Written by hand from the field numbers; a program of some size generates them from Milvus's own files.

use prost::Message;

/// The service that has the methods.
pub(crate) const SERVICE: &str = "milvus.proto.milvus.MilvusService";

/// A vector of 32-bit numbers.
pub(crate) const FLOAT_VECTOR: i32 = 101;
/// A 64-bit number.
pub(crate) const INT64: i32 = 5;

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Outcome {
    #[prost(int32, tag = "1")]
    pub(crate) error_code: i32,
    #[prost(string, tag = "2")]
    pub(crate) reason: String,
    #[prost(int32, tag = "3")]
    pub(crate) code: i32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Pair {
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    #[prost(string, tag = "2")]
    pub(crate) value: String,
}

/// Of `DropCollection` and `LoadCollection` alike.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CollectionRequest {
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateCollectionRequest {
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    /// An encoded [`Schema`].
    #[prost(bytes = "vec", tag = "4")]
    pub(crate) schema: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Schema {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(message, repeated, tag = "4")]
    pub(crate) fields: Vec<FieldSchema>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct FieldSchema {
    #[prost(string, tag = "2")]
    pub(crate) name: String,
    #[prost(bool, tag = "3")]
    pub(crate) is_primary_key: bool,
    #[prost(int32, tag = "5")]
    pub(crate) data_type: i32,
    #[prost(message, repeated, tag = "6")]
    pub(crate) type_params: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct CreateIndexRequest {
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(string, tag = "4")]
    pub(crate) field_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) extra_params: Vec<Pair>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InsertRequest {
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    #[prost(message, repeated, tag = "5")]
    pub(crate) fields_data: Vec<Column>,
    #[prost(uint32, tag = "7")]
    pub(crate) num_rows: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Column {
    #[prost(int32, tag = "1")]
    pub(crate) data_type: i32,
    #[prost(string, tag = "2")]
    pub(crate) field_name: String,
    #[prost(message, optional, tag = "3")]
    pub(crate) scalars: Option<Scalars>,
    #[prost(message, optional, tag = "4")]
    pub(crate) vectors: Option<Vectors>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Scalars {
    #[prost(message, optional, tag = "3")]
    pub(crate) longs: Option<Longs>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Longs {
    #[prost(int64, repeated, tag = "1")]
    pub(crate) data: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Vectors {
    #[prost(int64, tag = "1")]
    pub(crate) dim: i64,
    #[prost(message, optional, tag = "2")]
    pub(crate) floats: Option<Floats>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Floats {
    #[prost(float, repeated, tag = "1")]
    pub(crate) data: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct InsertReply {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Outcome>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SearchRequest {
    #[prost(string, tag = "3")]
    pub(crate) collection_name: String,
    /// An encoded [`Queries`].
    #[prost(bytes = "vec", tag = "6")]
    pub(crate) queries: Vec<u8>,
    /// 1: an expression, here an empty one.
    #[prost(int32, tag = "7")]
    pub(crate) dsl_type: i32,
    #[prost(string, repeated, tag = "8")]
    pub(crate) output_fields: Vec<String>,
    #[prost(message, repeated, tag = "9")]
    pub(crate) search_params: Vec<Pair>,
    #[prost(int64, tag = "12")]
    pub(crate) nq: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Queries {
    #[prost(message, repeated, tag = "1")]
    pub(crate) placeholders: Vec<Query>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Query {
    #[prost(string, tag = "1")]
    pub(crate) tag: String,
    #[prost(int32, tag = "2")]
    pub(crate) data_type: i32,
    /// Each a vector, its numbers in little-endian order.
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub(crate) values: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct SearchReply {
    #[prost(message, optional, tag = "1")]
    pub(crate) status: Option<Outcome>,
    #[prost(message, optional, tag = "2")]
    pub(crate) results: Option<Found>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Found {
    #[prost(float, repeated, tag = "4")]
    pub(crate) scores: Vec<f32>,
    #[prost(message, optional, tag = "5")]
    pub(crate) ids: Option<Ids>,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct Ids {
    #[prost(message, optional, tag = "1")]
    pub(crate) longs: Option<Longs>,
}

// === impl Pair ===

impl Pair {
    pub(crate) fn list(pairs: &[(&str, &str)]) -> Vec<Self> {
        pairs
            .iter()
            .map(|(key, value)| Self {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
            })
            .collect()
    }
}
