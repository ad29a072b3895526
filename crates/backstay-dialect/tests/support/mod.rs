//! A stream of server-sent events, observed to its end.
#![allow(dead_code, unreachable_pub)]

use backstay_dialect::{Dialect, Framing, Seen, StreamObserver};

pub fn observe<'a>(
    dialect: &dyn Dialect,
    limit: usize,
    frames: impl IntoIterator<Item = &'a [u8]>,
) -> Seen {
    let mut observer = StreamObserver::with_limit(Framing::ServerSent, limit);
    let mut all = Seen::default();
    for frame in frames {
        add(&mut all, observer.observe(dialect, frame));
    }
    all
}

pub fn whole(dialect: &dyn Dialect, stream: &str) -> Seen {
    observe(dialect, 1 << 20, [stream.as_bytes()])
}

fn add(all: &mut Seen, seen: Seen) {
    all.progress = all.progress.max(seen.progress);
    all.ended |= seen.ended;
    all.finished |= seen.finished;
    all.error = all.error.take().or(seen.error);
    all.response_id = all.response_id.take().or(seen.response_id);
    if let Some(usage) = seen.usage {
        all.usage.get_or_insert_default().update(usage);
    }
    all.events += seen.events;
}
