//! The window: no more is in flight, nothing is taken early, and each result comes in its turn.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::{Body, BuildError, batch::Batch};
use futures_util::{StreamExt, stream};
use http::Request;
use std::{
    convert::Infallible,
    future::ready,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use support::{
    batch::{MS, Unready, after, counted, echo, number, numbered},
    chat, seconds,
};
use tokio::time::{Duration, Instant, sleep, timeout};

#[tokio::test(start_paused = true)]
async fn results_come_in_order_of_completion() {
    let results = Batch::new(echo())
        .window(4)
        .run(numbered(4), |response| after(40 - 10 * number(&response)))
        .unwrap();
    let order: Vec<_> = results.map(|(index, _)| index).collect().await;
    assert_eq!(order, [3, 2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn in_order_what_waits_for_its_turn_keeps_its_place_in_the_window() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let mut results = Batch::new(echo())
        .window(4)
        .in_order()
        .run(counted(20, &pulled), |response| {
            after(if number(&response) == 0 { 1000 } else { 1 })
        })
        .unwrap();
    // The first is slow: three others wait for it, and no fifth is begun.
    assert!(timeout(500 * MS, results.next()).await.is_err());
    assert_eq!(pulled.load(SeqCst), 4);
    let progress = results.progress();
    assert_eq!((progress.done(), progress.in_flight()), (3, 1));
    let order: Vec<_> = results.map(|(index, _)| index).collect().await;
    assert_eq!(order, (0..20).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_window_is_in_flight_and_the_input_is_taken_as_needed() {
    let pulled = Arc::new(AtomicUsize::new(0));
    let (now, peak) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut results = Batch::new(echo())
        .window(16)
        .run(counted(1000, &pulled), {
            let (now, peak) = (now.clone(), peak.clone());
            move |response| {
                let (now, peak) = (now.clone(), peak.clone());
                peak.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
                async move {
                    sleep((1 + u32::try_from(number(&response)).unwrap() % 7) * MS).await;
                    now.fetch_sub(1, SeqCst);
                    Ok::<_, Infallible>(())
                }
            }
        })
        .unwrap();
    assert_eq!(pulled.load(SeqCst), 0);
    let mut yielded = 0;
    while let Some((_, result)) = results.next().await {
        result.unwrap();
        yielded += 1;
        assert!(pulled.load(SeqCst) <= yielded + 16);
    }
    assert_eq!((yielded, peak.load(SeqCst)), (1000, 16));
}

#[tokio::test(start_paused = true)]
async fn an_input_without_end_is_no_matter() {
    let endless = (0..).map(|_| chat());
    let mut results = Batch::new(echo())
        .window(2)
        .run(endless, |_| after(1))
        .unwrap();
    for _ in 0..100 {
        results.next().await.unwrap().1.unwrap();
    }
    assert_eq!(results.progress().expected(), None);
}

#[tokio::test(start_paused = true)]
async fn requests_may_come_over_time() {
    let requests = stream::unfold(0, |sent| async move {
        sleep(seconds(1)).await;
        (sent < 3).then(|| (chat(), sent + 1))
    });
    let mut results = Box::pin(
        Batch::new(echo())
            .run_stream(requests, |_| after(1500))
            .unwrap(),
    );
    let began = Instant::now();
    let mut times = Vec::new();
    while let Some((index, _)) = results.next().await {
        times.push((
            index,
            Instant::now().saturating_duration_since(began).as_millis(),
        ));
    }
    assert_eq!(times, [(0, 2500), (1, 3500), (2, 4500)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_over_at_its_deadline_though_its_input_has_no_more_to_say() {
    for in_order in [false, true] {
        let requests = stream::iter([chat()]).chain(stream::pending());
        let mut batch = Batch::new(echo()).budget(seconds(10));
        if in_order {
            batch = batch.in_order();
        }
        let mut results = Box::pin(batch.run_stream(requests, |_| after(1000)).unwrap());
        let began = Instant::now();
        let ended = timeout(seconds(60), async {
            assert!(results.next().await.unwrap().1.is_ok());
            assert!(results.next().await.is_none());
        });
        assert!(ended.await.is_ok(), "in order: {in_order}");
        assert_eq!(Instant::now().saturating_duration_since(began), seconds(10));
    }
}

#[tokio::test(start_paused = true)]
async fn fail_fast_cancels_what_is_in_flight_and_takes_nothing_more() {
    for in_order in [false, true] {
        let pulled = Arc::new(AtomicUsize::new(0));
        let mut batch = Batch::new(echo()).window(4).fail_fast();
        if in_order {
            batch = batch.in_order();
        }
        let mut results = batch
            .run(counted(100, &pulled), |response| async move {
                match number(&response) {
                    0 => sleep(seconds(60)).await,
                    1 => sleep(MS).await,
                    2 => sleep(5 * MS).await,
                    _ => sleep(seconds(1)).await,
                }
                if number(&response) == 2 {
                    Err("no")
                } else {
                    Ok(())
                }
            })
            .unwrap();
        let (first, result) = results.next().await.unwrap();
        assert_eq!((first, result.is_ok()), (1, true));
        let (second, result) = results.next().await.unwrap();
        assert_eq!((second, result.is_ok()), (2, false));
        assert!(results.next().await.is_none());
        let taken = if in_order { 4 } else { 5 };
        assert_eq!(pulled.load(SeqCst), taken);
        let progress = results.progress();
        assert_eq!((progress.succeeded(), progress.failed()), (1, 1));
        assert_eq!((progress.cancelled(), progress.in_flight()), (taken - 2, 0));
    }
}

#[test]
fn what_can_never_work_is_said_when_it_is_run() {
    let run = |batch: Batch<Unready>| {
        let results = batch.run(Vec::<Request<Body>>::new(), |_| {
            ready(Ok::<_, Infallible>(()))
        });
        results.map(drop)
    };
    let batch = Batch::new(Unready::default());
    let zero = |setting| Err(BuildError::ZeroDuration { setting });
    assert_eq!(
        run(batch.clone().window(0)),
        Err(BuildError::Zero { setting: "window" })
    );
    assert_eq!(run(batch.clone().budget(Duration::ZERO)), zero("budget"));
    assert_eq!(
        run(batch.clone().item_budget(Duration::ZERO)),
        zero("item_budget")
    );
    assert_eq!(run(batch), Ok(()));
}
