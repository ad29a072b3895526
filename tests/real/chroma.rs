//! A real vector store over HTTP.

use crate::{
    calls::{End, call, post},
    programs::Programs,
    server::Server,
    table::{Drill, Table, seen},
};
use backstay::{
    Body, BoxError, ErrorKind,
    fallback::{Idempotent, Target, Targets},
};
use backstay_client::Client;
use backstay_tests::stack::{Setup, Stack, http1};
use http::Request;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::sync::Semaphore;
use tower::{
    ServiceBuilder,
    limit::{ConcurrencyLimit, GlobalConcurrencyLimitLayer},
};

/// A Chroma with three notes in it, and a stack with one permit below to ask it.
pub(crate) struct Chroma {
    pub(crate) server: Server,
    pub(crate) store: Stack<ConcurrencyLimit<Client<Body>>>,
    permits: Arc<Semaphore>,
    query: String,
}

/// Of each call.
pub(crate) const BUDGET: Duration = Duration::from_secs(1);

const COLLECTIONS: &str = "/api/v2/tenants/default_tenant/databases/default_database/collections";

/// The drills.
pub(crate) async fn drills(table: &mut Table, programs: &Programs) -> Result<(), BoxError> {
    let chroma = Chroma::start(programs).await?;
    table
        .row("Chroma: a query", "the two nearest notes", chroma.finds())
        .await;
    table
        .row(
            "Chroma: stopped, three queries",
            "each ends at its deadline, permit back",
            chroma.stopped(),
        )
        .await;
    table
        .row(
            "Chroma: goes on, the next query",
            "the two nearest notes",
            chroma.finds(),
        )
        .await;
    Ok(())
}

// === impl Chroma ===

impl Chroma {
    /// Starts it in a new folder, and fills it.
    pub(crate) async fn start(programs: &Programs) -> Result<Self, BoxError> {
        let data = programs.folder("chroma-data")?;
        let server = Server::start(programs.chroma.as_ref(), |port| {
            let port = port.to_string();
            let words = ["run", "--host", "127.0.0.1", "--port", &port, "--path"];
            let mut words: Vec<_> = words.map(str::to_owned).into();
            words.push(data);
            words
        })
        .await?;
        let permits = Arc::new(Semaphore::new(1));
        let limited = ServiceBuilder::new()
            .layer(GlobalConcurrencyLimitLayer::with_semaphore(permits.clone()))
            .service(http1());
        let targets = Targets::plain(Target::named("Chroma").retries(0));
        let store = Setup::new(targets).budget(BUDGET).over(limited);
        let mut chroma = Self {
            server,
            store,
            permits,
            query: String::new(),
        };
        chroma.fill().await?;
        Ok(chroma)
    }

    async fn fill(&mut self) -> Result<(), BoxError> {
        // Making the first collection takes longer than the drills' budget, on a busy machine.
        let root = format!("{}{COLLECTIONS}", self.server.url());
        let patient = Setup::new(Targets::plain(Target::named("Chroma"))).http1();
        let named = json!({"name": "notes", "get_or_create": true});
        let made = call(&patient, post(root.clone(), &named)?).await?;
        let made: Value = serde_json::from_slice(&made.body)?;
        let id = made["id"].as_str().ok_or("the collection has no id")?;
        let notes = json!({
            "ids": ["a", "b", "c"],
            "embeddings": [[1, 0, 0, 0], [0, 1, 0, 0], [0.9, 0.1, 0, 0]],
            "documents": ["reefing", "shrouds", "forestay"],
        });
        let added = call(&patient, post(format!("{root}/{id}/add"), &notes)?).await?;
        if added.error.is_some() {
            return Err(format!("adding notes: {added}").into());
        }
        self.query = format!("{root}/{id}/query");
        call(&patient, self.question()?).await?;
        Ok(())
    }

    /// Which notes are nearest; it harms nobody to ask that twice.
    pub(crate) fn question(&self) -> Result<Request<Body>, BoxError> {
        let near = json!({"query_embeddings": [[1, 0, 0, 0]], "n_results": 2});
        let mut request = post(self.query.clone(), &near)?;
        request.extensions_mut().insert(Idempotent);
        Ok(request)
    }

    pub(crate) async fn ask(&self) -> Result<End, BoxError> {
        call(&self.store, self.question()?).await
    }

    pub(crate) async fn finds(&self) -> Drill {
        let end = self.ask().await?;
        if end.error.is_some() {
            return seen(false, end);
        }
        let found: Value = serde_json::from_slice(&end.body)?;
        let ids = &found["ids"][0];
        seen(*ids == json!(["a", "c"]), format!("notes {ids}"))
    }

    async fn stopped(&self) -> Drill {
        self.server.stop()?;
        let ended = self.three_late().await;
        self.server.go_on()?;
        ended
    }

    /// Three in a row: a permit that did not come back would let the second wait for it.
    pub(crate) async fn three_late(&self) -> Drill {
        let mut ended = Vec::new();
        for _ in 0..3 {
            ended.push(self.ask().await?);
        }
        let on_time = |end: &&End| {
            end.error == Some(ErrorKind::Deadline) && end.first().is_some() && end.at(BUDGET)
        };
        let on_time = ended.iter().filter(on_time).count();
        let told = ended.last().map(End::to_string).unwrap_or_default();
        let (back, under_way) = self.left().await;
        seen(
            on_time == 3 && back == 1 && under_way == 0,
            format!("{on_time} of 3 {told}; permits {back}, in flight {under_way}"),
        )
    }

    /// Permits that are back, and calls that have not ended.
    pub(crate) async fn left(&self) -> (usize, usize) {
        let ends = self.store.ends().settled().await;
        (self.permits.available_permits(), ends.in_flight())
    }
}
