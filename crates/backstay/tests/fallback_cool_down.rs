//! What other calls do about a target that cools down.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::fallback::{CoolDowns, FallbackLayer, Targets};
use backstay::trail::{Next, Reason};
use backstay::{BuildError, Trail};
use http::{Response, StatusCode};
use support::{Answer, Upstream, chat, models, seconds, send, stack, trail};
use tokio::time::{Duration, Instant, sleep};

const BUSY: &str = r#"{"error":{"code":"server_is_overloaded","message":"x"}}"#;

fn served_by<B>(response: &Response<B>) -> String {
    trail(response).last().unwrap().target.to_string()
}

#[tokio::test(start_paused = true)]
async fn the_trail_says_who_was_passed_over_and_the_handle_until_when() {
    let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["b"])]);
    let cool_downs = CoolDowns::new();
    let targets = Targets::new("a").then("b").retries(0);
    let service = stack(targets.cool_downs(cool_downs.clone()), &upstream);
    let start = Instant::now();
    send(&service, chat()).await.unwrap();
    let cooling = cool_downs.list();
    assert_eq!(cooling.len(), 1);
    assert_eq!((&*cooling[0].target, cooling[0].probing), ("a", false));
    assert_eq!(cooling[0].until, start + seconds(5));
    let response = send(&service, chat()).await.unwrap();
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(passed.len(), 1);
    assert_eq!(
        (&*passed[0].target, passed[0].reason),
        ("a", Reason::CoolingDown)
    );
    assert_eq!(trail(&response).len(), 1);
    cool_downs.forget("a");
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(served_by(&response), "a");
}

#[tokio::test(start_paused = true)]
async fn the_call_that_met_the_failure_may_retry_and_the_others_go_on_at_once() {
    let limited = || Answer::status(429, "{}").header("retry-after", "3");
    let upstream = Upstream::new([limited(), Answer::stream(&["b"]), Answer::stream(&["a"])]);
    let service = stack(Targets::new("a").then("b"), &upstream);
    let start = Instant::now();
    let first = tokio::spawn(send(&service, chat()));
    sleep(seconds(1)).await;
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(
        (served_by(&response).as_str(), Instant::now() - start),
        ("b", seconds(1))
    );
    let response = first.await.unwrap().unwrap();
    assert_eq!(served_by(&response), "a");
    assert_eq!(trail(&response)[0].next, Some(Next::Retry));
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_together_do_not_all_retry() {
    let upstream = Upstream::new([Answer::status(503, BUSY).after(seconds(1))]);
    let targets = Targets::new("a").then("b").retries(2);
    let service = stack(targets, &upstream);
    let calls: Vec<_> = (0..10)
        .map(|_| tokio::spawn(send(&service, chat())))
        .collect();
    for call in calls {
        let response = call.await.unwrap().unwrap();
        assert_eq!(response.status(), 503);
    }
    let at_a = models(&upstream)
        .iter()
        .filter(|model| *model == "a")
        .count();
    // All of them once; the one that met it first twice more. When `b` fails too nobody is left to go to.
    assert!(at_a <= 12, "{at_a}");
}

#[tokio::test(start_paused = true)]
async fn it_is_never_in_the_way_of_the_last_target_left() {
    let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["a"])]);
    let service = stack(Targets::new("a").retries(0), &upstream);
    assert_eq!(send(&service, chat()).await.unwrap().status(), 503);
    assert_eq!(send(&service, chat()).await.unwrap().status(), 200);

    // `a` cools down; `b` fails; then `a` is asked all the same.
    let upstream = Upstream::new([
        Answer::status(503, BUSY),
        Answer::stream(&["b"]),
        Answer::status(500, "{}"),
        Answer::stream(&["a"]),
    ]);
    let service = stack(Targets::new("a").then("b").retries(0), &upstream);
    send(&service, chat()).await.unwrap();
    let response = send(&service, chat()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(models(&upstream), ["a", "b", "b", "a"]);
}

#[tokio::test(start_paused = true)]
async fn among_those_that_cool_down_the_one_whose_time_is_over_first_is_asked() {
    let busy = |after: &str| Answer::status(503, BUSY).header("retry-after", after);
    let upstream = Upstream::new([busy("60"), busy("20"), Answer::stream(&["b"])]);
    let service = stack(Targets::new("a").then("b").retries(0), &upstream);
    assert_eq!(send(&service, chat()).await.unwrap().status(), 503);
    send(&service, chat()).await.unwrap();
    assert_eq!(models(&upstream), ["a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn it_is_shared_by_clones_and_by_whoever_is_given_the_handle() {
    let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["b"])]);
    let cool_downs = CoolDowns::new();
    let targets = || {
        Targets::new("a")
            .then("b")
            .retries(0)
            .cool_downs(cool_downs.clone())
    };
    let service = stack(targets(), &upstream);
    send(&service.clone(), chat()).await.unwrap();
    assert_eq!(served_by(&send(&service, chat()).await.unwrap()), "b");
    let other = stack(targets(), &upstream);
    assert_eq!(served_by(&send(&other, chat()).await.unwrap()), "b");
    let stranger = stack(Targets::new("a").then("b"), &upstream);
    assert_eq!(served_by(&send(&stranger, chat()).await.unwrap()), "a");
}

#[tokio::test(start_paused = true)]
async fn off_is_off() {
    let upstream = Upstream::new([
        Answer::status(503, BUSY),
        Answer::stream(&["b"]),
        Answer::stream(&["a"]),
    ]);
    let targets = Targets::new("a").then("b").retries(0);
    let service = stack(targets.cool_downs(CoolDowns::off()), &upstream);
    send(&service, chat()).await.unwrap();
    assert_eq!(served_by(&send(&service, chat()).await.unwrap()), "a");
}

#[test]
fn what_can_never_work_is_refused_at_build() {
    let build = |cool_downs| FallbackLayer::new(Targets::new("a").cool_downs(cool_downs)).map(drop);
    for zero in [
        CoolDowns::new().short(Duration::ZERO),
        CoolDowns::new().long(Duration::ZERO),
    ] {
        assert!(matches!(build(zero), Err(BuildError::ZeroDuration { .. })));
    }
    for zero in [
        CoolDowns::new().failures(0),
        CoolDowns::new().slow_starts(0),
    ] {
        assert!(matches!(build(zero), Err(BuildError::Zero { .. })));
    }
    let many = (0..64).fold(Targets::new("first"), |targets, number| {
        targets.then(format!("model-{number}"))
    });
    assert_eq!(
        FallbackLayer::new(many).map(drop),
        Err(BuildError::TooManyTargets { most: 64 })
    );
}
