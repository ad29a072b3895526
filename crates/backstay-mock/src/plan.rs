//! From a reply and its rendered content to a response head and the acts of its body. All faults and
//! timings are decided here, the same for every dialect.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode, Version};

use crate::act::Act;
use crate::answer::{Document, Events};
use crate::fault::Fault;
use crate::framing::{frame, gzip, split};
use crate::reply::{BeatKind, Reply};

/// Between the last bytes before a cut or reset and the cut itself: time for them to reach the peer,
/// since a reset throws away what is still on its way (an HTTP/2 one also what is queued).
const SETTLE: Duration = Duration::from_millis(10);

const GARBAGE: Bytes =
    Bytes::from_static(b"\x16\x03\x01<!doctype html><title>502</title> {\"choices\": [\x00\xff");

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
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(events.content_type));
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
        mut headers,
        mut body,
        tokens,
    } = document;
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
    let dress = events.dress;
    let mut acts = match reply.fault {
        Fault::EmptyStream => VecDeque::new(),
        Fault::Garbage => [Act::Send(events.garbage, 0)].into(),
        _ => dressed(story(reply, events), dress),
    };
    // Nothing follows these, so that only a body's clean end is held back.
    let ends = !matches!(acts.back(), Some(Act::Cut | Act::Reset | Act::Silence));
    if ends && (reply.stays_open || reply.fault == Fault::HoldOpenAfterEnd) {
        if matches!(reply.fault, Fault::None | Fault::HoldOpenAfterEnd) {
            acts.push_back(Act::Whole);
        }
        acts.push_back(Act::Silence);
    }
    acts
}

/// What is said, up to the fault or the end.
fn story(reply: &Reply, events: Events) -> VecDeque<Act> {
    let mut acts = VecDeque::new();
    // A fault that waits for more tokens than there are comes after the last one.
    let last = events.tokens.len();
    let (stop_after, stop): (usize, &[Act]) = match &reply.fault {
        Fault::CutAfter(n) => (*n, &[Act::Flush, Act::Wait(SETTLE), Act::Cut]),
        Fault::ResetAfter(n) => (*n, &[Act::Flush, Act::Wait(SETTLE), Act::Reset]),
        Fault::StallAfter(n) => (*n, &[Act::Silence]),
        Fault::ErrorInBand(n, _) | Fault::FailedInBand(n, _) => (*n, &[Act::Send(events.error, 0)]),
        Fault::NoEndMarker => (last, &[]),
        _ => (usize::MAX, &[]),
    };
    let stops = stop_after != usize::MAX;
    let stop_after = stop_after.min(last);
    let reasoning = reply
        .delay_reasoning
        .map(|every| (reply.reasoning.len(), every));

    acts.extend(events.start.into_iter().map(|event| Act::Send(event, 0)));
    beats(reply, 0, (&events.ping, &events.comment), &mut acts);
    for (index, token) in events.tokens.into_iter().take(stop_after).enumerate() {
        let slow = reasoning.filter(|(count, _)| index < *count);
        if index == 0 {
            acts.push_back(Act::Wait(reply.delay_first_token));
        }
        match slow {
            Some((_, every)) => acts.push_back(Act::Wait(every)),
            None if index > 0 => acts.push_back(Act::Wait(reply.delay_between_tokens)),
            None => {}
        }
        acts.push_back(Act::Send(token, 1));
        beats(reply, index + 1, (&events.ping, &events.comment), &mut acts);
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
    acts
}

/// Finishes each piece for its place, and leaves out those without a byte.
fn dressed(acts: VecDeque<Act>, dress: Option<fn(&mut u64, Bytes) -> Bytes>) -> VecDeque<Act> {
    let mut place = 0;
    let dressed = acts.into_iter().filter_map(|act| match act {
        Act::Send(bytes, 0) if bytes.is_empty() => None,
        Act::Send(bytes, tokens) => {
            let bytes = match dress {
                Some(dress) => dress(&mut place, bytes),
                None => bytes,
            };
            Some(Act::Send(bytes, tokens))
        }
        other => Some(other),
    });
    dressed.collect()
}

fn beats(
    reply: &Reply,
    after_tokens: usize,
    (ping, comment): (&Bytes, &Bytes),
    acts: &mut VecDeque<Act>,
) {
    for beat in reply
        .beats
        .iter()
        .filter(|beat| beat.after_tokens == after_tokens)
    {
        let event = match beat.kind {
            BeatKind::Ping => ping,
            BeatKind::Comment => comment,
        };
        for _ in 0..beat.count {
            acts.push_back(Act::Wait(beat.every));
            acts.push_back(Act::Send(event.clone(), 0));
        }
    }
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
            ..Events::default()
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
}
