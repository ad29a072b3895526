//! Scopes under a drain: admitted, ended, and their cleanups and hooks waited for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Body, BoxError, Error, ErrorKind, Group, Scope,
    cancel::{CancelLayer, Ended, Why},
    drain::Drain,
    error::Cancellation,
    scope::ScopeHandle,
};
use futures_util::FutureExt;
use http::Request;
use parking_lot::Mutex;
use std::{
    future::{Future, pending},
    pin::pin,
    sync::Arc,
};
use support::{Answer, Upstream, chat, seconds, send};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, sleep, timeout},
};
use tower::{ServiceBuilder, ServiceExt};

const MS: Duration = Duration::from_millis(1);

type Whys = Arc<Mutex<Vec<Why>>>;

fn whys() -> (Whys, CancelLayer) {
    let told = Whys::default();
    let layer = CancelLayer::new().on_cancel({
        let told = told.clone();
        move |ended: Ended| {
            let told = told.clone();
            async move {
                sleep(100 * MS).await;
                told.lock().push(ended.why);
            }
        }
    });
    (told, layer)
}

/// A call that hangs, in a stack without a drain of its own.
fn hangs(layer: &CancelLayer) -> impl Future<Output = Result<(), BoxError>> + Send + use<> {
    let service = ServiceBuilder::new()
        .layer(layer.clone())
        .service(Upstream::new([Answer::hang()]));
    async move { send(&service, chat()).await.map(drop) }
}

fn shut_down(error: &Error) -> bool {
    error.kind() == ErrorKind::Cancelled(Cancellation::Shutdown)
}

#[tokio::test(start_paused = true)]
async fn once_it_has_begun_a_scope_is_refused_and_what_was_deferred_runs() {
    let drain = Drain::new();
    drain.start();
    let ran = Whys::default();
    let [always, never] = [(); 2].map(|()| ran.clone());
    let scope = drain
        .scope("answer")
        .label("session", "s-81")
        .defer(move |left| async move { always.lock().push(left.why) })
        .on_cancel(move |left| async move { never.lock().push(left.why) });
    let run = scope.run(|_| async { panic!("entered") as Result<(), BoxError> });
    let error = run.await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Draining);
    assert_eq!(error.scope(), Some("answer"));
    assert_eq!(error.labels().get("session"), Some("s-81"));
    assert!(!error.is_cancelled());
    assert_eq!(*ran.lock(), [Why::Failed(Some(ErrorKind::Draining))]);
    let report = drain.shutdown().await;
    assert_eq!((report.in_flight, report.refused), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_ends_within_the_grace_is_told_as_it_ended() {
    let drain = Drain::new().grace(seconds(5));
    let began = |ends: Result<(), BoxError>| {
        let run = drain.scope("answer").run(|_| async move {
            sleep(seconds(1)).await;
            ends
        });
        tokio::spawn(run)
    };
    let good = began(Ok(()));
    let bad = began(Err("disk full".into()));
    let panics = drain.scope("answer").run(|_| async {
        sleep(seconds(1)).await;
        panic!("a defect") as Result<(), BoxError>
    });
    let panics = tokio::spawn(panics);
    let dropped = drain.scope("answer").run(|_| pending::<Result<(), _>>());
    let dropped = tokio::spawn(timeout(seconds(1), dropped));
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!(
        (
            report.in_flight,
            report.completed,
            report.failed,
            report.cancelled
        ),
        (4, 1, 2, 1)
    );
    assert_eq!(report.took, seconds(1));
    good.await.unwrap().unwrap();
    assert_eq!(bad.await.unwrap().unwrap_err().kind(), ErrorKind::Failed);
    assert!(panics.await.unwrap_err().is_panic());
    assert!(dropped.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn cleanups_are_waited_for_within_the_bound_for_hooks_and_counted() {
    let drain = Drain::new().grace(seconds(1)).hook_wait(seconds(4));
    let scope = drain
        .scope("answer")
        .cleanup_timeout(seconds(2))
        .unwrap()
        .defer(|_| async {})
        .defer(|_| sleep(seconds(60)))
        .defer(|_| pending())
        .defer(|_| async { panic!("a cleanup") })
        .defer(|_| sleep(seconds(1)));
    let cleanups = scope.cleanups();
    let run = tokio::spawn(scope.run(|_| pending::<Result<(), _>>()));
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!((report.in_flight, report.cancelled), (1, 1));
    // One after the other: 1 s, none, 2 s, one that is at work when the bound is reached, and one that waits.
    let hooks = report.hooks;
    assert_eq!((hooks.finished, hooks.panicked), (1, 1));
    assert_eq!((hooks.timed_out, hooks.running), (1, 2));
    assert_eq!(report.took, seconds(5));
    assert!(shut_down(&run.await.unwrap().unwrap_err()));
    assert_eq!((cleanups.timed_out(), cleanups.finished()), (2, 2));
    assert!(!cleanups.are_running());
}

#[tokio::test(start_paused = true)]
async fn cleanups_of_a_scope_that_ended_before_are_waited_for_too() {
    let drain = Drain::new();
    let run = drain
        .scope("answer")
        .defer(|_| sleep(seconds(3)))
        .run(|_| pending::<Result<(), _>>());
    assert!(timeout(seconds(1), run).await.is_err());
    let report = drain.shutdown().await;
    assert_eq!((report.in_flight, report.hooks.finished), (0, 1));
    assert_eq!(report.took, seconds(3));
}

#[tokio::test(start_paused = true)]
async fn hooks_of_calls_in_tasks_and_groups_and_nested_scopes_are_waited_for() {
    let (told, layer) = whys();
    let drain = Drain::new().grace(seconds(1));
    let run = drain.scope("answer").run(async move |scope: ScopeHandle| {
        drop(scope.spawn("task", hangs(&layer)));
        let mut group = scope.group();
        group.spawn("member", hangs(&layer));
        let nested = Scope::new("nested").run(|_| hangs(&layer));
        let (nested, group) = futures_util::join!(nested, group.cancel_on_failure());
        nested?;
        group?;
        Ok(())
    });
    let run = tokio::spawn(run);
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!((report.hooks.finished, report.hooks.running), (3, 0));
    assert_eq!(report.took, seconds(1) + 100 * MS);
    assert_eq!(*told.lock(), [Why::Shutdown; 3]);
    assert!(shut_down(&run.await.unwrap().unwrap_err()));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_that_is_slow_to_come_back_is_waited_for_until_the_hook_of_its_call_has_run() {
    let (told, layer) = whys();
    let drain = Drain::new().grace(Duration::ZERO).hook_wait(seconds(30));
    let (entered, has_entered) = tokio::sync::oneshot::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let run = drain.scope("answer").run(async move |scope: ScopeHandle| {
        let mut call = Box::pin(hangs(&layer));
        drop(scope.spawn("task", async move {
            assert!(futures_util::poll!(&mut call).is_pending());
            entered.send(()).unwrap();
            // It keeps its thread, as a computation would.
            tokio::task::block_in_place(|| released.recv().unwrap());
            call.await
        }));
        pending::<Result<(), _>>().await
    });
    let run = tokio::spawn(run);
    has_entered.await.unwrap();
    assert!(timeout(50 * MS, drain.shutdown()).await.is_err());
    release.send(()).unwrap();
    let report = drain.shutdown().await;
    assert_eq!((report.cancelled, report.hooks.finished), (1, 1));
    assert_eq!(*told.lock(), [Why::Shutdown]);
    assert!(shut_down(&run.await.unwrap().unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn the_same_goes_for_scopes_and_groups_in_a_tracked_future() {
    let (told, layer) = whys();
    let drain = Drain::new().grace(seconds(1));
    let left = Whys::default();
    let tracked = drain.track({
        let left = left.clone();
        async move {
            let mut group = Group::new();
            group.spawn("member", hangs(&layer));
            let scope = Scope::new("answer").on_cancel(move |end| async move {
                sleep(200 * MS).await;
                left.lock().push(end.why);
            });
            let call = hangs(&layer);
            let run = scope.run(move |scope: ScopeHandle| async move {
                scope.spawn("task", call).await?;
                Ok(())
            });
            let run = run.boxed();
            let _ = futures_util::join!(run, group.wait_for_all());
        }
    });
    let tracked = tokio::spawn(tracked);
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!((report.cancelled, report.hooks.finished), (1, 3));
    assert_eq!(*told.lock(), [Why::Shutdown; 2]);
    assert_eq!(*left.lock(), [Why::Shutdown]);
    assert!(shut_down(&tracked.await.unwrap().unwrap_err()));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_of_two_drains_waits_for_what_is_inside_of_it() {
    let (told, layer) = whys();
    let [outer, inner] = [1, 2].map(|grace| Drain::new().grace(seconds(grace)));
    let run = {
        let inner = inner.clone();
        outer.scope("outer").run(async move |_| {
            let nested = inner.scope("inner");
            Ok(nested.run(|_| hangs(&layer)).await?)
        })
    };
    let run = tokio::spawn(run);
    tokio::task::yield_now().await;
    let (first, second) = futures_util::join!(outer.shutdown(), inner.shutdown());
    // The outer one was first, and took the inner one with it.
    assert_eq!((first.cancelled, first.hooks.finished), (1, 1));
    assert_eq!((second.cancelled, second.hooks.finished), (1, 1));
    assert_eq!(second.took, seconds(1) + 100 * MS);
    assert_eq!(*told.lock(), [Why::Shutdown]);
    assert!(shut_down(&run.await.unwrap().unwrap_err()));

    // In tracked futures, and where the inner one is first.
    let (told, layer) = whys();
    let [outer, inner] = [2, 1].map(|grace| Drain::new().grace(seconds(grace)));
    let tracked = tokio::spawn(outer.track(inner.track(hangs(&layer))));
    tokio::task::yield_now().await;
    let (first, second) = futures_util::join!(outer.shutdown(), inner.shutdown());
    assert_eq!((first.completed, first.hooks.finished), (1, 1));
    assert_eq!((second.cancelled, second.hooks.finished), (1, 1));
    assert_eq!(*told.lock(), [Why::Shutdown]);
    assert!(shut_down(&tracked.await.unwrap().unwrap().unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn a_scope_whose_grace_is_over_before_its_first_poll_is_not_entered() {
    let drain = Drain::new().grace(Duration::ZERO).hook_wait(seconds(1));
    let left = Whys::default();
    let told = left.clone();
    let run = drain
        .scope("answer")
        .on_cancel(move |left| async move { told.lock().push(left.why) })
        .run(|_| async { panic!("entered") as Result<(), BoxError> });
    let report = drain.shutdown().await;
    assert_eq!((report.in_flight, report.unpolled), (1, 1));
    assert!(left.lock().is_empty());
    assert!(shut_down(&run.await.unwrap_err()));
    assert_eq!(*left.lock(), [Why::Shutdown]);
}

#[tokio::test(start_paused = true)]
async fn of_a_scope_that_nobody_polls_the_tasks_end_and_the_cleanups_wait_for_the_block_to_go() {
    let (told, layer) = whys();
    let left = Whys::default();
    let drain = Drain::new().grace(seconds(1));
    let scope = drain.scope("answer").defer({
        let left = left.clone();
        move |end| async move { left.lock().push(end.why) }
    });
    let mut run = Box::pin(scope.run(async |scope: ScopeHandle| {
        drop(scope.spawn("task", hangs(&layer)));
        pending::<Result<(), _>>().await
    }));
    assert!(timeout(MS, &mut run).await.is_err());
    let report = drain.shutdown().await;
    assert_eq!((report.in_flight, report.unpolled), (1, 1));
    assert_eq!((report.hooks.finished, told.lock().len()), (1, 1));
    // The block is alive: what it uses is not cleaned up under it.
    assert!(left.lock().is_empty());
    drop(run);
    sleep(50 * MS).await;
    assert_eq!(*left.lock(), [Why::Shutdown]);
    assert_eq!(*told.lock(), [Why::Shutdown]);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_scope_that_was_never_polled_is_waited_for_by_the_one_that_it_was_made_in() {
    let ran = Arc::new(Mutex::new(Vec::new()));
    let (inner, outer) = (ran.clone(), ran.clone());
    Scope::new("outer")
        .defer(move |_| async move { outer.lock().push("outer") })
        .run(async |_| {
            let nested = Scope::new("inner").defer(move |_| async move {
                sleep(seconds(1)).await;
                inner.lock().push("inner");
            });
            let _never_polled = nested.run(|_| pending::<Result<(), _>>());
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(*ran.lock(), ["inner", "outer"]);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_a_buffer_moved_to_another_task_is_known_to_the_drain_of_its_scope() {
    let (told, layer) = whys();
    let drain = Drain::new().grace(seconds(1));
    let service = ServiceBuilder::new()
        .layer(layer)
        .service(Upstream::new([Answer::hang()]));
    let buffered = tower::buffer::Buffer::<Request<Body>, _>::new(service, 4);
    let call = buffered.oneshot(chat()).boxed();
    let run = drain
        .scope("answer")
        .run(|_| async { call.await.map(drop) });
    let run = tokio::spawn(run);
    sleep(10 * MS).await;
    let report = drain.shutdown().await;
    assert_eq!((report.hooks.finished, report.hooks.running), (1, 0));
    assert_eq!(*told.lock(), [Why::Shutdown]);
    assert!(shut_down(&run.await.unwrap().unwrap_err()));
}

#[tokio::test(start_paused = true)]
async fn a_cleanup_may_drop_panic_and_drain_without_harm() {
    let drain = Drain::new().grace(seconds(1));
    let other = drain.clone();
    let ran = Arc::new(Mutex::new(0));
    let last = ran.clone();
    let run = drain
        .scope("answer")
        .defer(move |_| async move { *last.lock() += 1 })
        .defer(|_| async {
            // A scope and a call that are dropped in a cleanup.
            let nested = Scope::new("nested").defer(|_| async {});
            let mut run = pin!(nested.run(|_| pending::<Result<(), _>>()));
            assert!(timeout(MS, &mut run).await.is_err());
        })
        .defer(move |_| async move {
            // It does not wait for itself: the report comes when the bound is reached, or never here.
            other.start();
            assert_eq!(other.admit().unwrap_err().kind(), ErrorKind::Draining);
            panic!("in a cleanup")
        })
        .run(|_| pending::<Result<(), _>>());
    let began = Instant::now();
    assert!(timeout(seconds(2), run).await.is_err());
    let report = drain.shutdown().await;
    // Two of its own, and the nested one's.
    assert_eq!((report.hooks.finished, report.hooks.panicked), (3, 1));
    assert_eq!(*ran.lock(), 1);
    assert!(Instant::now() - began < seconds(3));
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn hooks_of_calls_that_a_cleanup_makes_are_waited_for() {
    let drain = Drain::new().grace(Duration::ZERO);
    let (told, layer) = whys();
    let call = hangs(&layer);
    let run = drain
        .scope("answer")
        .defer(move |_| async move {
            assert!(timeout(MS, call).await.is_err());
        })
        .run(|_| pending::<Result<(), _>>());
    let run = tokio::spawn(run);
    tokio::task::yield_now().await;
    let report = drain.shutdown().await;
    assert_eq!(*told.lock(), [Why::Dropped]);
    assert_eq!((report.hooks.finished, report.hooks.running), (2, 0));
    assert!(run.await.unwrap().unwrap_err().is_cancelled());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_scope_that_is_refused_the_block_goes_before_its_cleanups_run() {
    struct Used(std::sync::mpsc::Receiver<()>);
    impl Drop for Used {
        fn drop(&mut self) {
            assert!(self.0.recv_timeout(200 * MS).is_err(), "it ran before");
        }
    }

    let drain = Drain::new();
    drain.start();
    let (cleanup, used) = std::sync::mpsc::channel();
    let used = Used(used);
    let refused = drain
        .scope("answer")
        .defer(move |_| async move { cleanup.send(()).unwrap_or_default() })
        .run(async move |_: ScopeHandle| {
            let _used = used;
            Ok(())
        });
    // Not in a worker, which would keep the cleanups' task for itself.
    assert_eq!(refused.await.unwrap_err().kind(), ErrorKind::Draining);
}
