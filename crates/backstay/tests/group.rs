//! Groups: typed results, every failure kept, split and printed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{
    BoxError, Deadline, Error, ErrorClass, ErrorKind, Group, GroupError, Scope, ServiceBuilderExt,
    Timeouts, cancel::CancelLayer, error::Cancellation, scope::ScopeHandle,
    status_error::StatusErrorLayer, timeout::Clock,
};
use std::{
    error::Error as StdError,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{Answer, Upstream, chat, read, seconds, send, token, wait};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;
use tower::{Layer, ServiceBuilder};

fn names(failed: &GroupError) -> Vec<&str> {
    failed.failures().iter().map(|each| each.name()).collect()
}

/// Members that fail in each class that a member of a workflow can, one second after the other.
async fn of_each_class() -> GroupError {
    let hang = || Upstream::new([Answer::hang()]);
    let deadline = ServiceBuilder::new()
        .deadline(seconds(1))
        .unwrap()
        .service(hang());
    let timeouts = ServiceBuilder::new()
        .timeouts(Timeouts::new().headers(seconds(2)))
        .unwrap()
        .service(hang());
    let slow = Answer::status(429, "{}").after(seconds(3));
    let status = StatusErrorLayer::new().layer(Upstream::new([slow]));
    let cancelled = CancellationToken::new();
    let cancel = CancelLayer::new().token(cancelled.clone()).layer(hang());
    let mut group = Group::new();
    group.spawn("other", async {
        sleep(seconds(6)).await;
        Err("disk full".into())
    });
    group.spawn("panicked", async {
        sleep(seconds(5)).await;
        panic!("a defect")
    });
    group.spawn(
        "cancelled",
        async move { send(&cancel, chat()).await.map(drop) },
    );
    group.spawn(
        "status",
        async move { send(&status, chat()).await.map(drop) },
    );
    group.spawn(
        "timeout",
        async move { send(&timeouts, chat()).await.map(drop) },
    );
    group.spawn("deadline", async move {
        send(&deadline, chat()).await.map(drop)
    });
    group.spawn("fine", async { Ok(()) });
    let cancel = async {
        sleep(seconds(4)).await;
        cancelled.cancel();
    };
    let (settled, ()) = futures_util::join!(group.wait_for_all(), cancel);
    assert_eq!(settled.succeeded.len(), 1);
    settled.failed.unwrap()
}

#[tokio::test(start_paused = true)]
async fn values_come_in_the_order_of_the_members() {
    let mut group = Group::new();
    for index in 0..5_u64 {
        group.spawn(format!("member {index}"), async move {
            sleep(seconds(5 - index)).await;
            Ok(index)
        });
    }
    assert_eq!((group.len(), group.is_empty()), (5, false));
    assert_eq!(group.cancel_on_failure().await.unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn values_are_kept_beside_failures() {
    let mut group = Group::new();
    group.spawn("bad", async { Err("disk full".into()) });
    group.spawn("good", async { Ok(7) });
    let settled = group.wait_for_all().await;
    let good = &settled.succeeded[0];
    assert_eq!((good.index, &*good.name, good.value), (1, "good", 7));
    assert_eq!(names(&settled.failed.unwrap()), ["bad"]);
}

#[tokio::test(start_paused = true)]
async fn members_run_together() {
    let start = Instant::now();
    let mut group = Group::new();
    for name in ["a", "b", "c"] {
        group.spawn(name, async {
            sleep(seconds(1)).await;
            Ok(())
        });
    }
    group.cancel_on_failure().await.unwrap();
    assert_eq!(Instant::now().saturating_duration_since(start), seconds(1));
}

#[tokio::test(start_paused = true)]
async fn every_failure_is_kept_in_the_order_in_which_it_happened() {
    let failed = of_each_class().await;
    let all = [
        "deadline",
        "timeout",
        "status",
        "cancelled",
        "panicked",
        "other",
    ];
    assert_eq!(names(&failed), all);
    assert_eq!(failed.members(), 7);
    let kinds: Vec<_> = failed
        .failures()
        .iter()
        .map(|each| each.error().kind())
        .collect();
    assert_eq!(kinds[1], ErrorKind::Timeout(Clock::Headers));
    assert_eq!(
        kinds[2],
        ErrorKind::Status(http::StatusCode::TOO_MANY_REQUESTS)
    );
    assert_eq!(kinds[3], ErrorKind::Cancelled(Cancellation::Token));
    assert_eq!(failed.failures()[0].index(), 5);
    assert_eq!(failed.failures()[0].error().scope(), Some("deadline"));
}

#[tokio::test(start_paused = true)]
async fn failures_split_by_class() {
    let failed = of_each_class().await;
    let classes = failed.classes();
    let words: Vec<_> = classes.iter().map(|class| class.as_str()).collect();
    assert_eq!(
        words,
        names(&failed),
        "each member is named after its class"
    );
    let mut rest = Some(failed);
    for class in classes {
        let failed = rest.take().unwrap();
        assert_eq!(failed.of(class).count(), 1);
        let left = failed.failures().len() - 1;
        let (those, others) = failed.split(class);
        assert_eq!(names(&those.unwrap()), [class.as_str()]);
        assert_eq!(
            others.as_ref().map_or(0, |others| others.failures().len()),
            left
        );
        rest = others;
    }
    assert!(rest.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_class_that_is_not_there_splits_off_nothing() {
    let (those, rest) = of_each_class().await.split(ErrorClass::Transport);
    assert!(those.is_none());
    assert_eq!(rest.unwrap().failures().len(), 6);
    let late = |failure: &backstay::group::Failure| failure.index() < 2;
    let (those, rest) = of_each_class().await.split_by(late);
    assert_eq!(names(&those.unwrap()), ["panicked", "other"]);
    assert_eq!(rest.unwrap().failures().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_lone_cancellation_stays_one_all_the_way_up() {
    let error = Scope::new("answer")
        .run(async |scope: ScopeHandle| {
            let cancelled = CancellationToken::new();
            cancelled.cancel();
            let service = CancelLayer::new().token(cancelled);
            let service = service.layer(Upstream::new([Answer::hang()]));
            let mut group = scope.group();
            group.spawn("cancelled", async move {
                send(&service, chat()).await.map(drop)
            });
            group.spawn("slow", async {
                sleep(seconds(9)).await;
                Ok(())
            });
            let failed = group.cancel_on_failure().await.unwrap_err();
            assert!(failed.is_cancelled());
            Err::<(), BoxError>(failed.into())
        })
        .await
        .unwrap_err();
    assert!(error.is_cancelled());
    assert_eq!(error.kind(), ErrorKind::Cancelled(Cancellation::Token));
    assert!(error.source().unwrap().is::<GroupError>());
}

#[tokio::test(start_paused = true)]
async fn a_failure_among_cancellations_is_a_failure() {
    let failed = of_each_class().await;
    assert!(!failed.is_cancelled());
    let (_, failed) =
        failed.split_by(|each| !matches!(each.class(), ErrorClass::Cancelled | ErrorClass::Other));
    let failed = failed.unwrap();
    assert_eq!(names(&failed), ["cancelled", "other"]);
    assert!(!failed.is_cancelled());
    let found = Error::find(&failed).unwrap();
    assert_eq!(found.kind(), ErrorKind::Failed);
}

#[tokio::test(start_paused = true)]
async fn it_leaves_a_scope_with_what_began_it_and_all_the_rest() {
    let error = Scope::new("answer")
        .label("session", "s-81")
        .run(async |_| Err::<(), BoxError>(of_each_class().await.into()))
        .await
        .unwrap_err();
    assert!(error.is_deadline());
    assert_eq!(error.scope(), Some("answer > deadline"));
    assert_eq!(error.labels().get("session"), Some("s-81"));
    let group = error
        .source()
        .unwrap()
        .downcast_ref::<GroupError>()
        .unwrap();
    assert_eq!(group.failures().len(), 6);
    assert_eq!(error.to_string().lines().count(), 1);
    let tree = format!("{error:#}");
    for name in names(group) {
        assert!(tree.contains(name), "{tree}");
    }
}

#[tokio::test(start_paused = true)]
async fn it_prints_one_line_and_a_tree_with_a_branch_for_each_failure_and_its_sources() {
    let mut inner = Group::<()>::new();
    inner.spawn("left", async { Err("disk full".into()) });
    inner.spawn("right", async { Err("disk empty".into()) });
    let mut group = Group::<()>::new();
    group.spawn("nested", async move {
        sleep(seconds(1)).await;
        Err(inner.wait_for_all().await.failed.unwrap().into())
    });
    group.spawn("slow", pending());
    let failed = group.cancel_on_failure().await.unwrap_err();
    assert_eq!(failed.to_string().lines().count(), 1);
    let tree = format!("{failed:#}");
    let depth = |line: &str| line.chars().take_while(|c| " │├└─".contains(*c)).count();
    let depths: Vec<_> = tree.lines().map(depth).collect();
    // The group, a branch, the nested group, its two branches with a source each, and who was cut off.
    assert_eq!(depths, [0, 3, 3, 6, 6, 6, 6, 3], "{tree}");
    for part in ["nested", "left", "right", "disk full", "disk empty", "slow"] {
        assert_eq!(
            tree.lines()
                .filter(|line| line.contains(part))
                .count()
                .min(1),
            1,
            "{tree}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn one_line_stays_short_however_many_failed() {
    let mut group = Group::<()>::new();
    for index in 0..500 {
        group.spawn(format!("m{index}"), async { Err("no".into()) });
    }
    let failed = group.wait_for_all().await.failed.unwrap();
    assert_eq!(failed.failures().len(), 500);
    assert!(failed.to_string().len() < 200, "{failed}");
}

#[tokio::test(start_paused = true)]
async fn the_first_success_keeps_the_failures_before_it() {
    let mut group = Group::new();
    group.spawn("bad", async { Err("disk full".into()) });
    group.spawn("slow", async {
        sleep(seconds(9)).await;
        Ok(9)
    });
    group.spawn("quick", async {
        sleep(seconds(1)).await;
        Ok(1)
    });
    let first = group.first_success().await.unwrap();
    assert_eq!((&*first.winner.name, first.winner.value), ("quick", 1));
    let failed = first.failed.unwrap();
    assert_eq!(names(&failed), ["bad"]);
    assert_eq!(failed.cut_off().collect::<Vec<_>>(), ["slow"]);
}

#[tokio::test(start_paused = true)]
async fn without_a_success_each_failure_is_told() {
    let mut group = Group::<()>::new();
    group.spawn("a", async { Err("no".into()) });
    group.spawn("b", async { Err("no".into()) });
    assert_eq!(names(&group.first_success().await.unwrap_err()), ["a", "b"]);
    let none = Group::<()>::new().first_success().await.unwrap_err();
    assert_eq!((none.failures().len(), none.members()), (0, 0));
    assert!(!none.is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn the_winners_body_goes_on_and_the_losers_are_let_go() {
    let quick = Upstream::new([Answer::events(vec![token("a"), wait(5), token("b")])]);
    let slow = Upstream::new([Answer::stream(&["late"]).after(seconds(3))]);
    let (data, error) = Scope::new("answer")
        .run(async |scope: ScopeHandle| {
            let mut group = scope.group();
            for (name, upstream) in [("quick", &quick), ("slow", &slow)] {
                let service = CancelLayer::new().layer(upstream.clone());
                group.spawn(name, async move { send(&service, chat()).await });
            }
            let first = group.first_success().await?;
            assert_eq!(&*first.winner.name, "quick");
            assert_eq!(slow.live(), 0);
            Ok(read(first.winner.value.into_body()).await)
        })
        .await
        .unwrap();
    assert!(error.is_none());
    assert!(std::str::from_utf8(&data).unwrap().contains(r#""b""#));
}

#[tokio::test(start_paused = true)]
async fn a_group_has_the_deadline_of_the_code_around() {
    let seen = Deadline::after(seconds(3))
        .scope(async {
            let mut group = Group::new();
            group.spawn("looks", async { Ok(Deadline::ambient()) });
            group.cancel_on_failure().await.unwrap()
        })
        .await;
    assert_eq!(
        seen[0].unwrap().time_left(Instant::now()),
        Duration::from_secs(3)
    );
}

#[tokio::test(start_paused = true)]
async fn who_is_cut_off_is_waited_for_with_its_cleanups() {
    for fails in [false, true] {
        let cleaned = Arc::new(AtomicUsize::new(0));
        let count = cleaned.clone();
        let mut group = Group::new();
        group.spawn("cut off", async move {
            let scope = Scope::new("slow").defer(move |_| async move {
                sleep(seconds(1)).await;
                count.fetch_add(1, SeqCst);
            });
            Ok(scope.run(|_| pending::<Result<(), BoxError>>()).await?)
        });
        group.spawn("ends", async move {
            sleep(seconds(1)).await;
            if fails {
                Err("disk full".into())
            } else {
                Ok(())
            }
        });
        if fails {
            group.cancel_on_failure().await.unwrap_err();
        } else {
            group.first_success().await.unwrap();
        }
        assert_eq!(cleaned.load(SeqCst), 1);
    }
}
