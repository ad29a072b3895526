//! Failed answers hold no connections, however many there are and however long they go on.
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::fallback::{Backoff, CoolDowns, Target, Targets};
use backstay_mock::{Mock, Reply};
use backstay_tests::{
    HANGS, MS,
    answer::read,
    ask::{APIS, Api},
    holds,
    stack::{Setup, http1, http2},
    within,
};

const CALLS: usize = 20;
/// One in use, and one on its way out.
const FEW: usize = 2;

/// Short enough to be read to its end, and too long for that.
const LENGTHS: [usize; 3] = [100, 10_000, 1_000_000];

#[tokio::test]
async fn behind_a_fallback() {
    for api in APIS {
        for length in LENGTHS {
            for status in [429, 503] {
                let mock = Mock::start().await.unwrap();
                let failed = Reply::status(status).header("retry-after", "3600");
                mock.script("first", failed.body("x".repeat(length)));
                // Each call is to meet the failure.
                let targets = Targets::new("first").then("second");
                let stack = Setup::new(targets.cool_downs(CoolDowns::off())).http1();
                for _ in 0..CALLS {
                    let response = within(stack.call(api.stream(&mock.url(), "first"))).await;
                    let answer = read(response.unwrap()).await;
                    assert_eq!(answer.attempts().len(), 2);
                    assert!(answer.error.is_none());
                    assert!(mock.connections_open() <= FEW);
                }
                if length == LENGTHS[0] {
                    assert_eq!(mock.connections_accepted(), 1);
                }
                drop(stack);
                assert!(holds(HANGS, || mock.connections_open() == 0).await);
            }
        }
    }
}

#[tokio::test]
async fn before_a_retry() {
    for length in LENGTHS {
        let mock = Mock::start().await.unwrap();
        mock.script("m", Reply::status(503).body("x".repeat(length)));
        let targets = Targets::new(Target::model("m").retries(CALLS as u32 - 1));
        let stack = Setup::new(targets.backoff(Backoff::new(MS, MS))).http1();
        let response = within(stack.call(Api::OpenAi.stream(&mock.url(), "m"))).await;
        assert!(mock.connections_open() <= FEW);
        let answer = read(response.unwrap()).await;
        assert_eq!(answer.attempts().len(), CALLS);
        assert_eq!(answer.body.len(), length);
        drop(stack);
        assert!(holds(HANGS, || mock.connections_open() == 0).await);
    }
}

#[tokio::test]
async fn of_a_caller_who_does_not_read_them() {
    for client in [http1(), http2()] {
        for length in LENGTHS {
            let mock = Mock::start().await.unwrap();
            mock.script("m", Reply::status(503).body("x".repeat(length)));
            let targets = Targets::new(Target::model("m").retries(0));
            let stack = Setup::new(targets).over(client.clone());
            for _ in 0..CALLS {
                let call = stack.call(Api::OpenAi.stream(&mock.url(), "m"));
                assert_eq!(within(call).await.unwrap().status(), 503);
            }
            assert!(holds(HANGS, || mock.connections_open() <= FEW).await);
            assert!(holds(HANGS, || mock.in_flight() == 0).await);
            assert_eq!(stack.ends().settled().await.in_flight(), 0);
        }
    }
}
