//! What becomes of calls, and of what is carried out, when a scope ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Deadline, Error, ErrorKind, Scope, ServiceBuilderExt,
    cancel::{CancelLayer, Why},
    error::Cancellation,
    fallback::Targets,
    scope::ScopeHandle,
    trail::Outcome,
};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{
    Answer, Upstream, chat, kind, read,
    scope::{ElapsedNow, Nothing, hooked, session},
    seconds, send, token, wait,
};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder};

#[tokio::test(start_paused = true)]
async fn a_body_that_is_carried_out_ends_with_the_scope() {
    let upstream = Upstream::new([Answer::events(vec![token("a"), wait(60)])]);
    let (layer, ends) = hooked();
    let service = layer.layer(upstream.clone());
    let response = session()
        .run(async |_| Ok(send(&service, chat()).await?))
        .await
        .unwrap();
    let (data, error) = read(response.into_body()).await;
    assert!(!data.is_empty());
    let error = error.unwrap();
    assert_eq!(kind(&error), ErrorKind::Cancelled(Cancellation::Scope));
    assert!(Error::find(&*error).unwrap().is_cancelled());
    assert_eq!(upstream.live(), 0);
    assert_eq!(ends.lock()[0].why, Why::Scope);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_was_being_read_elsewhere_is_woken_by_the_end() {
    for (cancelled, why) in [(false, Why::Deadline), (true, Why::Token)] {
        let start = Instant::now();
        let upstream = Upstream::new([Answer::events(vec![token("a"), wait(60)])]);
        let (layer, ends) = hooked();
        let service = layer.layer(upstream.clone());
        let (out, carried) = tokio::sync::oneshot::channel();
        let reader = tokio::spawn(async move { read(carried.await.unwrap()).await.1.unwrap() });
        let token = CancellationToken::new();
        session()
            .budget(seconds(3))
            .token(token.clone())
            .run(async |_| {
                let response = send(&service, chat()).await?;
                let _ = out.send(response.into_body());
                sleep(seconds(2)).await;
                if cancelled {
                    token.cancel();
                }
                pending::<Nothing>().await
            })
            .await
            .unwrap_err();
        let error = reader.await.unwrap();
        assert_eq!(start.elapsed_now(), seconds(if cancelled { 2 } else { 3 }));
        assert_eq!(Error::find(&*error).unwrap().is_cancelled(), cancelled);
        assert_eq!(Error::find(&*error).unwrap().is_deadline(), !cancelled);
        assert_eq!(upstream.live(), 0);
        assert_eq!(ends.lock()[0].why, why);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_block_waits_for_tells_why_it_was_cut_off() {
    for (cancelled, why, outcome) in [
        (false, Why::Deadline, Outcome::Deadline),
        (true, Why::Token, Outcome::Cancelled),
    ] {
        let (layer, ends) = hooked();
        let service = ServiceBuilder::new()
            .layer(layer)
            .fallback(Targets::new("a"))
            .unwrap()
            .service(Upstream::new([Answer::hang()]));
        let token = CancellationToken::new();
        let run = session()
            .budget(seconds(3))
            .token(token.clone())
            .run(async |_| Ok(send(&service, chat()).await.map(drop)?));
        let cancel = async {
            sleep(seconds(1)).await;
            if cancelled {
                token.cancel();
            }
        };
        let (error, ()) = futures_util::join!(run, cancel);
        assert_eq!(error.unwrap_err().is_cancelled(), cancelled);
        let ended = ends.lock()[0].clone();
        assert_eq!(ended.why, why);
        assert_eq!(ended.trail.attempts()[0].outcome, outcome);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_the_block_itself_drops_was_dropped() {
    let (layer, ends) = hooked();
    let service = layer.layer(Upstream::new([Answer::hang()]));
    session()
        .run(async |_| {
            let call = send(&service, chat());
            assert!(tokio::time::timeout(seconds(1), call).await.is_err());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(ends.lock()[0].why, Why::Dropped);
}

#[tokio::test(start_paused = true)]
async fn nothing_begins_in_a_scope_that_is_over() {
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let entered = Arc::new(AtomicUsize::new(0));
    for (scope, expected) in [
        (
            session().token(cancelled),
            ErrorKind::Cancelled(Cancellation::Token),
        ),
        (session().budget(Duration::ZERO), ErrorKind::Deadline),
        (
            session().deadline(Deadline::at(Instant::now())),
            ErrorKind::Deadline,
        ),
    ] {
        let counts = scope.cleanups();
        let error = scope
            .on_cancel(|_| ready(()))
            .run(|_| {
                entered.fetch_add(1, SeqCst);
                ready(Ok(()))
            })
            .await
            .unwrap_err();
        assert_eq!(error.kind(), expected);
        assert_eq!((entered.load(SeqCst), counts.finished()), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_is_carried_out_ends_with_the_one_around() {
    let left = Arc::<Mutex<Vec<Why>>>::default();
    let told = left.clone();
    let inner = Scope::new("inner")
        .on_cancel(move |left| async move { told.lock().push(left.why) })
        .run(|_| pending::<Nothing>());
    let mut inner = Box::pin(inner);
    let carried = session()
        .run(async |_| {
            assert!(futures_util::poll!(inner.as_mut()).is_pending());
            Ok(tokio::spawn(inner))
        })
        .await
        .unwrap();
    // It was waited for.
    assert_eq!(*left.lock(), [Why::Scope]);
    let error = carried.await.unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled(Cancellation::Scope));
}

#[tokio::test(start_paused = true)]
async fn what_is_carried_out_and_not_polled_is_not_waited_for_without_end() {
    let start = Instant::now();
    let mut inner = Box::pin(Scope::new("inner").run(|_| pending::<Nothing>()));
    let scope = session().cleanup_timeout(seconds(3)).unwrap();
    let counts = scope.cleanups();
    scope
        .defer(|_| ready(()))
        .run(async |_| {
            assert!(futures_util::poll!(inner.as_mut()).is_pending());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!((start.elapsed_now(), counts.finished()), (seconds(3), 1));
    assert!(inner.await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn code_that_is_cut_off_does_not_go_on_with_a_cancelled_call() {
    let went_on = Arc::new(AtomicUsize::new(0));
    let call = |name: &'static str| {
        let count = went_on.clone();
        let service = CancelLayer::new().layer(Upstream::new([Answer::hang()]));
        (name, async move {
            let _ = send(&service, chat()).await;
            count.fetch_add(1, SeqCst);
            Ok(())
        })
    };
    let (name, task) = call("task");
    let (_, block) = call("block of a nested scope");
    session()
        .run(async |scope: ScopeHandle| {
            drop(scope.spawn(name, task));
            let mut nested = Box::pin(Scope::new("nested").run(|_| block));
            assert!(futures_util::poll!(nested.as_mut()).is_pending());
            drop(tokio::spawn(nested));
            sleep(seconds(1)).await;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(went_on.load(SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_there_wins_over_the_end() {
    let service = CancelLayer::new().layer(Upstream::new([Answer::stream(&["a", "b"])]));
    let body = session()
        .run(async |_| Ok(send(&service, chat()).await?.into_body()))
        .await
        .unwrap();
    assert!(body.collect().await.is_ok());
}
