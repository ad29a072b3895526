//! A vector store inside this program that speaks as much of Milvus as is asked here, and fails on cue.

use crate::messages::{
    CollectionRequest, CreateCollectionRequest, CreateIndexRequest, Found, Ids, InsertReply,
    InsertRequest, Longs, Outcome, Queries, SERVICE, SearchReply, SearchRequest,
};
use backstay::{BoxError, BuildError, ServiceBuilderExt};
use backstay_tonic::GrpcServerLayer;
use http::{Request, Response};
use parking_lot::Mutex;
use prost::Message;
use std::{
    collections::VecDeque,
    convert::Infallible,
    future::{Future, pending},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{net::TcpListener, time::Duration};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{
    Status,
    body::Body,
    server::{Grpc, NamedService, UnaryService},
    transport::Server,
};
use tonic_prost::ProstCodec;
use tower::{Service, ServiceBuilder, service_fn};

/// How the next search goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mood {
    /// `UNAVAILABLE`.
    Unavailable,
    /// No answer, until the caller leaves.
    Silent,
}

/// The store. Clones share the rows.
#[derive(Clone, Default)]
pub(crate) struct LocalStore {
    rows: Arc<Mutex<Vec<Row>>>,
    moods: Arc<Mutex<VecDeque<Mood>>>,
}

/// An id and a vector.
type Row = (i64, Vec<f32>);

/// No caller decides how long a call may take here.
const LONGEST_CALL: Duration = Duration::from_secs(30);

// === impl LocalStore ===

impl LocalStore {
    /// Serves it on a free port of loopback; the origin.
    pub(crate) async fn start(&self, name: &'static str) -> Result<String, BoxError> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let server = self.clone().server(listener, name)?;
        tokio::spawn(server);
        Ok(origin)
    }

    /// How the next searches go; those after them go well.
    pub(crate) fn script(&self, moods: impl IntoIterator<Item = Mood>) {
        self.moods.lock().extend(moods);
    }

    fn server(
        self,
        listener: TcpListener,
        name: &'static str,
    ) -> Result<impl Future<Output = ()> + Send + use<>, BuildError> {
        // The server's side of the same layers: the caller's deadline, and who left.
        let layers = ServiceBuilder::new()
            .layer(GrpcServerLayer::new())
            .on_cancel(move |ended| async move { println!("    {name} saw: {:?}", ended.why) })
            .deadline(LONGEST_CALL)?
            .into_inner();
        let served = Server::builder()
            .layer(layers)
            .add_service(self)
            .serve_with_incoming(TcpListenerStream::new(listener));
        Ok(async move {
            if let Err(error) = served.await {
                eprintln!("{name}: {error}");
            }
        })
    }

    fn insert(&self, request: InsertRequest) -> InsertReply {
        let mut ids = Vec::new();
        let (mut dim, mut floats) = (0, Vec::new());
        for column in request.fields_data {
            if let Some(longs) = column.scalars.and_then(|scalars| scalars.longs) {
                ids = longs.data;
            }
            if let Some(vectors) = column.vectors {
                dim = usize::try_from(vectors.dim).unwrap_or(0);
                floats = vectors.floats.unwrap_or_default().data;
            }
        }
        let vectors = floats.chunks(dim.max(1)).map(<[f32]>::to_vec);
        self.rows.lock().extend(ids.into_iter().zip(vectors));
        InsertReply::default()
    }

    async fn search(&self, request: SearchRequest) -> Result<SearchReply, Status> {
        let mood = self.moods.lock().pop_front();
        match mood {
            Some(Mood::Unavailable) => return Err(Status::unavailable("the store is loading")),
            Some(Mood::Silent) => pending().await,
            None => {}
        }
        let queries = Queries::decode(&*request.queries)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let near: Vec<f32> = queries
            .placeholders
            .first()
            .and_then(|query| query.values.first())
            .map(|value| numbers(value))
            .unwrap_or_default();
        let top = request
            .search_params
            .iter()
            .find(|pair| pair.key == "topk")
            .and_then(|pair| pair.value.parse().ok())
            .unwrap_or(1);
        let mut found: Vec<(i64, f32)> = self
            .rows
            .lock()
            .iter()
            .map(|(id, row)| (*id, distance(row, &near)))
            .collect();
        found.sort_by(|a, b| a.1.total_cmp(&b.1));
        found.truncate(top);
        let (data, scores) = found.into_iter().unzip();
        Ok(SearchReply {
            status: None,
            results: Some(Found {
                scores,
                ids: Some(Ids {
                    longs: Some(Longs { data }),
                }),
            }),
        })
    }
}

impl NamedService for LocalStore {
    const NAME: &'static str = SERVICE;
}

type Answering = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

/// What a generated server does: a codec and a function for each method.
impl Service<Request<Body>> for LocalStore {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Answering;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Answering {
        let store = self.clone();
        let method = request.uri().path().rsplit('/').next().map(str::to_owned);
        match method.as_deref() {
            Some("Search") => answer(request, move |asked| {
                let store = store.clone();
                async move { store.search(asked).await }
            }),
            Some("Insert") => answer(request, move |asked| {
                let reply = store.insert(asked);
                async move { Ok(reply) }
            }),
            Some("DropCollection") => answer(request, move |_: CollectionRequest| {
                store.rows.lock().clear();
                async { Ok(Outcome::default()) }
            }),
            Some("CreateCollection") => answer(request, |_: CreateCollectionRequest| async {
                Ok(Outcome::default())
            }),
            Some("CreateIndex") => answer(request, |_: CreateIndexRequest| async {
                Ok(Outcome::default())
            }),
            Some("LoadCollection") => answer(request, |_: CollectionRequest| async {
                Ok(Outcome::default())
            }),
            _ => Box::pin(async { Ok(Status::unimplemented("not a method").into_http()) }),
        }
    }
}

fn answer<Q, A, F, T>(request: Request<Body>, mut handler: F) -> Answering
where
    Q: Message + Default + Send + 'static,
    A: Message + Default + Send + 'static,
    F: FnMut(Q) -> T + Send + 'static,
    T: Future<Output = Result<A, Status>> + Send + 'static,
{
    let service = service_fn(move |request: tonic::Request<Q>| {
        let answering = handler(request.into_inner());
        async move { answering.await.map(tonic::Response::new) }
    });
    Box::pin(async move { Ok(unary(service, request).await) })
}

async fn unary<Q, A, S>(service: S, request: Request<Body>) -> Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Default + Send + 'static,
    S: UnaryService<Q, Response = A>,
{
    let codec = ProstCodec::<A, Q>::default();
    Grpc::new(codec).unary(service, request).await
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes
        .chunks_exact(4)
        .filter_map(|bytes| bytes.try_into().ok().map(f32::from_le_bytes))
        .collect()
}

/// The square of the distance, as Milvus gives it for `L2`.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}
