//! Each way of leaving a group, under each policy: the outcome, the reason, hooks and cleanups once, and
//! nothing left.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    BoxError, ErrorKind, Group, Scope, ServiceBuilderExt,
    cancel::{CancelLayer, Why},
    drain::Drain,
    error::Cancellation,
    scope::ScopeHandle,
};
use parking_lot::Mutex;
use std::{future::pending, sync::Arc};
use support::{Answer, Upstream, chat, read, seconds, send};
use tokio::{
    runtime::Handle,
    time::{Duration, Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Policy {
    WaitForAll,
    CancelOnFailure,
    FirstSuccess,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    /// What the first member to end comes to.
    Value,
    Error,
    Panic,
    /// What becomes of the group, or of the scope around.
    Drop,
    Token,
    Deadline,
    /// A drain admitted the scope around.
    Shutdown,
    ScopesValue,
    ScopesError,
}

use Policy::*;
use Way::*;

/// What the group came to.
#[derive(Debug, PartialEq)]
enum Outcome {
    Values(Vec<u32>),
    /// The failures and the members that were cut off, by name.
    Failed(Vec<(String, ErrorKind)>, Vec<String>),
    /// Nobody was there to see it.
    Gone,
}

/// What is expected: the outcome, why the slow members ended, and after how many seconds.
fn row(policy: Policy, way: Way) -> (Outcome, Why, u64) {
    let failed = |kind, cut_off: &[&str]| {
        let cut_off = cut_off.iter().map(|name| (*name).to_owned()).collect();
        Outcome::Failed(vec![("quick".to_owned(), kind)], cut_off)
    };
    let kind = match way {
        Panic => ErrorKind::Panicked,
        _ => ErrorKind::Failed,
    };
    match (policy, way) {
        (WaitForAll | CancelOnFailure, Value) => (Outcome::Values(vec![1, 2, 3]), Why::Complete, 4),
        (FirstSuccess, Value) => (Outcome::Values(vec![1]), Why::Scope, 1),
        (WaitForAll, Error | Panic) => (failed(kind, &[]), Why::Complete, 4),
        (CancelOnFailure, Error | Panic) => (failed(kind, &["call", "nested"]), Why::Scope, 1),
        (FirstSuccess, Error | Panic) => (Outcome::Values(vec![2]), Why::Complete, 3),
        (_, Drop) => (Outcome::Gone, Why::Dropped, 2),
        (_, Token) => (Outcome::Gone, Why::Token, 2),
        (_, Deadline) => (Outcome::Gone, Why::Deadline, 2),
        (_, Shutdown) => (Outcome::Gone, Why::Shutdown, 2),
        (_, ScopesValue | ScopesError) => (Outcome::Gone, Why::Scope, 2),
    }
}

#[derive(Clone, Default)]
struct Told {
    hooks: Arc<Mutex<Vec<Why>>>,
    calls: Arc<Mutex<Vec<Why>>>,
    nested: Arc<Mutex<Vec<Why>>>,
    outcome: Arc<Mutex<Option<Outcome>>>,
}

impl Told {
    /// One that ends after a second as the row wants it, one in a call of 3 s, and one in a scope of 4 s.
    fn spawn(&self, group: &mut Group<u32>, way: Way) {
        group.spawn("quick", async move {
            sleep(seconds(1)).await;
            match way {
                Value => Ok(1),
                Error => Err("disk full".into()),
                Panic => panic!("a defect"),
                _ => pending().await,
            }
        });
        let (hooks, calls) = (self.hooks.clone(), self.calls.clone());
        let layer = CancelLayer::new()
            .on_cancel(move |ended| {
                hooks.lock().push(ended.why);
                async {}
            })
            .observe(move |ended| {
                assert_eq!(ended.labels.get("session"), Some("s-81"));
                calls.lock().push(ended.why);
            });
        let service = ServiceBuilder::new()
            .layer(layer)
            .deadline(Duration::MAX)
            .unwrap()
            .service(Upstream::new([Answer::json("{}").after(seconds(3))]));
        group.spawn("call", async move {
            let response = send(&service, chat()).await?;
            match read(response.into_body()).await.1 {
                Some(error) => Err(error),
                None => Ok(2),
            }
        });
        let nested = self.nested.clone();
        let nested = Scope::new("nested").defer(move |left| async move {
            sleep(Duration::from_millis(5)).await;
            nested.lock().push(left.why);
        });
        group.spawn("nested", async move {
            let run = nested.run(async |_| {
                sleep(seconds(4)).await;
                Ok(3)
            });
            Ok(run.await?)
        });
    }

    async fn group(self, mut group: Group<u32>, policy: Policy, way: Way) -> Outcome {
        self.spawn(&mut group, way);
        let all = |result: Result<Vec<u32>, backstay::GroupError>| match result {
            Ok(values) => Outcome::Values(values),
            Err(failed) => {
                let failures = failed.failures().iter();
                let failures = failures.map(|each| (each.name().to_owned(), each.error().kind()));
                let mut cut_off: Vec<_> = failed.cut_off().map(str::to_owned).collect();
                cut_off.sort_unstable();
                Outcome::Failed(failures.collect(), cut_off)
            }
        };
        match policy {
            WaitForAll => all(group.wait_for_all().await.all()),
            CancelOnFailure => all(group.cancel_on_failure().await),
            FirstSuccess => all(group
                .first_success()
                .await
                .map(|first| vec![first.winner.value])),
        }
    }
}

/// In a scope, which ends as the row wants it.
async fn leave(policy: Policy, way: Way, told: &Told) {
    let token = CancellationToken::new();
    let inside = told.clone();
    let drain = Drain::new().grace(seconds(1));
    let scope = match way {
        Shutdown => drain.scope("answer"),
        _ => Scope::new("answer"),
    };
    let run = scope
        .label("session", "s-81")
        .token(token.clone())
        .budget(seconds(if way == Deadline { 2 } else { 60 }))
        .run(async |scope: ScopeHandle| {
            let ended = {
                let (scope, told) = (scope.clone(), inside.clone());
                async move {
                    let outcome = told.clone().group(scope.group(), policy, way).await;
                    *told.outcome.lock() = Some(outcome);
                    Ok(())
                }
            };
            match way {
                ScopesValue | ScopesError => {
                    drop(scope.spawn("group", ended));
                    sleep(seconds(2)).await;
                    if way == ScopesError {
                        return Err::<(), BoxError>("unlucky".into());
                    }
                    Ok(())
                }
                Shutdown => {
                    let shutdown = async {
                        sleep(seconds(1)).await;
                        drain.start();
                        pending::<Result<(), BoxError>>().await
                    };
                    futures_util::try_join!(ended, shutdown).map(|((), ())| ())
                }
                Token => {
                    let cancel = async {
                        sleep(seconds(2)).await;
                        token.cancel();
                        pending::<Result<(), BoxError>>().await
                    };
                    futures_util::try_join!(ended, cancel).map(|((), ())| ())
                }
                Drop => {
                    let _ = timeout(seconds(2), ended).await;
                    Ok(())
                }
                _ => ended.await,
            }
        });
    let result = run.await;
    match way {
        Token => assert_eq!(
            result.unwrap_err().kind(),
            ErrorKind::Cancelled(Cancellation::Token)
        ),
        Deadline => assert!(result.unwrap_err().is_deadline()),
        Shutdown => {
            assert_eq!(
                result.unwrap_err().kind(),
                ErrorKind::Cancelled(Cancellation::Shutdown)
            );
            let report = drain.shutdown().await;
            // The hook of the call and the cleanup of the nested scope, in tasks of the group.
            assert_eq!((report.cancelled, report.hooks.finished), (1, 2));
        }
        _ => assert_eq!(result.is_err(), way == ScopesError),
    }
}

#[tokio::test(start_paused = true)]
async fn each_way_leaves_nothing_behind_and_runs_each_hook_once() {
    for policy in [WaitForAll, CancelOnFailure, FirstSuccess] {
        for way in [
            Value,
            Error,
            Panic,
            Drop,
            Token,
            Deadline,
            Shutdown,
            ScopesValue,
            ScopesError,
        ] {
            let at = format!("{policy:?}, {way:?}");
            let told = Told::default();
            let (outcome, why, after) = row(policy, way);
            let start = Instant::now();
            leave(policy, way, &told).await;
            let took = Instant::now().saturating_duration_since(start);
            // The nested cleanup was waited for: it takes 5 ms.
            assert!(
                took >= seconds(after) + Duration::from_millis(5),
                "{at}: {took:?}"
            );
            assert!(
                took <= seconds(after) + Duration::from_millis(50),
                "{at}: {took:?}"
            );
            assert_eq!(Handle::current().metrics().num_alive_tasks(), 0, "{at}");

            let seen = told.outcome.lock().take().unwrap_or(Outcome::Gone);
            assert_eq!(seen, outcome, "{at}");
            assert_eq!(*told.calls.lock(), [why], "{at}");
            let hooks = if why.is_complete() { vec![] } else { vec![why] };
            assert_eq!(*told.hooks.lock(), hooks, "{at}");
            // The call comes to its end at 3 s, and wins; the nested scope would at 4 s.
            let nested = match (policy, why) {
                (FirstSuccess, Why::Complete) => Why::Scope,
                _ => why,
            };
            assert_eq!(*told.nested.lock(), [nested], "{at}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_group_without_a_scope_cancels_what_runs_when_it_is_dropped() {
    for policy in [WaitForAll, CancelOnFailure, FirstSuccess] {
        let mut group = Group::<()>::new();
        group.spawn("hangs", pending());
        let ended = async {
            match policy {
                WaitForAll => drop(group.wait_for_all().await),
                CancelOnFailure => drop(group.cancel_on_failure().await),
                FirstSuccess => drop(group.first_success().await),
            }
        };
        assert!(timeout(seconds(2), ended).await.is_err());
        sleep(Duration::from_millis(50)).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
    }
}
