//! `splice`: another model put into a request, beside what a program does with `serde_json`.

use crate::{
    counting,
    prompt::{self, Place, Text},
    row::Row,
    timing::{self, Work, median},
};
use backstay::{
    body::Segments,
    dialect::{Dialect, OpenAiChat, model_literal},
};
use bytes::Bytes;
use serde_json::value::RawValue;
use std::{collections::BTreeMap, ops::Range, process::ExitCode};
use tower::BoxError;

/// How to measure, and what to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One JSON object per figure instead of a table
    #[arg(long)]
    json: bool,
    /// How often each subject has its turn
    #[arg(long, default_value_t = 60)]
    rounds: u32,
}

/// What was measured of one request; times in nanoseconds.
struct Figures {
    name: String,
    /// Held against the bars in time.
    counts: bool,
    first_hop: f64,
    later_hop: f64,
    value: f64,
    raw: f64,
    /// Bytes asked of the allocator for the first hop.
    bytes: Option<f64>,
    /// How many times the first hop goes into `serde_json`'s, within a round each.
    ratio: f64,
}

const FIRST_HOP: &str = "backstay";
const LATER_HOP: &str = "backstay, later hop";
const VALUE: &str = "serde_json::Value";
const RAW: &str = "serde_json, map of RawValue";

const SIZES: [(usize, &str); 3] = [(4 << 10, "4KiB"), (64 << 10, "64KiB"), (1 << 20, "1MiB")];
/// From this size on the bars hold; for smaller ones parsing is fast enough to matter to nobody.
const LARGE: usize = 64 << 10;

const OTHER: &str = "gpt-4o-mini";

/// How many times faster than parse, change, serialize: in the worst row, and in the median row.
const WORST_RATIO: f64 = 10.0;
const MEDIAN_RATIO: f64 = 20.0;
const LATER_HOP_NANOSECONDS: f64 = 1000.0;
/// What handles on shared bytes take; a copy of the smallest prompt takes four times as much.
const MOST_BYTES: f64 = 1024.0;

pub(crate) fn run(options: &Options) -> Result<ExitCode, BoxError> {
    let mut all = Vec::new();
    for (bytes, size) in SIZES {
        for text in Text::ALL {
            for place in Place::ALL {
                let name = format!("{}-{size}-{}", text.name(), place.name());
                let body = prompt::request(text, bytes, place);
                let mut figures = measure(name, &body, options.rounds.max(1))?;
                // Code is no row of the bars: it shows what a text made of escapes costs.
                figures.counts = bytes >= LARGE && text != Text::Code;
                all.push(figures);
            }
        }
    }
    if options.json {
        all.iter().try_for_each(Figures::print_json)?;
    } else {
        print_table(&all);
    }
    Ok(judge(&all, options.json))
}

fn measure(name: String, body: &Bytes, rounds: u32) -> Result<Figures, BoxError> {
    let literal = model_literal(OTHER);
    let span = find(body)?;
    let first = || Some(Segments::splice(body, find(body).ok()?, literal.clone()));
    let mut works = [
        Work::new(first),
        Work::new(|| Segments::splice(body, span.clone(), literal.clone())),
        Work::new(|| through_value(body)),
        Work::new(|| through_raw(body)),
    ];
    let bytes = counting::per_time(|| works[0].run());
    let times = timing::in_turns(&mut works, rounds);
    let ratio = median(times[0].iter().zip(&times[2]).map(|(own, peer)| peer / own));
    let [first_hop, later_hop, value, raw] =
        [0, 1, 2, 3].map(|at| median(times[at].iter().copied()));
    Ok(Figures {
        name,
        counts: false,
        first_hop,
        later_hop,
        value,
        raw,
        bytes: bytes.map(|allocated| allocated.bytes),
        ratio,
    })
}

/// What the fallback layer does with a request that it sees for the first time.
fn find(body: &[u8]) -> Result<Range<usize>, BoxError> {
    let facts = OpenAiChat.read_request("/v1/chat/completions", body)?;
    facts.model.ok_or_else(|| "no model".into())
}

/// What most programs do.
fn through_value(body: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut document: serde_json::Value = serde_json::from_slice(body)?;
    document["model"] = OTHER.into();
    serde_json::to_vec(&document)
}

/// The least that `serde_json` can be made to do: the other members stay text, and are copied once.
fn through_raw(body: &[u8]) -> serde_json::Result<Vec<u8>> {
    let mut document: BTreeMap<&str, &RawValue> = serde_json::from_slice(body)?;
    let model = serde_json::value::to_raw_value(OTHER)?;
    document.insert("model", &model);
    serde_json::to_vec(&document)
}

fn print_table(all: &[Figures]) {
    println!(
        "{:<26} {:>12} {:>10} {:>14} {:>14} {:>8} {:>8} {:>8}",
        "request",
        "backstay ns",
        "later ns",
        "Value ns",
        "RawValue ns",
        "/ Value",
        "/ Raw",
        "bytes"
    );
    for of in all {
        let bytes = of
            .bytes
            .map_or_else(|| "-".to_owned(), |bytes| format!("{bytes:.0}"));
        println!(
            "{:<26} {:>12.0} {:>10.1} {:>14.0} {:>14.0} {:>8.1} {:>8.1} {bytes:>8}",
            of.name,
            of.first_hop,
            of.later_hop,
            of.value,
            of.raw,
            of.ratio,
            of.raw / of.first_hop,
        );
    }
}

/// Says which bars are met. Times are held against theirs in release builds only.
fn judge(all: &[Figures], quiet: bool) -> ExitCode {
    let ratios = || all.iter().filter(|of| of.counts).map(|of| of.ratio);
    let worst = ratios().fold(f64::INFINITY, f64::min);
    let middle = median(ratios());
    let later = all.iter().map(|of| of.later_hop).fold(0.0, f64::max);
    let most = all.iter().filter_map(|of| of.bytes).fold(0.0, f64::max);
    let timed = !cfg!(debug_assertions);
    let bars = [
        (
            "times faster than Value, worst row",
            worst,
            worst >= WORST_RATIO,
            timed,
        ),
        (
            "times faster than Value, median row",
            middle,
            middle >= MEDIAN_RATIO,
            timed,
        ),
        (
            "ns for a later hop, worst row",
            later,
            later < LATER_HOP_NANOSECONDS,
            timed,
        ),
        (
            "bytes allocated, worst row",
            most,
            most < MOST_BYTES,
            counting::ENABLED,
        ),
    ];
    let mut kept = true;
    for (what, value, met, held) in bars {
        kept &= met || !held;
        if !quiet {
            let verdict = match (held, met) {
                (false, _) => "not held against its bar in this build",
                (true, true) => "ok",
                (true, false) => "MISSED",
            };
            println!("{what}: {value:.1} {verdict}");
        }
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

// === impl Figures ===

impl Figures {
    fn print_json(&self) -> Result<(), BoxError> {
        let times = [
            (FIRST_HOP, self.first_hop),
            (LATER_HOP, self.later_hop),
            (VALUE, self.value),
            (RAW, self.raw),
        ];
        let times = times.map(|(subject, value)| (subject, "ns/call", value));
        let bytes = self.bytes.map(|bytes| (FIRST_HOP, "bytes/call", bytes));
        let ratio = (FIRST_HOP, "times-faster-than-value", self.ratio);
        for (subject, unit, value) in times.into_iter().chain(bytes).chain([ratio]) {
            Row {
                bench: "splice",
                case: &self.name,
                subject,
                unit,
                value,
            }
            .print()?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    /// A subject that lost a byte, or did less than the others, would be fast for nothing.
    #[test]
    fn every_subject_makes_the_same_document() {
        for text in Text::ALL {
            for place in Place::ALL {
                let body = prompt::request(text, 40_000, place);
                let mut expected: Value = serde_json::from_slice(&body).unwrap();
                assert_eq!(expected["stream"], true);
                expected["model"] = OTHER.into();

                let span = find(&body).unwrap();
                let spliced = Segments::splice(&body, span, model_literal(OTHER)).to_bytes();
                for made in [
                    &*spliced,
                    &through_value(&body).unwrap(),
                    &through_raw(&body).unwrap(),
                ] {
                    let made: Value = serde_json::from_slice(made).unwrap();
                    assert!(made == expected, "{text:?} {place:?}");
                }
                assert!(body.len() > 40_000 && body.len() < 42_000);
            }
        }
    }
}
