//! The layers that each item of the batch goes through.

use crate::flags::Upstream;
use backstay::{
    Body, BuildError, ServiceBuilderExt, Timeouts,
    deadline::DeadlineService,
    fallback::{Backoff, FallbackService, Target, Targets},
    status_error::StatusErrorService,
    timeout::TimeoutsService,
};
use backstay_client::Client;
use tokio::time::Duration;
use tower::ServiceBuilder;

/// What an item passes through, from the outside in.
pub(crate) type Stack =
    StatusErrorService<DeadlineService<FallbackService<TimeoutsService<Client<Body>>>>>;

const CONNECT: Duration = Duration::from_secs(3);

/// One retry fits into an item's budget, also after an attempt that hung.
pub(crate) fn stack(
    client: Client<Body>,
    upstream: &Upstream,
    item_budget: Duration,
) -> Result<Stack, BuildError> {
    // The model that the request names, whichever that is.
    let mut targets = Targets::new(Target::named("primary"))
        .retries(1)
        .backoff(Backoff::new(item_budget / 20, item_budget / 4));
    if let Some(model) = &upstream.fallback_model {
        targets = targets.then(Target::model(model.as_str()));
    }
    let timeouts = Timeouts::new()
        .connect(CONNECT)
        .for_unary(|clocks| clocks.attempt(item_budget.mul_f64(0.6)));
    Ok(ServiceBuilder::new()
        .status_error()
        // The batch ends an item without it; with it the error has the trail of the call.
        .deadline(item_budget)?
        .fallback(targets)?
        .timeouts(timeouts)?
        .service(client))
}
