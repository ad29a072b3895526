//! Each way of leaving a scope: the outcome, the reason, the cleanups in their order, and nothing left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    BoxError, Error, ErrorKind, Scope, ServiceBuilderExt,
    cancel::{CancelLayer, Why},
    drain::Drain,
    error::Cancellation,
    scope::{Left, ScopeHandle},
};
use futures_util::FutureExt;
use parking_lot::Mutex;
use std::{
    future::{Future, pending},
    panic::AssertUnwindSafe,
    sync::Arc,
};
use support::{Answer, Upstream, chat, seconds, send};
use tokio::{
    runtime::Handle,
    time::{Duration, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Value,
    Error,
    QuestionMark,
    Panic,
    PanicOfATask,
    Drop,
    Token,
    Deadline,
    Shutdown,
    ParentsValue,
    ParentsPanic,
    ParentsDrop,
    ParentsToken,
    ParentsDeadline,
    ParentsShutdown,
}

use Way::*;

#[derive(Debug, PartialEq)]
enum Outcome {
    Value(u32),
    Error(ErrorKind),
    Panic,
    /// Nobody was there to see it.
    Gone,
}

/// What is expected: the outcome, why the scope ended, and why what was under way in it did.
fn row(way: Way) -> (Outcome, Why, Why) {
    let cancelled = |why| Outcome::Error(ErrorKind::Cancelled(why));
    let panicked = Why::Failed(Some(ErrorKind::Panicked));
    match way {
        Value => (Outcome::Value(7), Why::Complete, Why::Scope),
        Error | QuestionMark => (
            Outcome::Error(ErrorKind::Failed),
            Why::Failed(None),
            Why::Scope,
        ),
        Panic => (Outcome::Panic, panicked, Why::Scope),
        PanicOfATask => (Outcome::Error(ErrorKind::Panicked), panicked, Why::Scope),
        Drop => (Outcome::Gone, Why::Dropped, Why::Dropped),
        Token => (cancelled(Cancellation::Token), Why::Token, Why::Token),
        Deadline => (
            Outcome::Error(ErrorKind::Deadline),
            Why::Deadline,
            Why::Deadline,
        ),
        Shutdown => (
            cancelled(Cancellation::Shutdown),
            Why::Shutdown,
            Why::Shutdown,
        ),
        ParentsValue | ParentsPanic => (Outcome::Gone, Why::Scope, Why::Scope),
        ParentsDrop => (Outcome::Gone, Why::Dropped, Why::Dropped),
        ParentsToken => (Outcome::Gone, Why::Token, Why::Token),
        ParentsDeadline => (Outcome::Gone, Why::Deadline, Why::Deadline),
        ParentsShutdown => (Outcome::Gone, Why::Shutdown, Why::Shutdown),
    }
}

/// What happened, in order.
#[derive(Clone, Default)]
struct Told {
    events: Arc<Mutex<Vec<&'static str>>>,
    left: Arc<Mutex<Vec<Why>>>,
    calls: Arc<Mutex<Vec<Why>>>,
}

/// Says that it was dropped.
struct Says(Told, &'static str);

impl std::ops::Drop for Says {
    fn drop(&mut self) {
        self.0.events.lock().push(self.1);
    }
}

impl Told {
    /// A cleanup that takes its time, so that one that overtakes another is seen.
    fn cleanup(
        &self,
        name: &'static str,
    ) -> impl FnOnce(Left) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + use<>
    {
        let told = self.clone();
        move |left| {
            Box::pin(async move {
                sleep(Duration::from_millis(5)).await;
                told.left.lock().push(left.why);
                told.events.lock().push(name);
            })
        }
    }

    fn scope(&self, scope: Scope, token: &CancellationToken) -> Scope {
        scope
            .label("session", "s-81")
            .budget(seconds(20))
            .token(token.clone())
            .on_cancel(self.cleanup("4 when cut off"))
    }

    /// A task that hangs, one in a scope of its own, and one in a call.
    fn spawn_tasks(&self, scope: &ScopeHandle) {
        let says = Says(self.clone(), "task gone");
        drop(scope.spawn("hangs", async move {
            let _says = says;
            pending::<Result<(), BoxError>>().await
        }));
        let nested = Scope::new("nested").defer(self.cleanup("0 nested"));
        drop(scope.spawn("nested", async {
            Ok(nested.run(|_| pending::<Result<(), BoxError>>()).await?)
        }));
        let calls = self.calls.clone();
        let layer = CancelLayer::new().on_cancel(move |ended| {
            assert_eq!(ended.labels.get("session"), Some("s-81"));
            calls.lock().push(ended.why);
            async {}
        });
        let service = ServiceBuilder::new()
            .layer(layer)
            .deadline(Duration::MAX)
            .unwrap()
            .service(Upstream::new([Answer::hang()]));
        drop(scope.spawn(
            "calls",
            async move { send(&service, chat()).await.map(drop) },
        ));
    }

    async fn block(self, scope: ScopeHandle, way: Way) -> Result<u32, BoxError> {
        scope.defer(self.cleanup("3 always"));
        self.spawn_tasks(&scope);
        let _says = Says(self.clone(), "block gone");
        scope.on_cancel(self.cleanup("2 when cut off"));
        scope.defer(self.cleanup("1 always"));
        sleep(seconds(1)).await;
        match way {
            Value => Ok(7),
            Error => Err("disk full".into()),
            QuestionMark => Ok("seven".parse::<u32>()?),
            Panic => panic!("in the block"),
            PanicOfATask => {
                drop(scope.spawn("bug", async {
                    if true {
                        panic!("in a task");
                    }
                    Ok(())
                }));
                pending().await
            }
            _ => pending().await,
        }
    }
}

async fn leave(way: Way, told: &Told) -> Outcome {
    let token = CancellationToken::new();
    let drain = Drain::new().grace(Duration::from_millis(1500));
    let scope = match way {
        Shutdown => drain.scope("answer"),
        _ => Scope::new("answer"),
    };
    let scope = told.scope(scope, &token);
    let run = {
        let told = told.clone();
        move || scope.run(move |scope| told.block(scope, way))
    };
    let outcome = |result: Result<u32, Error>| match result {
        Ok(value) => Outcome::Value(value),
        Err(error) => {
            assert_eq!(error.labels().get("session"), Some("s-81"), "{error}");
            assert!(error.scope().unwrap().starts_with("answer"), "{error}");
            assert_eq!(
                error.is_cancelled(),
                matches!(error.kind(), ErrorKind::Cancelled(_))
            );
            Outcome::Error(error.kind())
        }
    };
    match way {
        Value | Error | QuestionMark | Panic | PanicOfATask | Deadline => {
            match AssertUnwindSafe(run()).catch_unwind().await {
                Ok(result) => outcome(result),
                Err(_) => Outcome::Panic,
            }
        }
        Drop => {
            assert!(timeout(seconds(2), run()).await.is_err());
            Outcome::Gone
        }
        Token => {
            let (result, ()) = futures_util::join!(run(), async {
                sleep(seconds(2)).await;
                token.cancel();
            });
            outcome(result)
        }
        Shutdown => {
            let (result, report) = futures_util::join!(run(), async {
                sleep(Duration::from_millis(500)).await;
                drain.shutdown().await
            });
            // Four of its own, one of the nested scope, and a hook of the call.
            assert_eq!((report.in_flight, report.cancelled), (1, 1));
            assert_eq!((report.hooks.finished, report.hooks.running), (6, 0));
            outcome(result)
        }
        ParentsValue | ParentsPanic | ParentsDrop | ParentsToken | ParentsDeadline
        | ParentsShutdown => {
            let parents = CancellationToken::new();
            let budget = if way == ParentsDeadline { 2 } else { 60 };
            let parent = match way {
                ParentsShutdown => drain.scope("parent"),
                _ => Scope::new("parent"),
            };
            let parent = parent
                .token(parents.clone())
                .budget(seconds(budget))
                .defer(told.cleanup("5 parent"))
                .run(async |scope: ScopeHandle| {
                    drop(scope.spawn("child", async move { Ok(run().await?) }));
                    sleep(Duration::from_millis(1500)).await;
                    match way {
                        ParentsValue => Ok(()),
                        ParentsPanic => panic!("in the parent"),
                        ParentsShutdown => {
                            drain.start();
                            pending().await
                        }
                        ParentsToken => {
                            parents.cancel();
                            pending().await
                        }
                        _ => pending().await,
                    }
                });
            let result = timeout(seconds(5), AssertUnwindSafe(parent).catch_unwind()).await;
            assert_eq!(result.is_err(), way == ParentsDrop);
            Outcome::Gone
        }
    }
}

#[tokio::test(start_paused = true)]
async fn each_way_leaves_nothing_behind_and_runs_each_cleanup_once() {
    for way in [
        Value,
        Error,
        QuestionMark,
        Panic,
        PanicOfATask,
        Drop,
        Token,
        Deadline,
        Shutdown,
        ParentsValue,
        ParentsPanic,
        ParentsDrop,
        ParentsToken,
        ParentsDeadline,
        ParentsShutdown,
    ] {
        let told = Told::default();
        let (outcome, why, inside) = row(way);
        assert_eq!(leave(way, &told).await, outcome, "{way:?}");
        let is_dropped = matches!(way, Drop | ParentsDrop);
        if is_dropped {
            // The cleanups of a scope that was dropped run in a task, 5 ms each.
            sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "{way:?}");

        let cut_off = why.is_cancelled() || why == Why::Deadline;
        let mut cleanups = vec!["0 nested", "1 always", "2 when cut off", "3 always"];
        cleanups.extend(["4 when cut off", "5 parent"]);
        cleanups.retain(|name| cut_off || !name.ends_with("when cut off"));
        let has_parent = format!("{way:?}").starts_with("Parents");
        cleanups.retain(|name| has_parent || *name != "5 parent");
        let events = told.events.lock().clone();
        let mut gone = events[..2].to_vec();
        gone.sort_unstable();
        assert_eq!(gone, ["block gone", "task gone"], "{way:?}");
        assert_eq!(events[2..], cleanups, "{way:?}");

        let mut left = told.left.lock().clone();
        assert_eq!(left.remove(0), inside, "{way:?}: the nested scope");
        if has_parent {
            left.pop();
        }
        assert!(left.iter().all(|left| *left == why), "{way:?}: {left:?}");
        assert_eq!(*told.calls.lock(), [inside], "{way:?}: the call");
    }
}
