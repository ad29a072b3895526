//! From a reply and its rendered content to a response head and the acts of its body. All faults,
//! framings and timings are decided here, the same for every dialect.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use crate::body::Act;
use crate::reply::{BeatKind, Fault, Reply};

/// Between the last bytes before a cut or reset and the cut itself: time for them to reach the peer,
/// since a reset throws away what is still on its way (an HTTP/2 one also what is queued).
const SETTLE: Duration = Duration::from_millis(10);

const COMMENT: Bytes = Bytes::from_static(b": still working\n\n");
const GARBAGE: Bytes =
    Bytes::from_static(b"\x16\x03\x01<!doctype html><title>502</title> {\"choices\": [\x00\xff");
const GARBAGE_EVENT: Bytes =
    Bytes::from_static(b"data: {\"choices\": [{\"delta\": {\"con\x00<html>\n\n");

/// A streamed answer in one dialect's events, not yet timed.
#[derive(Debug, Default)]
pub(crate) struct Events {
    /// What comes before the first token: the role chunk, `message_start`.
    pub(crate) start: Vec<Bytes>,
    /// One token each.
    pub(crate) tokens: Vec<Bytes>,
    /// Finish reason and usage.
    pub(crate) finish: Vec<Bytes>,
    /// The end marker.
    pub(crate) marker: Bytes,
    pub(crate) ping: Bytes,
    /// The in-band error, where the reply has one.
    pub(crate) error: Bytes,
}

/// A unary answer, not yet framed.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
    /// How many tokens are in it.
    pub(crate) tokens: usize,
}

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    /// HTTP/1.0 has the body end with the connection.
    pub(crate) version: Option<Version>,
    pub(crate) acts: VecDeque<Act>,
}

/// Plans a streamed answer.
pub(crate) fn stream(reply: &Reply, events: Events) -> Plan {
    let mut headers = HeaderMap::new();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let acts = frame(reply, &mut headers, stream_acts(reply, events));
    Plan {
        status: reply.status,
        headers,
        version: None,
        acts,
    }
}

/// Plans a unary answer.
pub(crate) fn unary(reply: &Reply, document: Document) -> Plan {
    let Document {
        status,
        mut body,
        tokens,
    } = document;
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    match reply.fault {
        Fault::Garbage => body = GARBAGE,
        Fault::EmptyStream => body = Bytes::new(),
        _ => {}
    }
    if reply.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        body = gzip(&body);
    }
    let chunked = matches!(
        reply.fault,
        Fault::HoldOpenAfterEnd | Fault::TruncateClose(_)
    );
    if !chunked {
        headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    }
    let half = |tokens: usize| if tokens == 0 { 0 } else { body.len() / 2 };
    let (sent, tokens, after): (usize, usize, &[Act]) = match reply.fault {
        Fault::CutAfter(n) => (half(n), 0, &[Act::Flush, Act::Wait(SETTLE), Act::Cut]),
        Fault::ResetAfter(n) => (half(n), 0, &[Act::Flush, Act::Wait(SETTLE), Act::Reset]),
        Fault::StallAfter(n) => (half(n), 0, &[Act::Silence]),
        Fault::TruncateLength(n) if n < body.len() => {
            (n, 0, &[Act::Flush, Act::Wait(SETTLE), Act::Cut])
        }
        Fault::TruncateClose(n) => (n.min(body.len()), 0, &[]),
        Fault::HoldOpenAfterEnd => (body.len(), tokens, &[Act::Whole, Act::Silence]),
        _ => (body.len(), tokens, &[]),
    };
    let mut acts = VecDeque::new();
    if !reply.delay_first_token.is_zero() {
        acts.push_back(Act::Wait(reply.delay_first_token));
    }
    if sent > 0 {
        acts.push_back(Act::Send(body.slice(..sent), tokens));
    }
    acts.extend(after.iter().cloned());
    if let Some(bytes) = reply.split {
        acts = split(acts, bytes);
    }
    Plan {
        status,
        headers,
        version: matches!(reply.fault, Fault::TruncateClose(_)).then_some(Version::HTTP_10),
        acts,
    }
}

fn stream_acts(reply: &Reply, events: Events) -> VecDeque<Act> {
    let mut acts = VecDeque::new();
    match reply.fault {
        Fault::EmptyStream => return acts,
        Fault::Garbage => {
            acts.push_back(Act::Send(GARBAGE_EVENT, 0));
            return acts;
        }
        _ => {}
    }
    // A fault that waits for more tokens than there are comes after the last one.
    let last = events.tokens.len();
    let (stop_after, stop): (usize, &[Act]) = match &reply.fault {
        Fault::CutAfter(n) => (*n, &[Act::Flush, Act::Wait(SETTLE), Act::Cut]),
        Fault::ResetAfter(n) => (*n, &[Act::Flush, Act::Wait(SETTLE), Act::Reset]),
        Fault::StallAfter(n) => (*n, &[Act::Silence]),
        Fault::ErrorInBand(n, _) => (*n, &[Act::Send(events.error, 0)]),
        Fault::NoEndMarker => (last, &[]),
        _ => (usize::MAX, &[]),
    };
    let stops = stop_after != usize::MAX;
    let stop_after = stop_after.min(last);

    acts.extend(events.start.into_iter().map(|event| Act::Send(event, 0)));
    beats(reply, 0, &events.ping, &mut acts);
    for (index, token) in events.tokens.into_iter().take(stop_after).enumerate() {
        acts.push_back(Act::Wait(match index {
            0 => reply.delay_first_token,
            _ => reply.delay_between_tokens,
        }));
        acts.push_back(Act::Send(token, 1));
        beats(reply, index + 1, &events.ping, &mut acts);
    }
    if stops {
        acts.extend(stop.iter().cloned());
        return acts;
    }
    if last == 0 {
        acts.push_back(Act::Wait(reply.delay_first_token));
    }
    acts.extend(events.finish.into_iter().map(|event| Act::Send(event, 0)));
    acts.push_back(Act::Send(events.marker, 0));
    if reply.fault == Fault::HoldOpenAfterEnd {
        acts.extend([Act::Whole, Act::Silence]);
    }
    acts
}

fn beats(reply: &Reply, after_tokens: usize, ping: &Bytes, acts: &mut VecDeque<Act>) {
    for beat in reply
        .beats
        .iter()
        .filter(|beat| beat.after_tokens == after_tokens)
    {
        let event = match beat.kind {
            BeatKind::Ping => ping,
            BeatKind::Comment => &COMMENT,
        };
        for _ in 0..beat.count {
            acts.push_back(Act::Wait(beat.every));
            acts.push_back(Act::Send(event.clone(), 0));
        }
    }
}

/// Compresses and splits a stream, as the reply has it.
fn frame(reply: &Reply, headers: &mut HeaderMap, mut acts: VecDeque<Act>) -> VecDeque<Act> {
    if reply.gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        acts = gzip_each(acts);
    }
    match reply.split {
        Some(bytes) => split(acts, bytes),
        None => acts,
    }
}

fn split(acts: VecDeque<Act>, bytes: usize) -> VecDeque<Act> {
    let mut pieces = VecDeque::with_capacity(acts.len());
    for act in acts {
        let Act::Send(mut data, tokens) = act else {
            pieces.push_back(act);
            continue;
        };
        while data.len() > bytes {
            pieces.push_back(Act::Send(data.split_to(bytes), 0));
            // Else the connection would join the pieces again.
            pieces.push_back(Act::Flush);
        }
        pieces.push_back(Act::Send(data, tokens));
    }
    pieces
}

fn gzip(body: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    match encoder.write_all(body).and_then(|()| encoder.finish()) {
        Ok(compressed) => compressed.into(),
        Err(_) => unreachable!("writing to a Vec does not fail"),
    }
}

fn gzip_each(acts: VecDeque<Act>) -> VecDeque<Act> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let ends = !acts
        .iter()
        .any(|act| matches!(act, Act::Cut | Act::Reset | Act::Silence));
    let mut compressed = VecDeque::with_capacity(acts.len() + 1);
    for act in acts {
        let Act::Send(data, tokens) = act else {
            compressed.push_back(act);
            continue;
        };
        if encoder
            .write_all(&data)
            .and_then(|()| encoder.flush())
            .is_err()
        {
            unreachable!("writing to a Vec does not fail");
        }
        compressed.push_back(Act::Send(std::mem::take(encoder.get_mut()).into(), tokens));
    }
    if ends {
        if let Ok(trailer) = encoder.finish() {
            compressed.push_back(Act::Send(trailer.into(), 0));
        }
    }
    compressed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(tokens: usize) -> Events {
        Events {
            start: vec!["start".into()],
            tokens: (0..tokens).map(|n| n.to_string().into()).collect(),
            finish: vec!["finish".into()],
            marker: "marker".into(),
            ping: "ping".into(),
            error: "error".into(),
        }
    }

    fn said(reply: &Reply, tokens: usize) -> Vec<String> {
        let spell = |act: &Act| match act {
            Act::Send(bytes, _) => Some(String::from_utf8_lossy(bytes).into_owned()),
            Act::Wait(delay) if delay.is_zero() => None,
            other => Some(format!("{other:?}")),
        };
        stream(reply, events(tokens))
            .acts
            .iter()
            .filter_map(spell)
            .collect()
    }

    #[test]
    fn a_plain_stream_is_start_tokens_finish_marker() {
        assert_eq!(
            said(&Reply::ok(), 2),
            ["start", "0", "1", "finish", "marker"]
        );
    }

    #[test]
    fn a_fault_takes_the_place_of_all_that_would_follow() {
        let stall = Reply::ok()
            .stall_after_tokens(1)
            .pings_after_tokens(1, 2, Duration::ZERO);
        assert_eq!(said(&stall, 3), ["start", "0", "ping", "ping", "Silence"]);
        let error = Reply::ok().error_in_band(0, "boom");
        assert_eq!(said(&error, 3), ["start", "error"]);
        assert_eq!(said(&Reply::ok().no_end_marker(), 1), ["start", "0"]);
        assert_eq!(said(&Reply::ok().empty_stream(), 1), [""; 0]);
        let hold = Reply::ok().hold_open_after_end();
        assert_eq!(
            said(&hold, 0),
            ["start", "finish", "marker", "Whole", "Silence"]
        );
    }

    #[test]
    fn a_fault_beyond_the_last_token_comes_after_it() {
        let stall = Reply::ok().stall_after_tokens(9);
        assert_eq!(said(&stall, 2), ["start", "0", "1", "Silence"]);
    }

    #[test]
    fn splitting_keeps_bytes_and_tokens() {
        let acts = split([Act::Send("abcdefg".into(), 1)].into(), 3);
        let sends: Vec<_> = acts.into_iter().filter(|act| *act != Act::Flush).collect();
        assert_eq!(
            sends,
            [
                Act::Send("abc".into(), 0),
                Act::Send("def".into(), 0),
                Act::Send("g".into(), 1)
            ]
        );
    }
}
