//! Cleanups of a scope: each runs once, shielded, within a limit, and is counted.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Deadline,
    cancel::Why,
    scope::{Left, ScopeHandle},
};
use std::{
    future::{pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{
    Answer, Upstream, chat, read,
    scope::{ElapsedNow, Nothing, hooked, session},
    seconds, send,
};
use tokio::time::{Duration, Instant, sleep};
use tower::Layer;

#[tokio::test(start_paused = true)]
async fn cleanups_that_hang_or_panic_harm_nobody() {
    let start = Instant::now();
    let scope = session().cleanup_timeout(seconds(3)).unwrap();
    let counts = scope.cleanups();
    let value = scope
        .defer(|_| ready(()))
        .defer(|_| async { panic!("a cleanup") })
        .defer(|_| -> std::future::Ready<()> { panic!("a cleanup's making") })
        .defer(|_| pending())
        .run(async |_| Ok(7))
        .await;
    assert_eq!(value.unwrap(), 7);
    assert_eq!(start.elapsed_now(), seconds(3));
    assert_eq!(
        (
            counts.finished(),
            counts.panicked(),
            counts.timed_out(),
            counts.lost()
        ),
        (1, 2, 1, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn cleanups_are_shielded_and_have_the_labels_and_their_own_limit() {
    let (layer, ends) = hooked();
    let service = layer.layer(Upstream::new([Answer::json("{}").after(seconds(1))]));
    let error = session()
        .budget(seconds(2))
        .on_cancel(move |left: Left| async move {
            assert_eq!((left.why, left.elapsed), (Why::Deadline, seconds(2)));
            assert_eq!(
                (&*left.scope, left.labels.get("session")),
                ("answer", Some("s-81"))
            );
            let own = Deadline::ambient().unwrap().instant().unwrap();
            assert_eq!(own.saturating_duration_since(Instant::now()), seconds(5));
            let response = send(&service, chat()).await.unwrap();
            assert!(read(response.into_body()).await.1.is_none());
        })
        .run(|_| pending::<Nothing>())
        .await
        .unwrap_err();
    assert!(error.is_deadline());
    let ended = ends.lock()[0].clone();
    assert_eq!(ended.why, Why::Complete);
    assert_eq!(ended.labels.get("session"), Some("s-81"));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_while_cleanups_run_stops_none() {
    let scope = session();
    let counts = scope.cleanups();
    let run = scope
        .defer(|_| sleep(seconds(1)))
        .defer(|_| sleep(seconds(1)))
        .run(async |_| Ok(()));
    let half_way = Duration::from_millis(500);
    assert!(tokio::time::timeout(half_way, run).await.is_err());
    assert!(counts.are_running());
    assert!(counts.wait(seconds(5)).await);
    assert_eq!((counts.finished(), counts.lost()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_future_that_was_never_polled_runs_its_cleanups() {
    let scope = session();
    let counts = scope.cleanups();
    drop(
        scope
            .on_cancel(|left| async move { assert_eq!(left.why, Why::Dropped) })
            .run(|_| pending::<Nothing>()),
    );
    assert!(counts.wait(seconds(1)).await);
    assert_eq!((counts.finished(), counts.panicked()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_that_comes_late_runs_at_once() {
    let scope = session();
    let counts = scope.cleanups();
    let handle = scope
        .run(async |scope: ScopeHandle| Ok(scope))
        .await
        .unwrap();
    handle.defer(|left| async move { assert_eq!(left.why, Why::Complete) });
    handle.on_cancel(|_| ready(()));
    assert!(counts.wait(seconds(1)).await);
    assert_eq!((counts.finished(), counts.panicked()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_can_keep_another() {
    let scope = session();
    let counts = scope.cleanups();
    scope
        .run(async |scope: ScopeHandle| {
            let inner = scope.clone();
            scope.defer(move |_| async move { inner.defer(|_| ready(())) });
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(counts.finished(), 2);
}

#[test]
fn cleanups_whose_runtime_is_gone_are_counted_as_lost() {
    let ran = Arc::new(AtomicUsize::new(0));
    let scope = session();
    let counts = scope.cleanups();
    let count = ran.clone();
    let run = scope
        .on_cancel(|_| ready(()))
        .run(async move |scope: ScopeHandle| {
            scope.defer(move |_| {
                count.fetch_add(1, SeqCst);
                ready(())
            });
            pending::<Nothing>().await
        });
    let mut run = Box::pin(run);
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    };
    let first = runtime();
    first.block_on(async {
        let polled = futures_util::poll!(run.as_mut());
        assert!(polled.is_pending());
    });
    drop(first);
    drop(run);
    assert_eq!(
        (counts.lost(), counts.finished(), ran.load(SeqCst)),
        (2, 0, 0)
    );
    assert!(!counts.are_running());

    // One that has begun, and cannot come to its end.
    let scope = session();
    let counts = scope.cleanups();
    let second = runtime();
    second.block_on(async {
        let run = scope.defer(|_| pending()).run(async |_| Ok(()));
        assert!(futures_util::poll!(Box::pin(run)).is_pending());
        tokio::task::yield_now().await;
    });
    drop(second);
    assert_eq!((counts.lost(), counts.finished()), (1, 0));
}

#[test]
fn a_limit_of_zero_is_refused() {
    assert!(session().cleanup_timeout(Duration::ZERO).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_that_is_not_to_run_and_panics_as_it_is_dropped_harms_no_other() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }

    let scope = session();
    let counts = scope.cleanups();
    let left = scope
        .run(async |scope: ScopeHandle| {
            let inner = scope.clone();
            scope.defer(|_| ready(()));
            scope.defer(move |_| async move {
                // It comes to its end: this one is for another.
                let bomb = Bomb;
                inner.on_cancel(move |_| {
                    let _bomb = bomb;
                    ready(())
                });
            });
            Ok(())
        })
        .await;
    assert!(left.is_ok());
    assert!(counts.wait(seconds(1)).await);
    assert_eq!((counts.finished(), counts.lost()), (2, 0));
}
