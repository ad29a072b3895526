//! What a scope gives the code inside, and what it makes of errors.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    BoxError, Deadline, Error, ErrorKind, Scope, ServiceBuilderExt, Timeouts,
    cancel::{CancelLayer, Ended, Why},
    error::Cancellation,
    fallback::Targets,
    scope::{Left, ScopeHandle},
    status_error::StatusErrorLayer,
    timeout::Clock,
    trail::Outcome,
};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::{
    error::Error as StdError,
    fmt,
    future::{Future, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{Answer, Upstream, chat, kind, read, seconds, send, token, wait};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder};

type Nothing = Result<(), BoxError>;

/// A cancel layer, and the ends that its hook was told.
fn hooked() -> (CancelLayer, Arc<Mutex<Vec<Ended>>>) {
    let ends = Arc::<Mutex<Vec<Ended>>>::default();
    let told = ends.clone();
    let layer = CancelLayer::new().observe(move |ended| told.lock().push(ended.clone()));
    (layer, ends)
}

fn session() -> Scope {
    Scope::new("answer").label("session", "s-81")
}

// What is around the code inside.

#[tokio::test(start_paused = true)]
async fn each_layer_alone_takes_over_the_labels() {
    let hang = || Upstream::new([Answer::hang()]);
    let stack = ServiceBuilder::new();
    let deadline = stack.clone().deadline(seconds(1)).unwrap().service(hang());
    let fallback = stack
        .clone()
        .fallback(Targets::new("a"))
        .unwrap()
        .service(Upstream::new([Answer::events(vec![token("a")])]));
    let clocks = Timeouts::new().headers(seconds(1));
    let timeouts = stack.timeouts(clocks).unwrap().service(hang());
    let status = StatusErrorLayer::new().layer(Upstream::new([Answer::status(500, "{}")]));
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let cancel = CancelLayer::new().token(cancelled).layer(hang());
    let result = session()
        .run(async |scope: ScopeHandle| {
            let task = scope.spawn("task", async move {
                let truncated = send(&fallback, chat()).await?.into_body();
                Ok([
                    send(&deadline, chat()).await.map(drop).unwrap_err(),
                    read(truncated).await.1.unwrap(),
                    send(&timeouts, chat()).await.map(drop).unwrap_err(),
                    send(&status, chat()).await.map(drop).unwrap_err(),
                    send(&cancel, chat()).await.map(drop).unwrap_err(),
                ])
            });
            Ok(task.await?)
        })
        .await;
    for error in result.unwrap() {
        let error = Error::find(&*error).unwrap();
        assert_eq!(error.labels().get("session"), Some("s-81"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn its_deadline_holds_for_calls_in_the_block_and_in_its_tasks() {
    let start = Instant::now();
    let service = ServiceBuilder::new()
        .deadline(seconds(60))
        .unwrap()
        .service(Upstream::new([Answer::hang()]));
    let in_task = service.clone();
    let error = session()
        .budget(seconds(2))
        .run(async |scope: ScopeHandle| {
            let task = scope.spawn("call", async move {
                assert_eq!(
                    Deadline::ambient().unwrap().instant().unwrap() - start,
                    seconds(2)
                );
                send(&in_task, chat()).await.map(drop)
            });
            let error = send(&service, chat()).await.map(drop).unwrap_err();
            assert_eq!(kind(&error), ErrorKind::Deadline);
            Ok(task.await?)
        })
        .await
        .unwrap_err();
    assert!(error.is_deadline());
    assert_eq!(start.elapsed_now(), seconds(2));
}

trait ElapsedNow {
    fn elapsed_now(&self) -> Duration;
}

impl ElapsedNow for Instant {
    fn elapsed_now(&self) -> Duration {
        Instant::now().saturating_duration_since(*self)
    }
}

#[tokio::test(start_paused = true)]
async fn nested_scopes_shrink_the_deadline_and_merge_the_labels() {
    let outer = session().label("step", "outer").budget(seconds(5));
    let deadline = outer
        .run(async |outer: ScopeHandle| {
            let inner = Scope::new("inner")
                .label("step", "inner")
                .budget(seconds(60));
            let seen = inner
                .run(async |inner: ScopeHandle| {
                    assert_eq!(inner.deadline(), outer.deadline());
                    Ok(inner.labels().clone())
                })
                .await?;
            let labels: Vec<_> = seen.iter().collect();
            assert_eq!(labels, [("session", "s-81"), ("step", "inner")]);
            Scope::new("shorter")
                .budget(seconds(1))
                .run(async |inner: ScopeHandle| {
                    assert!(inner.deadline().instant() < outer.deadline().instant());
                    Ok(())
                })
                .await?;
            Ok(Deadline::ambient())
        })
        .await;
    let deadline = deadline.unwrap().unwrap().instant().unwrap();
    assert_eq!(
        deadline.saturating_duration_since(Instant::now()),
        seconds(5)
    );
    assert_eq!(Deadline::ambient(), None);
}

#[tokio::test(start_paused = true)]
async fn a_shorter_deadline_within_the_block_holds_in_tasks_and_groups() {
    let shorter = Deadline::after(seconds(1));
    session()
        .budget(seconds(5))
        .run(async |scope: ScopeHandle| {
            let begin = shorter.scope(async {
                let mut group = scope.group();
                group.spawn("looks", async { Ok(Deadline::ambient()) });
                (
                    scope.spawn("looks", async { Ok(Deadline::ambient()) }),
                    group,
                )
            });
            let (task, group) = begin.await;
            assert_eq!(task.await?, Some(shorter));
            assert_eq!(group.cancel_on_failure().await?, [Some(shorter)]);
            // A task of the outer scope is not bound by the inner one's deadline.
            let inner = Scope::new("inner").budget(seconds(1));
            let outer = scope.clone();
            let inner =
                inner.run(async |_| Ok(outer.spawn("looks", async { Ok(Deadline::ambient()) })));
            assert_eq!(inner.await?.await?, Some(scope.deadline()));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plain_spawn_inherits_nothing() {
    let ambient = session()
        .budget(seconds(5))
        .run(async |_| Ok(tokio::spawn(async { Deadline::ambient() }).await?))
        .await;
    assert_eq!(ambient.unwrap(), None);
}

// What becomes of calls.

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

// Tasks.

#[tokio::test(start_paused = true)]
async fn a_task_hands_on_its_value_and_its_error() {
    let error = session()
        .run(async |scope: ScopeHandle| {
            assert_eq!(scope.spawn("adds", async { Ok(1 + 1) }).await?, 2);
            let task = scope.spawn("save", async { Err::<(), _>("disk full".into()) });
            Ok(task.await?)
        })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Failed);
    assert_eq!(error.scope(), Some("answer > save"));
    assert_eq!(error.source().unwrap().to_string(), "disk full");
}

#[tokio::test(start_paused = true)]
async fn a_task_can_be_cancelled_alone() {
    session()
        .run(async |scope: ScopeHandle| {
            let stays = scope.spawn("stays", async {
                sleep(seconds(2)).await;
                Ok(())
            });
            let goes = scope.spawn("goes", pending::<Nothing>());
            sleep(seconds(1)).await;
            goes.cancel();
            let error = goes.await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Cancelled(Cancellation::Token));
            Ok(stays.await?)
        })
        .await
        .unwrap();
}

#[tokio::test(start_paused = true)]
async fn tasks_can_be_waited_for() {
    let start = Instant::now();
    let done = Arc::new(AtomicUsize::new(0));
    session()
        .run(async |scope: ScopeHandle| {
            for time in 1..=3 {
                let done = done.clone();
                drop(scope.spawn("works", async move {
                    sleep(seconds(time)).await;
                    done.fetch_add(1, SeqCst);
                    Ok(())
                }));
            }
            scope.tasks_done().await;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!((start.elapsed_now(), done.load(SeqCst)), (seconds(3), 3));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_task_is_the_scopes_error_at_once_and_names_it() {
    let start = Instant::now();
    let error = session()
        .run(async |scope: ScopeHandle| {
            drop(scope.spawn("bug", async {
                sleep(seconds(1)).await;
                panic!("a defect")
            }) as backstay::scope::Task<()>);
            pending::<Nothing>().await
        })
        .await
        .unwrap_err();
    assert!(error.is_panic());
    assert_eq!(error.scope(), Some("answer > bug"));
    assert_eq!(start.elapsed_now(), seconds(1));
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_while_it_is_cut_off_is_an_error_too() {
    struct Panics;
    impl Drop for Panics {
        fn drop(&mut self) {
            panic!("in a drop");
        }
    }
    let error = session()
        .run(async |scope: ScopeHandle| {
            drop(scope.spawn("bug", async {
                let _panics = Panics;
                pending::<Nothing>().await
            }));
            sleep(seconds(1)).await;
            Ok(())
        })
        .await
        .unwrap_err();
    assert!(error.is_panic());
}

#[tokio::test(start_paused = true)]
async fn no_task_begins_once_the_scope_was_left() {
    let handle = session()
        .run(async |scope: ScopeHandle| Ok(scope))
        .await
        .unwrap();
    let task = handle.spawn("late", async { Ok(1) });
    assert_eq!(
        task.await.unwrap_err().kind(),
        ErrorKind::Cancelled(Cancellation::Scope)
    );
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

// Cleanups.

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

// Errors.

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

#[test]
fn a_limit_of_zero_is_refused() {
    assert!(session().cleanup_timeout(Duration::ZERO).is_err());
}

#[tokio::test]
async fn it_runs_in_a_task_on_many_threads() {
    let runtime = tokio::task::spawn_blocking(|| {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        let sum = runtime.block_on(async {
            let run = session().run(async |scope: ScopeHandle| {
                let tasks: Vec<_> = (0..100)
                    .map(|number| scope.spawn("adds", async move { Ok(number) }))
                    .collect();
                let mut sum = 0;
                for task in tasks {
                    sum += task.await?;
                }
                drop(scope.spawn("hangs", pending::<Nothing>()));
                Ok(sum)
            });
            tokio::spawn(run).await.unwrap().unwrap()
        });
        (runtime, sum)
    });
    let (runtime, sum) = runtime.await.unwrap();
    assert_eq!(sum, 4950);
    runtime.shutdown_background();
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
