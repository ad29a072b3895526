//! A real vector store over gRPC: Milvus, in its small form.

use crate::{
    client::{Nearest, Store},
    programs::Programs,
    server::Server,
    table::{Drill, Table, seen},
};
use backstay::{
    BoxError, ServiceBuilderExt,
    cancel::{CancelLayer, Hooks},
    fallback::{Target, Targets},
};
use backstay_tests::{HANGS, PROMPTLY, holds};
use backstay_tonic::{Channels, Grpc, GrpcAttemptLayer, GrpcCallLayer, Methods, trail_of};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout},
};
use tonic::{
    Code, Status,
    body::Body,
    transport::{Channel, Endpoint},
};
use tower::{
    ServiceBuilder, ServiceExt, limit::GlobalConcurrencyLimitLayer, util::BoxCloneSyncService,
};

/// A Milvus with a few rows in it, and a stack with one permit below to ask it.
pub(crate) struct Milvus {
    pub(crate) server: Server,
    store: Store,
    hooks: Hooks,
    permits: Arc<Semaphore>,
}

/// Of each search.
pub(crate) const BUDGET: Duration = Duration::from_secs(1);
/// One that no store keeps.
const HOPELESS: Duration = Duration::from_micros(100);
const ROWS: [[f32; 4]; 3] = [
    [1.0, 0.0, 0.0, 0.0],
    [0.0, 1.0, 0.0, 0.0],
    [0.9, 0.1, 0.0, 0.0],
];

/// The drills.
pub(crate) async fn drills(table: &mut Table, programs: &Programs) -> Result<(), BoxError> {
    let milvus = Milvus::start(programs).await?;
    let drill = "milvus-lite: a search";
    table
        .row(drill, "the two nearest rows", milvus.finds())
        .await;
    let drill = "milvus-lite: 0.1 ms for all of it";
    table
        .row(drill, "DeadlineExceeded", milvus.hopeless())
        .await;
    let drill = "milvus-lite: stopped, three searches";
    let expected = "DeadlineExceeded each, permit back";
    table.row(drill, expected, milvus.stopped()).await;
    let drill = "milvus-lite: goes on, the next search";
    table
        .row(drill, "the two nearest rows", milvus.finds())
        .await;
    Ok(())
}

// === impl Milvus ===

impl Milvus {
    /// Starts it in a new folder, and fills it.
    pub(crate) async fn start(programs: &Programs) -> Result<Self, BoxError> {
        let data = programs.folder("milvus-data")?;
        let server = Server::start(programs.milvus.as_ref(), |port| {
            let port = port.to_string();
            // Its own choice of an address is every one that the machine has.
            let words = [
                "server",
                "--host",
                "127.0.0.1",
                "--port",
                &port,
                "--max-workers",
                "4",
                "--data-dir",
                &data,
            ];
            words.map(str::to_owned).into()
        })
        .await?;
        Store::new(&[server.url()], HANGS)?
            .fill(&ROWS.map(|row| row.to_vec()))
            .await?;
        let permits = Arc::new(Semaphore::new(1));
        let channel = Endpoint::from_shared(server.url())?.connect_lazy();
        let (store, hooks) = store(channel, BUDGET, permits.clone())?;
        let milvus = Self {
            server,
            store,
            hooks,
            permits,
        };
        // The first search after loading takes its time.
        Store::new(&[milvus.server.url()], HANGS)?
            .search(&ROWS[0], 2)
            .await?;
        Ok(milvus)
    }

    pub(crate) async fn search(&self) -> (Result<Nearest, Status>, Duration) {
        let began = Instant::now();
        let found = timeout(HANGS, self.store.search(&ROWS[0], 2)).await;
        let found = found.unwrap_or_else(|_| Err(Status::unknown("it hangs")));
        (found, Instant::now().saturating_duration_since(began))
    }

    pub(crate) async fn finds(&self) -> Drill {
        let (found, _) = self.search().await;
        let found: Vec<_> = found?.found.into_iter().map(|(id, _)| id).collect();
        seen(found == [1, 3], format!("rows {found:?}"))
    }

    async fn hopeless(&self) -> Drill {
        let channel = Endpoint::from_shared(self.server.url())?.connect_lazy();
        let (store, _) = store(channel, HOPELESS, Arc::new(Semaphore::new(1)))?;
        let Err(status) = store.search(&ROWS[0], 2).await else {
            return seen(false, "an answer");
        };
        seen(
            status.code() == Code::DeadlineExceeded && trail_of(&status).is_some(),
            format!("{:?}", status.code()),
        )
    }

    async fn stopped(&self) -> Drill {
        self.server.stop()?;
        let ended = self.three_late().await;
        self.server.go_on()?;
        ended
    }

    /// Three in a row: a permit that did not come back would let the second wait for it.
    pub(crate) async fn three_late(&self) -> Drill {
        let mut on_time = 0;
        for _ in 0..3 {
            let (found, took) = self.search().await;
            let Err(status) = found else {
                return seen(false, "an answer");
            };
            if status.code() != Code::DeadlineExceeded {
                return seen(false, format!("{:?}", status.code()));
            }
            let attempts = trail_of(&status).map_or(0, |trail| trail.attempts().len());
            on_time += u32::from(attempts == 1 && took >= BUDGET && took < BUDGET + PROMPTLY);
        }
        let (back, under_way) = self.left().await;
        seen(
            on_time == 3 && (back, under_way) == (1, 0),
            format!("{on_time} of 3 on time; permits {back}, in flight {under_way}"),
        )
    }

    /// Permits that are back, and calls that have not ended.
    pub(crate) async fn left(&self) -> (usize, usize) {
        holds(PROMPTLY, || self.hooks.in_flight() == 0).await;
        (self.permits.available_permits(), self.hooks.in_flight())
    }
}

/// The stack that the example shows, each search sent once, with a bound on how many are under way.
fn store(
    channel: Channel,
    budget: Duration,
    permits: Arc<Semaphore>,
) -> Result<(Store, Hooks), BoxError> {
    let cancel = CancelLayer::new();
    let hooks = cancel.hooks();
    let stack = ServiceBuilder::new()
        .layer(GrpcCallLayer::new(
            Methods::new().unary(crate::messages::SERVICE),
        )?)
        .layer(cancel)
        .deadline(budget)?
        .fallback(Targets::new(Target::named("milvus").dialect(Grpc)).retries(0))?
        .layer(GrpcAttemptLayer::new())
        .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits))
        .service(Channels::new(channel))
        .map_response(|response| response.map(Body::new));
    Ok((Store::over(BoxCloneSyncService::new(stack)), hooks))
}
