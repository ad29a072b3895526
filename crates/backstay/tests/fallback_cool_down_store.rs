//! Cool-downs that are kept elsewhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod support;

use backstay::Trail;
use backstay::fallback::cool_down::{CoolDownRecord, CoolDownStore, Health};
use backstay::fallback::{CoolDowns, Targets};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use support::{Answer, Upstream, chat, send, stack};

const BUSY: &str = r#"{"error":{"code":"server_is_overloaded","message":"x"}}"#;

#[tokio::test(start_paused = true)]
async fn the_state_can_be_kept_elsewhere() {
    #[derive(Debug, Default)]
    struct Fleet(Mutex<HashMap<Arc<str>, Arc<One>>>);
    #[derive(Debug, Default)]
    struct One {
        held: AtomicBool,
        health: Mutex<Health>,
    }
    #[derive(Debug)]
    struct Shared(Arc<Fleet>);
    impl CoolDownStore for Shared {
        fn record(&self, target: &str) -> Arc<dyn CoolDownRecord> {
            self.0.0.lock().entry(target.into()).or_default().clone()
        }
        fn records(&self) -> Vec<(Arc<str>, Arc<dyn CoolDownRecord>)> {
            let records = self.0.0.lock();
            let records = records.iter();
            records
                .map(|(name, one)| (name.clone(), one.clone() as _))
                .collect()
        }
    }
    impl CoolDownRecord for One {
        fn is_clear(&self) -> bool {
            !self.held.load(SeqCst)
        }
        fn update(&self, change: &mut dyn FnMut(&mut Health)) {
            let mut health = self.health.lock();
            change(&mut health);
            self.held.store(!health.is_clear(), SeqCst);
        }
    }
    let fleet = Arc::new(Fleet::default());
    let process = || {
        let upstream = Upstream::new([Answer::status(503, BUSY), Answer::stream(&["b"])]);
        let cool_downs = CoolDowns::in_store(Shared(fleet.clone()));
        stack(
            Targets::new("a")
                .then("b")
                .retries(0)
                .cool_downs(cool_downs),
            &upstream,
        )
    };
    let (one, other) = (process(), process());
    send(&one, chat()).await.unwrap();
    let response = send(&other, chat()).await.unwrap();
    let passed = response.extensions().get::<Trail>().unwrap().passed_over();
    assert_eq!(&*passed[0].target, "a");
}
