//! What must happen exactly once does so in every order in which threads can meet. Each model is run
//! through all of them:
//!
//! ```sh
//! RUSTFLAGS="--cfg loom" cargo test --release -p backstay-loom --target-dir target/loom
//! ```
//!
//! A package of its own: the models need nothing of `backstay` but the few files in which it happens, and
//! nothing of what that is built of.
#![cfg(all(loom, test))]
#![allow(dead_code, unreachable_pub)]
#![allow(clippy::unwrap_used, reason = "a test may")]

#[path = "../../crates/backstay/src/cancel/turn.rs"]
mod turn;

#[path = "../../crates/backstay/src/drain/gate.rs"]
mod gate;

#[path = "../../crates/backstay/src/scope/deferred.rs"]
mod deferred;

use deferred::Deferred;
use gate::Gate;
use loom::{
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Acquire, Relaxed, Release},
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

/// A scope that is left while something is begun in it.
struct Scope {
    deferred: Deferred<usize>,
    ended: AtomicBool,
    tasks: AtomicUsize,
    /// How often each cleanup ran.
    ran: [AtomicUsize; 3],
    /// When it was left, nobody was to be waited for, and nothing ran after that.
    left: AtomicBool,
}

impl Scope {
    fn new() -> Self {
        Self {
            deferred: Deferred::new(vec![0]),
            ended: AtomicBool::new(false),
            tasks: AtomicUsize::new(0),
            ran: Default::default(),
            left: AtomicBool::new(false),
        }
    }

    /// As `ScopeHandle::defer` does: one that comes too late runs by itself.
    fn defers(&self, cleanup: usize) {
        if let Err(cleanup) = self.deferred.keep(cleanup) {
            self.ran[cleanup].fetch_add(1, Relaxed);
        }
    }

    /// As `Core::admit` and a task do, one that is cut off at once.
    fn spawns(&self) {
        let admitted = self.deferred.while_it_stays(|| {
            let over = self.ended.load(Acquire);
            if !over {
                self.tasks.fetch_add(1, AcqRel);
            }
            !over
        });
        if admitted {
            assert!(
                !self.left.load(Acquire),
                "begun in a scope that has been left"
            );
            self.tasks.fetch_sub(1, AcqRel);
        }
    }

    /// As `Exit::leave` and `Leaving` do.
    fn is_left(&self) {
        self.ended.store(true, Release);
        self.deferred.retain(|cleanups| cleanups);
        if self.deferred.close_if(|| self.tasks.load(Acquire) == 0) {
            self.left.store(true, Release);
            return;
        }
        while self.tasks.load(Acquire) > 0 {
            thread::yield_now();
        }
        while let Some(cleanup) = self.deferred.next() {
            self.ran[cleanup].fetch_add(1, Relaxed);
        }
        self.left.store(true, Release);
    }
}

#[test]
fn each_cleanup_that_is_given_while_its_scope_is_left_runs_once() {
    loom::model(|| {
        let scope = Arc::new(Scope::new());
        let others = [1, 2].map(|cleanup| {
            let scope = scope.clone();
            thread::spawn(move || scope.defers(cleanup))
        });
        scope.is_left();
        others.into_iter().for_each(|other| other.join().unwrap());
        let ran: Vec<_> = scope.ran.iter().map(|ran| ran.load(Relaxed)).collect();
        assert_eq!(ran, [1, 1, 1]);
    });
}

#[test]
fn a_task_is_begun_before_its_scope_is_left_or_not_at_all() {
    loom::model(|| {
        let scope = Arc::new(Scope::new());
        // Nothing but the task may keep it.
        assert_eq!(scope.deferred.next(), Some(0));
        let task = thread::spawn({
            let scope = scope.clone();
            move || scope.spawns()
        });
        scope.is_left();
        assert_eq!(scope.tasks.load(Acquire), 0);
        task.join().unwrap();
    });
}
