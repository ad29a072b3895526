//! Events that came together go out together.
//!
//! hyper hands over one chunk of an answer at a time, and goes back to its own task for the next one although
//! it has been read already. Passed on like this, each costs a write, and the caller a wake-up. So who has a
//! piece gives way for one turn of its task, to see whether there is another: to the tasks that can run, and
//! not to the network. What came alone is not kept for more than that. Where no task is in between, because the
//! call drives its connection itself, all that was read comes in the same turn, and it gives no way.

use bytes::{Bytes, BytesMut};
use std::task::{Context, Poll};

/// From here on nothing more is gathered.
const MAX_GATHERED: usize = 16 * 1024;

/// Pieces that wait for those that came with them.
#[derive(Debug)]
pub(super) struct Gather {
    /// The only one: it is not copied.
    first: Bytes,
    all: BytesMut,
    /// Another task may have more to hand over.
    gives_way: bool,
    /// Nothing has gone out yet: what is there at once goes out with the head.
    at_head: bool,
    /// The turn of the task in which it gave way, if it has since the last piece.
    gave_way: Option<u32>,
}

// === impl Gather ===

impl Gather {
    pub(super) fn new(gives_way: bool) -> Self {
        Self {
            first: Bytes::new(),
            all: BytesMut::new(),
            gives_way,
            at_head: true,
            gave_way: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// One more. All of it, when there is enough.
    pub(super) fn push(&mut self, piece: Bytes) -> Option<Bytes> {
        self.gave_way = None;
        if self.first.is_empty() {
            self.first = piece;
        } else {
            if self.all.is_empty() {
                self.all
                    .reserve(MAX_GATHERED.min(4 * (self.first.len() + piece.len())));
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(&piece);
        }
        (self.first.len().max(self.all.len()) >= MAX_GATHERED).then(|| self.take())
    }

    /// Nothing more is there in this turn of the task. What was gathered, unless more may come without
    /// waiting.
    pub(super) fn poll_pause(&mut self, cx: &mut Context<'_>, turn: u32) -> Poll<Bytes> {
        if self.is_empty() {
            return Poll::Pending;
        }
        match self.gave_way {
            None if self.gives_way && !self.at_head => {
                self.gave_way = Some(turn);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            // hyper asks more than once in a turn, and nobody else has run in between.
            Some(before) if before == turn => Poll::Pending,
            _ => Poll::Ready(self.take()),
        }
    }

    /// All of it; empty when nothing waits.
    pub(super) fn take(&mut self) -> Bytes {
        self.at_head = false;
        let first = std::mem::take(&mut self.first);
        if self.all.is_empty() {
            return first;
        }
        self.all.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        task::{Wake, Waker},
    };

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn what_comes_in_the_turns_after_a_piece_goes_out_with_it() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut gather = Gather::new(true);
        assert_eq!(gather.push("head ".into()), None);
        assert_eq!(gather.poll_pause(&mut cx, 1), Poll::Ready("head ".into()));
        assert_eq!(gather.poll_pause(&mut cx, 1), Poll::Pending);
        assert_eq!(woken.0.load(Relaxed), 0, "there was nothing to wait with");
        for (turn, piece) in [(2, "a"), (3, "b"), (4, "c")] {
            assert_eq!(gather.push(piece.into()), None);
            assert_eq!(gather.poll_pause(&mut cx, turn), Poll::Pending);
            // As hyper does.
            assert_eq!(gather.poll_pause(&mut cx, turn), Poll::Pending);
        }
        assert_eq!(woken.0.load(Relaxed), 3, "it comes back by itself");
        assert_eq!(gather.poll_pause(&mut cx, 5), Poll::Ready("abc".into()));
        assert!(gather.is_empty());
    }

    #[test]
    fn a_piece_that_comes_alone_waits_for_one_turn_and_is_not_copied() {
        let mut cx = Context::from_waker(Waker::noop());
        let mut gather = Gather::new(true);
        gather.push("head".into());
        gather.take();
        let piece = Bytes::copy_from_slice(b"alone");
        gather.push(piece.clone());
        assert_eq!(gather.poll_pause(&mut cx, 1), Poll::Pending);
        let Poll::Ready(out) = gather.poll_pause(&mut cx, 2) else {
            panic!("it waits still");
        };
        assert_eq!(out.as_ptr(), piece.as_ptr());
    }

    #[test]
    fn without_a_task_in_between_what_is_there_goes_out_at_once() {
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut gather = Gather::new(false);
        gather.push("head".into());
        gather.take();
        for piece in ["a", "b"] {
            assert_eq!(gather.push(piece.into()), None);
        }
        assert_eq!(gather.poll_pause(&mut cx, 1), Poll::Ready("ab".into()));
        assert_eq!(woken.0.load(Relaxed), 0, "it came back for nothing");
    }

    #[test]
    fn no_more_is_gathered_than_its_bound() {
        let mut gather = Gather::new(true);
        let piece = Bytes::from(vec![b'x'; MAX_GATHERED / 2]);
        assert_eq!(gather.push(piece.clone()), None);
        assert_eq!(gather.push(piece).map(|all| all.len()), Some(MAX_GATHERED));
        let long = Bytes::from(vec![b'x'; MAX_GATHERED]);
        assert_eq!(
            gather.push(long.clone()).map(|all| all.as_ptr()),
            Some(long.as_ptr())
        );
    }
}
