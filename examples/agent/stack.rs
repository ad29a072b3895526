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
    /// For an answer that is held to its end: what is left then is the fallback's.
    pub(crate) held_attempt: Duration,
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
            llm: stack(llm_targets(servers), streams)?,
            embeddings: stack(Targets::new(embeddings).retries(1), unary)?,
            vectors: stack(vectors, unary)?,
            limits,
            hooks: cancel.hooks(),
            cleanups,
        })
    }
}

/// The model that is asked first, and the one that answers when it does not. The `first_token` clock decides
/// between them. There is no `attempt` clock: once text was shown nothing else can be tried, and it would only
/// end a slow answer that the budget still has time for.
fn llm_targets(servers: &Servers) -> Targets {
    let primary = Target::model(servers.model.as_str()).name("primary");
    let targets = Targets::new(primary).retries(1);
    let Some(fallback) = &servers.fallback else {
        return targets;
    };
    let mut target = Target::model(fallback.model.as_str()).name("fallback");
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
    /// Of 20 s a held answer may take 15 s, and a stream may be silent for 10 s.
    pub(crate) fn new(budget: Duration, first_token: Duration) -> Self {
        Self {
            budget,
            first_token,
            held_attempt: budget.mul_f64(0.75),
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
