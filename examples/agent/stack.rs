//! The stacks: every backstay layer in the recommended order, around one client.

use crate::{cleanup::Cleanups, servers::Servers};
use backstay::{
    Body, BoxError, BuildError, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, CancelService, Hooks},
    deadline::DeadlineService,
    fallback::{Backoff, FallbackService, Target, Targets},
    status_error::StatusErrorService,
    timeout::TimeoutsService,
};
use backstay_client::Client;
use tokio::time::Duration;
use tower::ServiceBuilder;

/// What the layers make of the client. No box: the type says what a call passes through, from the outside in.
pub(crate) type Stack = CancelService<
    StatusErrorService<DeadlineService<FallbackService<TimeoutsService<Client<Body>>>>>,
>;

/// One stack for each kind of call, over one client and with the same hook.
pub(crate) struct Stacks {
    pub(crate) llm: Stack,
    pub(crate) embeddings: Stack,
    pub(crate) vectors: Stack,
    pub(crate) limits: Limits,
    /// Counts the hooks that ran, and waits for those that run.
    pub(crate) hooks: Hooks,
    /// What the hook was told.
    pub(crate) cleanups: Cleanups,
}

/// The budget of a question, and the clocks of the attempts in it.
#[derive(Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) budget: Duration,
    pub(crate) first_token: Duration,
    pub(crate) primary_attempt: Duration,
    pub(crate) fallback_attempt: Duration,
    retrieval_attempt: Duration,
    idle: Duration,
    backoff: Backoff,
}

const CONNECT: Duration = Duration::from_secs(3);

// === impl Stacks ===

impl Stacks {
    pub(crate) fn new(
        client: &Client<Body>,
        servers: &Servers,
        limits: Limits,
    ) -> Result<Self, BuildError> {
        let cleanups = Cleanups::default();
        let cancel = CancelLayer::new().on_cancel(cleanups.hook());
        let stack = |targets: Targets, timeouts: Timeouts| -> Result<Stack, BuildError> {
            Ok(ServiceBuilder::new()
                .layer(cancel.clone())
                .status_error()
                .deadline(limits.budget)?
                .fallback(targets.backoff(limits.backoff))?
                .timeouts(timeouts.connect(CONNECT))?
                .service(client.clone()))
        };

        let streams = Timeouts::new()
            .for_streams(|clocks| clocks.first_token(limits.first_token).idle(limits.idle));
        let unary = Timeouts::new().attempt(limits.retrieval_attempt);
        // A call to the vector store has no model: the plain dialect reads its status and nothing else.
        let vectors = Targets::plain(Target::named("vectors")).retries(2);
        let embeddings = Target::model(servers.embedding_model.as_str());
        Ok(Self {
            llm: stack(llm_targets(servers, &limits), streams)?,
            embeddings: stack(Targets::new(embeddings).retries(1), unary)?,
            vectors: stack(vectors, unary)?,
            limits,
            hooks: cancel.hooks(),
            cleanups,
        })
    }
}

/// The model that is asked first, and the one that answers when it does not. Each may take a part of the
/// budget, and what the first leaves is the second's. The `first_token` clock is what mostly decides between
/// them: once text is shown nothing else is tried.
fn llm_targets(servers: &Servers, limits: &Limits) -> Targets {
    let primary = Target::model(servers.model.as_str())
        .name("primary")
        .timeouts(Timeouts::new().attempt(limits.primary_attempt));
    let targets = Targets::new(primary).retries(1);
    let Some(fallback) = &servers.fallback else {
        return targets;
    };
    let mut target = Target::model(fallback.model.as_str())
        .name("fallback")
        .timeouts(Timeouts::new().attempt(limits.fallback_attempt));
    if let Some(server) = &fallback.server {
        // Another authority never sees the primary's key; it has its own.
        target = target
            .origin(server.origin())
            .path(server.path("/chat/completions"));
        if let Some(key) = server.key() {
            target = target.bearer(key);
        }
    }
    targets.then(target)
}

/// The client at the bottom. Plain http goes to this machine only, unless allowed.
pub(crate) fn client(allow_http: bool) -> Result<Client<Body>, BoxError> {
    let builder = Client::builder();
    let builder = if allow_http {
        builder.allow_http(true)
    } else {
        builder.allow_http_loopback(true)
    };
    Ok(builder.build()?)
}

// === impl Limits ===

impl Limits {
    /// Of 20 s the primary may take 15 s and the fallback 10 s.
    pub(crate) fn new(budget: Duration, first_token: Duration) -> Self {
        Self {
            budget,
            first_token,
            primary_attempt: budget.mul_f64(0.75),
            fallback_attempt: budget.mul_f64(0.5),
            retrieval_attempt: budget.mul_f64(0.5),
            idle: budget.mul_f64(0.5),
            backoff: Backoff::default(),
        }
    }

    /// All of it at a tenth, so that a tour fits into a coffee sip.
    pub(crate) fn tenth(self) -> Self {
        Self {
            backoff: Backoff::new(Duration::from_millis(50), Duration::from_millis(800)),
            ..Self::new(self.budget / 10, self.first_token / 10)
        }
    }
}
