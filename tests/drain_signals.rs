//! The first signal begins a drain, the second ends its grace period. One test: signals are the process's.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may")]

use backstay::drain::Drain;
use backstay_tests::within;
use rustix::process::{Signal, getpid, kill_process};
use std::{future::pending, time::Duration};

#[tokio::test]
async fn sigterm_begins_it_and_sigint_hurries_it() {
    let drain = Drain::new().grace(Duration::MAX);
    drain.on_signals().unwrap();
    // Asked for twice, a signal still counts once.
    drain.on_signals().unwrap();
    let stuck = tokio::spawn(drain.track(pending::<()>()));
    kill_process(getpid(), Signal::TERM).unwrap();
    within(drain.started()).await;
    assert!(drain.is_draining());
    assert!(!stuck.is_finished());
    kill_process(getpid(), Signal::INT).unwrap();
    let report = within(drain.shutdown()).await;
    assert!(report.hurried);
    assert_eq!((report.in_flight, report.cancelled), (1, 1));
    assert!(within(stuck).await.unwrap().unwrap_err().is_cancelled());
}
