//! What a scope gives the code inside: its deadline, its labels, its tasks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    Deadline, Error, ErrorKind, Scope, ServiceBuilderExt, Timeouts, cancel::CancelLayer,
    error::Cancellation, fallback::Targets, scope::ScopeHandle, status_error::StatusErrorLayer,
};
use std::{
    error::Error as StdError,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{
    Answer, Upstream, chat, kind, read,
    scope::{ElapsedNow, Nothing, session},
    seconds, send, token,
};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder};

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
