//! What a scope makes of errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    BoxError, Error, ErrorKind, Scope, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Why},
    error::Cancellation,
    timeout::Clock,
};
use parking_lot::Mutex;
use std::{
    error::Error as StdError,
    fmt,
    future::{Future, pending},
    sync::Arc,
};
use support::{
    Answer, Upstream, chat,
    scope::{Nothing, session},
    seconds, send,
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder};

/// An error of the user's, around another.
#[derive(Debug)]
struct Step(BoxError);

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the step")
    }
}

impl StdError for Step {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(&*self.0)
    }
}

async fn slow_call() -> Nothing {
    let service = ServiceBuilder::new()
        .timeouts(Timeouts::new().headers(seconds(1)))?
        .service(Upstream::new([Answer::hang()]));
    send(&service, chat()).await.map(drop)
}

/// Runs a step of a session.
async fn step<F: Future<Output = Nothing>>(run: F) -> Error {
    let step = Scope::new("generate").label("step", "2").run(|_| run);
    session().run(async |_| Ok(step.await?)).await.unwrap_err()
}

#[tokio::test(start_paused = true)]
async fn an_error_says_which_step_of_which_session_failed() {
    for wrapped in [false, true] {
        let error = step(async move {
            match slow_call().await {
                Err(error) if wrapped => Err(Step(error).into()),
                other => other,
            }
        })
        .await;
        assert_eq!(error.kind(), ErrorKind::Timeout(Clock::Headers));
        assert_eq!(error.scope(), Some("answer > generate"));
        let labels: Vec<_> = error.labels().iter().collect();
        assert_eq!(labels, [("session", "s-81"), ("step", "2")]);
        assert_eq!(error.limit(), Some(seconds(1)));
        assert_eq!(error.trail().unwrap().attempts().len(), 1);
        // Backstay's own is not wrapped in itself; another error is kept.
        assert_eq!(
            error.source().is_some_and(|source| source.is::<Step>()),
            wrapped
        );
        let line = error.to_string();
        assert_eq!(line.lines().count(), 1);
        for part in [
            "answer > generate",
            "session=s-81 step=2",
            "headers",
            "1.0 s",
        ] {
            assert!(line.contains(part), "{line}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_users_keeps_its_chain() {
    let error = step(async { Err(Step("disk full".into()).into()) }).await;
    assert_eq!(error.kind(), ErrorKind::Failed);
    let mut chain = Vec::new();
    let mut next = error.source();
    while let Some(source) = next {
        chain.push(source.to_string());
        next = source.source();
    }
    assert_eq!(chain, ["the step", "disk full"]);
    assert!(error.source().unwrap().is::<Step>());
}

#[tokio::test(start_paused = true)]
async fn a_cancellation_leaves_as_one_however_it_is_wrapped() {
    for wrapped in [false, true] {
        let told = Arc::<Mutex<Vec<Why>>>::default();
        let why = told.clone();
        let error = step(async move {
            Scope::new("inner")
                .on_cancel(move |left| async move { why.lock().push(left.why) })
                .run(async |_| {
                    let cancelled = CancellationToken::new();
                    cancelled.cancel();
                    let layer = CancelLayer::new().token(cancelled);
                    let service = layer.layer(Upstream::new([Answer::hang()]));
                    match send(&service, chat()).await.map(drop) {
                        Err(error) if wrapped => Err(Step(error).into()),
                        other => other,
                    }
                })
                .await?;
            Ok(())
        })
        .await;
        assert!(error.is_cancelled());
        assert_eq!(error.kind(), ErrorKind::Cancelled(Cancellation::Token));
        assert_eq!(*told.lock(), [Why::Token]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_of_a_calls_own_does_not_cut_off_the_scope() {
    let left = Arc::<Mutex<Vec<Why>>>::default();
    let (always, only) = (left.clone(), left.clone());
    let service = ServiceBuilder::new()
        .deadline(seconds(1))
        .unwrap()
        .service(Upstream::new([Answer::hang()]));
    let error = session()
        .budget(seconds(20))
        .defer(move |left| async move { always.lock().push(left.why) })
        .on_cancel(move |left| async move { only.lock().push(left.why) })
        .run(async |_| Ok(send(&service, chat()).await.map(drop)?))
        .await
        .unwrap_err();
    assert!(error.is_deadline());
    assert_eq!(*left.lock(), [Why::Failed(Some(ErrorKind::Deadline))]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_of_a_scope_tells_its_budget() {
    let error = session()
        .budget(seconds(3))
        .run(|_| pending::<Nothing>())
        .await
        .unwrap_err();
    assert_eq!(error.limit(), Some(seconds(3)));
    assert_eq!(error.elapsed(), Some(seconds(3)));
    assert_eq!(error.scope(), Some("answer"));
}
