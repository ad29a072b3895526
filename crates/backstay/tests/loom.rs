//! What must happen exactly once does so in every order in which threads can meet. Each model is run
//! through all of them:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test -p backstay --test loom
//! ```
#![cfg(loom)]
#![allow(dead_code, unreachable_pub)]

#[path = "../src/cancel/turn.rs"]
mod turn;

#[path = "../src/drain/gate.rs"]
mod gate;

use gate::Gate;
use loom::{
    sync::{
        Arc,
        atomic::{
            AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed},
        },
    },
    thread,
};
use turn::Turn;

/// A call under a drain: who may run its hooks, and what is counted of them.
#[derive(Default)]
struct Call {
    turn: Turn,
    /// Hooks that run, or are about to; what a drain waits for.
    running: AtomicUsize,
    /// How often the hook was started.
    started: AtomicUsize,
}

impl Default for Turn {
    fn default() -> Self {
        Self::new()
    }
}

impl Call {
    /// As `Guard::end` does: it says that something runs before it takes the turn.
    fn ends_by_itself(&self) {
        self.running.fetch_add(1, AcqRel);
        if self.turn.take() {
            self.started.fetch_add(1, Relaxed);
        }
        self.running.fetch_sub(1, AcqRel);
    }

    /// As `Standby::shut_down` does, and the wait of the drain after it: whether the drain knows of the
    /// hook, because it has started it, sees it started, or sees that something runs.
    fn is_shut_down(&self) -> bool {
        if self.turn.take() {
            self.started.fetch_add(1, Relaxed);
            return true;
        }
        self.running.load(Acquire) > 0 || self.started.load(Relaxed) == 1
    }
}

#[test]
fn a_hook_is_started_by_the_end_of_its_call_or_by_the_drain_and_the_drain_waits_for_it() {
    loom::model(|| {
        let call = Arc::new(Call::default());
        let by_itself = thread::spawn({
            let call = call.clone();
            move || call.ends_by_itself()
        });
        assert!(call.is_shut_down());
        by_itself.join().unwrap();
        assert_eq!(call.started.load(Relaxed), 1);
        assert_eq!(call.running.load(Relaxed), 0);
    });
}

#[test]
fn two_drains_over_one_call_and_its_own_end_start_the_hook_once() {
    loom::model(|| {
        let call = Arc::new(Call::default());
        let others = [Call::ends_by_itself as fn(&Call), |call| {
            call.is_shut_down();
        }]
        .map(|end| {
            let call = call.clone();
            thread::spawn(move || end(&call))
        });
        call.is_shut_down();
        others.into_iter().for_each(|other| other.join().unwrap());
        assert_eq!(call.started.load(Relaxed), 1);
    });
}

#[test]
fn those_inside_when_the_gate_closes_are_those_who_leave_a_closed_gate() {
    loom::model(|| {
        let gate = Arc::new(Gate::new());
        let visitors = [(); 2].map(|()| {
            let gate = gate.clone();
            thread::spawn(move || gate.enter() && gate.leave())
        });
        let inside = gate.close();
        let left = visitors.map(|visitor| usize::from(visitor.join().unwrap()));
        assert_eq!(inside, left.iter().sum::<usize>());
        assert_eq!(gate.inside(), 0);
        assert!(!gate.enter());
    });
}
