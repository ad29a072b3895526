//! The layers around the client: one stack for the model, one for the vector store.

use crate::{flags::Upstream, journal::Journal};
use backstay::{
    Body, BuildError, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, CancelService, Hooks},
    deadline::DeadlineService,
    fallback::{Backoff, FallbackService, Target, Targets},
    status_error::StatusErrorService,
    timeout::TimeoutsService,
};
use backstay_client::Client;
use tokio::time::Duration;
use tower::ServiceBuilder;

/// What a call passes through, from the outside in.
pub(crate) type Stack = CancelService<
    StatusErrorService<DeadlineService<FallbackService<TimeoutsService<Client<Body>>>>>,
>;

pub(crate) struct Stacks {
    pub(crate) llm: Stack,
    pub(crate) vectors: Stack,
    /// Waits for the hooks of both.
    pub(crate) hooks: Hooks,
}

const CONNECT: Duration = Duration::from_secs(3);

// === impl Stacks ===

impl Stacks {
    /// `budget` is that of a whole session: clocks are parts of it.
    pub(crate) fn new(
        client: &Client<Body>,
        upstream: &Upstream,
        budget: Duration,
        journal: &Journal,
    ) -> Result<Self, BuildError> {
        let journal = journal.clone();
        let cancel = CancelLayer::new().on_cancel(move |ended| {
            journal.hook(&ended);
            std::future::ready(())
        });
        let stack = |targets: Targets, timeouts: Timeouts| -> Result<Stack, BuildError> {
            let backoff = Backoff::new(budget / 50, budget / 10);
            Ok(ServiceBuilder::new()
                .layer(cancel.clone())
                .status_error()
                // The scope around ends a call without it; with it the error has the trail of the call.
                .deadline(budget)?
                .fallback(targets.retries(1).backoff(backoff))?
                .timeouts(timeouts.connect(CONNECT))?
                .service(client.clone()))
        };

        let mut models = Targets::new(Target::model(upstream.model.as_str()).name("primary"));
        if let Some(model) = &upstream.fallback_model {
            models = models.then(Target::model(model.as_str()).name("fallback"));
        }
        let tokens = Timeouts::new()
            .for_streams(|clocks| clocks.first_token(budget.mul_f64(0.3)).idle(budget / 2));
        let document = Timeouts::new().attempt(budget.mul_f64(0.2));
        Ok(Self {
            llm: stack(models, tokens)?,
            vectors: stack(Targets::plain(Target::named("vectors")), document)?,
            hooks: cancel.hooks(),
        })
    }
}
