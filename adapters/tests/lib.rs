//! The set-up that the tests of all adapters share: a whole stack over any leaf, and what its observer saw.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a broken set-up fails the test that asked for it"
)]

use backstay::{
    Body, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, CancelService, Ended},
    deadline::DeadlineService,
    fallback::{FallbackService, Targets},
    timeout::TimeoutsService,
    trail::Attempt,
};
use backstay_client::{Client, Proxy};
use backstay_mock::Mock;
use parking_lot::Mutex;
use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::Instant};
use tower::ServiceBuilder;

/// A millisecond.
pub const MS: Duration = Duration::from_millis(1);

/// What comes at once comes within this, on a machine with other things to do.
pub const PROMPTLY: Duration = Duration::from_secs(2);

/// The end of a test that hangs.
pub const HANGS: Duration = Duration::from_secs(30);

/// A budget that no test uses up.
pub const AMPLE: Duration = Duration::from_secs(60);

/// A budget that is used up by whatever does not answer.
pub const SHORT: Duration = Duration::from_millis(300);

/// The layers over a leaf.
pub type Stack<L> = CancelService<DeadlineService<FallbackService<TimeoutsService<L>>>>;

/// What the observer of a stack was told, one entry for each call that ended.
pub type Observed = Arc<Mutex<Vec<Ended>>>;

/// `on_cancel`, `deadline`, `fallback` and `timeouts` over a leaf.
pub fn stack<L>(leaf: L, targets: Targets, timeouts: Timeouts, budget: Duration) -> Stack<L> {
    observed_stack(leaf, targets, timeouts, budget).0
}

/// The same, with what its observer is told.
pub fn observed_stack<L>(
    leaf: L,
    targets: Targets,
    timeouts: Timeouts,
    budget: Duration,
) -> (Stack<L>, Observed) {
    let observed = Observed::default();
    let cancel = CancelLayer::new().observe({
        let observed = observed.clone();
        move |ended: &Ended| observed.lock().push(ended.clone())
    });
    let stack = ServiceBuilder::new()
        .layer(cancel)
        .deadline(budget)
        .unwrap()
        .fallback(targets)
        .unwrap()
        .timeouts(timeouts)
        .unwrap()
        .service(leaf);
    (stack, observed)
}

/// backstay's own client, for the mock.
pub fn http1() -> Client<Body> {
    let client = Client::builder().http1_only().allow_http(true);
    client.proxy(Proxy::none()).build().unwrap()
}

/// Waits for what must come.
///
/// # Panics
///
/// When it does not come.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(HANGS, future)
        .await
        .expect("the test hangs")
}

/// Polls a call, which must not end, until the mock has its request.
///
/// # Panics
///
/// When the call ends, or no request comes.
pub async fn until_sent<F: Future>(call: F, mock: &Mock) {
    let sent = mock.wait_until(|log| log.last().is_some_and(|seen| seen.attempt > 0), HANGS);
    tokio::select! {
        _ = call => panic!("the call has ended"),
        sent = sent => assert!(sent, "no request came"),
    }
}

/// The caller of the mock's last request goes now: waits until the mock has seen that.
///
/// # Panics
///
/// When it does not see that promptly.
pub async fn upstream_closed(mock: &Mock) {
    let gone = Instant::now();
    let closed = |log: &[backstay_mock::Logged]| {
        log.last().is_some_and(|seen| seen.peer_closed_at.is_some())
    };
    assert!(mock.wait_until(closed, HANGS).await, "still open");
    let closed = mock.log().last().and_then(|seen| seen.peer_closed_at);
    let took = closed.unwrap().saturating_duration_since(gone);
    assert!(took < PROMPTLY, "{took:?}");
}

/// Waits until some calls have ended, and gives the attempts of the last one.
///
/// # Panics
///
/// When they do not end.
pub async fn attempts_of(observed: &Observed, calls: usize) -> Vec<Attempt> {
    let ended = async {
        while observed.lock().len() < calls {
            tokio::time::sleep(MS).await;
        }
    };
    within(ended).await;
    let last = observed.lock().last().cloned();
    last.expect("a call has ended").trail.attempts()
}

/// An address at which nobody listens.
///
/// # Panics
///
/// When there is no free port.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

/// backstay's error within a client's.
///
/// # Panics
///
/// When there is none.
pub fn find<'a>(error: &'a (dyn std::error::Error + 'static)) -> &'a backstay::Error {
    backstay::Error::find(error).expect("an error of backstay's own")
}
