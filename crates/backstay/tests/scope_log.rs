//! No task disappears silently, and nothing of what it failed with is in the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use backstay::{BoxError, Group, Scope, scope::ScopeHandle};
use parking_lot::Mutex;
use std::{future::pending, io, sync::Arc};
use tokio::time::{Duration, sleep};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// What is logged at this level while a block runs in a scope named `answer`.
async fn logged<F>(level: tracing::Level, block: impl FnOnce(ScopeHandle) -> F) -> String
where
    F: Future<Output = Result<(), BoxError>>,
{
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let default = tracing::subscriber::set_default(subscriber);
    let _ = Scope::new("answer").run(block).await;
    drop(default);
    let bytes = log.0.lock().clone();
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_task_that_panics_is_logged_with_its_name() {
    let log = logged(tracing::Level::ERROR, async |scope: ScopeHandle| {
        drop(scope.spawn("summarise", async {
            if true {
                panic!("a prompt");
            }
            Ok(())
        }));
        pending().await
    })
    .await;
    assert!(log.contains("answer") && log.contains("summarise"), "{log}");
    assert!(!log.contains("a prompt"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn a_member_that_panics_is_logged_with_its_name() {
    let log = logged(tracing::Level::ERROR, async |_| {
        let mut group = Group::<()>::new();
        group.spawn("summarise", async { panic!("a prompt") });
        drop(group.wait_for_all().await);
        Ok(())
    })
    .await;
    assert!(
        log.contains("summarise") && !log.contains("a prompt"),
        "{log}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_nobody_waits_for_is_logged_with_the_tasks_name() {
    for waits in [false, true] {
        for dropped_before in [false, true] {
            let log = logged(tracing::Level::WARN, async |scope: ScopeHandle| {
                let task = scope.spawn("save", async {
                    sleep(Duration::from_secs(1)).await;
                    Err::<(), _>("a prompt".into())
                });
                if waits {
                    return Ok(task.await?);
                }
                if dropped_before {
                    drop(task);
                    sleep(Duration::from_secs(2)).await;
                } else {
                    sleep(Duration::from_secs(2)).await;
                    drop(task);
                }
                Ok(())
            })
            .await;
            assert_eq!(log.contains("save"), !waits, "{log}");
            assert!(!log.contains("a prompt"), "{log}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_cut_off_is_logged_with_its_name() {
    let log = logged(tracing::Level::DEBUG, async |scope: ScopeHandle| {
        drop(scope.spawn("tail", pending::<Result<(), BoxError>>()));
        sleep(Duration::from_secs(1)).await;
        Ok(())
    })
    .await;
    assert!(log.contains("tail"), "{log}");
}
