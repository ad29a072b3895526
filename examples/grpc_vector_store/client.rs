//! The stack around a channel, and the client on top.

use crate::messages::{
    CollectionRequest, Column, CreateCollectionRequest, CreateIndexRequest, FLOAT_VECTOR,
    FieldSchema, Floats, INT64, InsertReply, InsertRequest, Longs, Outcome, Pair, Queries, Query,
    SERVICE, Scalars, Schema, SearchReply, SearchRequest, Vectors,
};
use backstay::{
    BoxError, ServiceBuilderExt, Timeouts, Trail,
    fallback::{Target, Targets},
};
use backstay_tonic::{Channels, Grpc, GrpcAttemptLayer, GrpcCallLayer, Methods};
use http::{Request, Response, uri::PathAndQuery};
use prost::Message;
use tokio::time::Duration;
use tonic::{Status, body::Body, client::Grpc as Rpc, transport::Endpoint};
use tonic_prost::ProstCodec;
use tower::{ServiceBuilder, ServiceExt, util::BoxCloneSyncService};

/// What a generated client is put on.
pub(crate) type Transport = BoxCloneSyncService<Request<Body>, Response<Body>, Status>;

/// Calls of a vector store, each under one budget.
#[derive(Clone)]
pub(crate) struct Store {
    transport: Transport,
}

/// The ids and distances that a search found, nearest first, and how it went.
pub(crate) struct Nearest {
    pub(crate) found: Vec<(i64, f32)>,
    pub(crate) trail: Option<Trail>,
}

const COLLECTION: &str = "backstay_notes";

// === impl Store ===

impl Store {
    /// The store at the first origin; a search that it does not answer goes to the others.
    pub(crate) fn new(origins: &[String], budget: Duration) -> Result<Self, BoxError> {
        let [first, others @ ..] = origins else {
            return Err("give at least one store".into());
        };
        let mut channels = Channels::new(Endpoint::from_shared(first.clone())?.connect_lazy());
        let mut targets = Targets::new(Target::named("store").dialect(Grpc)).retries(2);
        for (at, origin) in others.iter().enumerate() {
            let channel = Endpoint::from_shared(origin.clone())?.connect_lazy();
            channels = channels.and(origin, channel)?;
            let name = format!("replica {}", at + 1);
            targets = targets.then(Target::named(name).dialect(Grpc).origin(origin));
        }
        // All methods have one reply; of those that are called here a search may be done twice.
        let methods = Methods::new()
            .unary(SERVICE)
            .idempotent(format!("{SERVICE}/Search"));
        let stack = ServiceBuilder::new()
            .layer(GrpcCallLayer::new(methods)?)
            .on_cancel(|ended| async move { println!("    hook: {:?}", ended.why) })
            .deadline(budget)?
            .fallback(targets)?
            .layer(GrpcAttemptLayer::new())
            .timeouts(Timeouts::new().connect(Duration::from_secs(2)))?
            .service(channels)
            .map_response(|response| response.map(Body::new));
        Ok(Self::over(BoxCloneSyncService::new(stack)))
    }

    /// The store at the other end of a transport.
    pub(crate) fn over(transport: Transport) -> Self {
        Self { transport }
    }

    /// A new collection with these rows, ready to be searched.
    pub(crate) async fn fill(&self, rows: &[Vec<f32>]) -> Result<(), BoxError> {
        let collection_name = COLLECTION.to_owned();
        let dim = rows.first().map_or(0, Vec::len);
        let collection = CollectionRequest {
            collection_name: collection_name.clone(),
        };
        // There may be none.
        let _: Outcome = self.ask("DropCollection", collection.clone()).await?;
        let schema = Schema {
            name: collection_name.clone(),
            fields: vec![
                FieldSchema {
                    name: "id".to_owned(),
                    is_primary_key: true,
                    data_type: INT64,
                    type_params: Vec::new(),
                },
                FieldSchema {
                    name: "v".to_owned(),
                    is_primary_key: false,
                    data_type: FLOAT_VECTOR,
                    type_params: Pair::list(&[("dim", &dim.to_string())]),
                },
            ],
        };
        let create = CreateCollectionRequest {
            collection_name: collection_name.clone(),
            schema: schema.encode_to_vec(),
        };
        accepted(self.ask("CreateCollection", create).await?)?;
        let insert = InsertRequest {
            collection_name: collection_name.clone(),
            num_rows: u32::try_from(rows.len())?,
            fields_data: vec![ids(rows.len())?, vectors(rows, dim)?],
        };
        let inserted: InsertReply = self.ask("Insert", insert).await?;
        accepted(inserted.status.unwrap_or_default())?;
        let index = CreateIndexRequest {
            collection_name,
            field_name: "v".to_owned(),
            extra_params: Pair::list(&[
                ("index_type", "FLAT"),
                ("metric_type", "L2"),
                ("params", "{}"),
            ]),
        };
        accepted(self.ask("CreateIndex", index).await?)?;
        accepted(self.ask("LoadCollection", collection).await?)
    }

    /// The rows nearest to a vector.
    pub(crate) async fn search(&self, near: &[f32], top: usize) -> Result<Nearest, Status> {
        let queries = Queries {
            placeholders: vec![Query {
                tag: "$0".to_owned(),
                data_type: FLOAT_VECTOR,
                values: vec![
                    near.iter()
                        .flat_map(|number| number.to_le_bytes())
                        .collect(),
                ],
            }],
        };
        let request = SearchRequest {
            collection_name: COLLECTION.to_owned(),
            queries: queries.encode_to_vec(),
            dsl_type: 1,
            output_fields: vec!["id".to_owned()],
            search_params: Pair::list(&[
                ("anns_field", "v"),
                ("topk", &top.to_string()),
                ("metric_type", "L2"),
                ("params", "{}"),
                ("round_decimal", "-1"),
            ]),
            nq: 1,
        };
        let reply: tonic::Response<SearchReply> = self.call("Search", request).await?;
        let trail = reply.extensions().get::<Trail>().cloned();
        let reply = reply.into_inner();
        accepted(reply.status.unwrap_or_default())
            .map_err(|error| Status::failed_precondition(error.to_string()))?;
        let found = reply.results.unwrap_or_default();
        let ids = found.ids.and_then(|ids| ids.longs).unwrap_or_default();
        Ok(Nearest {
            found: ids.data.into_iter().zip(found.scores).collect(),
            trail,
        })
    }

    async fn ask<Q, A>(&self, method: &str, question: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        Ok(self.call(method, question).await?.into_inner())
    }

    /// As a generated client does it.
    async fn call<Q, A>(&self, method: &str, question: Q) -> Result<tonic::Response<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut client = Rpc::new(self.transport.clone());
        client.ready().await?;
        let path = PathAndQuery::try_from(format!("/{SERVICE}/{method}"))
            .map_err(|error| Status::internal(error.to_string()))?;
        let codec = ProstCodec::<Q, A>::default();
        client
            .unary(tonic::Request::new(question), path, codec)
            .await
    }
}

/// Milvus answers `OK` to what it refuses, and says so inside.
fn accepted(outcome: Outcome) -> Result<(), BoxError> {
    if outcome.error_code == 0 && outcome.code == 0 {
        return Ok(());
    }
    Err(format!("the store refused: {}", outcome.reason).into())
}

fn ids(count: usize) -> Result<Column, BoxError> {
    Ok(Column {
        data_type: INT64,
        field_name: "id".to_owned(),
        scalars: Some(Scalars {
            longs: Some(Longs {
                data: (1..=i64::try_from(count)?).collect(),
            }),
        }),
        vectors: None,
    })
}

fn vectors(rows: &[Vec<f32>], dim: usize) -> Result<Column, BoxError> {
    Ok(Column {
        data_type: FLOAT_VECTOR,
        field_name: "v".to_owned(),
        scalars: None,
        vectors: Some(Vectors {
            dim: i64::try_from(dim)?,
            floats: Some(Floats {
                data: rows.concat(),
            }),
        }),
    })
}
