//! `observe`: the events of a stream read as they pass, beside each event parsed with `serde_json`.
//!
//! The peer is charged for parsing and dropping only: it neither cuts the stream into events nor looks
//! anything up. The ratio is taken within each round, so whatever else the machine does falls out of it;
//! it does not fall out of a time. The bar in nanoseconds is held against the median; where only the fastest
//! round keeps to it, the machine was busy with something else.

use crate::{
    counting,
    row::Row,
    timing::{self, Work, median},
};
use backstay::dialect::{
    AnthropicMessages, Dialect, Framing, OpenAiChat, OpenAiResponses, StreamObserver,
};
use std::process::ExitCode;
use tower::BoxError;

/// How to measure, and what to print.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// One JSON object per figure instead of a table
    #[arg(long)]
    json: bool,
    /// How often each subject has its turn
    #[arg(long, default_value_t = 300)]
    rounds: u32,
}

/// One frame of a stream, as it comes a hundred times in an answer.
struct Frame {
    name: &'static str,
    dialect: &'static dyn Dialect,
    /// Announces the answer, its id in it.
    start: &'static str,
    frame: &'static str,
    /// Held against the bars.
    typical: bool,
}

/// What was measured of one frame; times in nanoseconds.
struct Figures {
    name: &'static str,
    length: usize,
    typical: bool,
    observer: f64,
    fastest: f64,
    value: f64,
    allocations: Option<f64>,
    /// How many times the observer goes into `serde_json`, within a round each.
    ratio: f64,
}

const OBSERVER: &str = "backstay";
const VALUE: &str = "serde_json::Value";

/// What the observer may add to a typical frame, and how much cheaper than parsing it has to be.
const MOST_NANOSECONDS: f64 = 250.0;
const LEAST_RATIO: f64 = 4.0;

const FRAMES: [Frame; 8] = [
    Frame {
        name: "openai-chat-delta",
        dialect: &OpenAiChat,
        start: concat!(
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            "\n\n"
        ),
        frame: concat!(
            r#"data: {"id":"chatcmpl-BqT7xyz","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"gpt-4o-2024-08-06","system_fingerprint":"fp_a1b2c3","#,
            r#""choices":[{"index":0,"delta":{"content":" scatters"},"finish_reason":null}]}"#,
            "\n\n"
        ),
        typical: true,
    },
    // As Python's `json.dumps` writes it, with blanks: read member by member.
    Frame {
        name: "openai-chat-delta-with-blanks",
        dialect: &OpenAiChat,
        start: concat!(
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            "\n\n"
        ),
        frame: concat!(
            r#"data: {"id": "chatcmpl-BqT7xyz", "object": "chat.completion.chunk", "created": 1700000000, "#,
            r#""model": "llama-3", "choices": [{"index": 0, "delta": {"content": " scatters"}, "#,
            r#""finish_reason": null}]}"#,
            "\n\n"
        ),
        typical: false,
    },
    Frame {
        name: "openai-chat-delta-with-usage",
        dialect: &OpenAiChat,
        start: concat!(
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            "\n\n"
        ),
        frame: concat!(
            r#"data: {"id":"chatcmpl-BqT7xyz","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"m","choices":[{"index":0,"delta":{"content":" red"},"finish_reason":null}],"#,
            r#""usage":{"prompt_tokens":31,"completion_tokens":9,"total_tokens":40}}"#,
            "\n\n"
        ),
        typical: true,
    },
    Frame {
        name: "openai-chat-usage",
        dialect: &OpenAiChat,
        start: concat!(
            r#"data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"gpt-4o","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
            "\n\n"
        ),
        frame: concat!(
            r#"data: {"id":"chatcmpl-BqT7xyz","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"gpt-4o-2024-08-06","choices":[],"usage":{"prompt_tokens":31,"#,
            r#""completion_tokens":9,"total_tokens":40,"prompt_tokens_details":{"cached_tokens":0,"#,
            r#""audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0}}}"#,
            "\n\n"
        ),
        typical: false,
    },
    Frame {
        name: "anthropic-delta",
        dialect: &AnthropicMessages,
        start: concat!(
            "event: message_start\ndata: ",
            r#"{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"#,
            r#""usage":{"input_tokens":31,"output_tokens":1}}}"#,
            "\n\n"
        ),
        frame: concat!(
            "event: content_block_delta\ndata: ",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" scatters"}}"#,
            "\n\n"
        ),
        typical: true,
    },
    Frame {
        name: "anthropic-delta-of-200-bytes",
        dialect: &AnthropicMessages,
        start: concat!(
            "event: message_start\ndata: ",
            r#"{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"#,
            r#""usage":{"input_tokens":31,"output_tokens":1}}}"#,
            "\n\n"
        ),
        frame: concat!(
            "event: content_block_delta\ndata: ",
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" more than red"#,
            r#" light, which is why the sky looks \"blue\" at noon.\n\nIn the evening"}}"#,
            "\n\n"
        ),
        typical: true,
    },
    Frame {
        name: "anthropic-message-delta",
        dialect: &AnthropicMessages,
        start: concat!(
            "event: message_start\ndata: ",
            r#"{"type":"message_start","message":{"id":"msg_1","role":"assistant","content":[],"#,
            r#""usage":{"input_tokens":31,"output_tokens":1}}}"#,
            "\n\n"
        ),
        frame: concat!(
            "event: message_delta\ndata: ",
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"#,
            r#""usage":{"output_tokens":9}}"#,
            "\n\n"
        ),
        typical: false,
    },
    Frame {
        name: "openai-responses-delta",
        dialect: &OpenAiResponses,
        start: concat!(
            "event: response.created\ndata: ",
            r#"{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","#,
            r#""created_at":1700000000,"status":"in_progress","model":"gpt-4o","output":[],"usage":null}}"#,
            "\n\n"
        ),
        frame: concat!(
            "event: response.output_text.delta\ndata: ",
            r#"{"type":"response.output_text.delta","sequence_number":17,"item_id":"msg_68a1b2c3d4e5f6a7b8c9","#,
            r#""output_index":0,"content_index":0,"delta":" scatters","logprobs":[],"#,
            r#""obfuscation":"k3VtQ9xZ"}"#,
            "\n\n"
        ),
        typical: true,
    },
];

pub(crate) fn run(options: &Options) -> Result<ExitCode, BoxError> {
    let all: Vec<Figures> = FRAMES
        .iter()
        .map(|frame| frame.measure(options.rounds.max(1)))
        .collect();
    if options.json {
        all.iter().try_for_each(Figures::print_json)?;
    } else {
        print_table(&all);
    }
    Ok(judge(&all, options.json))
}

fn print_table(all: &[Figures]) {
    println!(
        "{:<30} {:>6} {:>12} {:>8} {:>10} {:>8} {:>8}",
        "frame", "bytes", "backstay ns", "min ns", "Value ns", "/ Value", "allocs"
    );
    for of in all {
        let allocations = of
            .allocations
            .map_or_else(|| "-".to_owned(), |count| format!("{count:.2}"));
        println!(
            "{:<30} {:>6} {:>12.1} {:>8.1} {:>10.1} {:>8.1} {allocations:>8}",
            of.name, of.length, of.observer, of.fastest, of.value, of.ratio
        );
    }
}

/// Says which bars are met. Times are held against theirs in release builds only.
fn judge(all: &[Figures], quiet: bool) -> ExitCode {
    let typical = || all.iter().filter(|of| of.typical);
    let slowest = typical().map(|of| of.observer).fold(0.0, f64::max);
    let fastest = typical().map(|of| of.fastest).fold(0.0, f64::max);
    let ratio = typical().map(|of| of.ratio).fold(f64::INFINITY, f64::min);
    let timed = !cfg!(debug_assertions);
    let bars = [
        (
            "ns for a typical frame in the median round",
            slowest,
            slowest <= MOST_NANOSECONDS,
        ),
        ("times cheaper than Value", ratio, ratio >= LEAST_RATIO),
    ];
    let mut kept = true;
    if !quiet {
        println!("ns for a typical frame in the fastest round, worst row: {fastest:.1}");
    }
    for (what, value, met) in bars {
        kept &= met || !timed;
        if !quiet {
            let verdict = match (timed, met) {
                (false, _) => "not held against its bar in this build",
                (true, true) => "ok",
                (true, false) => "MISSED",
            };
            println!("{what}, worst row: {value:.1} {verdict}");
        }
    }
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

// === impl Frame ===

impl Frame {
    /// An observer in the middle of the stream.
    fn observer(&self) -> StreamObserver {
        let mut observer = StreamObserver::new(Framing::ServerSent);
        observer.observe(self.dialect, self.start.as_bytes());
        observer
    }

    /// The data of the one event in the frame. Whoever parses has to find it too; that is not charged.
    fn data(&self) -> &'static [u8] {
        let data = self
            .frame
            .find("data: ")
            .map_or("", |at| &self.frame[at + 6..]);
        data.trim_end().as_bytes()
    }

    fn measure(&self, rounds: u32) -> Figures {
        let data = self.data();
        let mut observer = self.observer();
        let mut works = [
            Work::new(|| observer.observe(self.dialect, self.frame.as_bytes())),
            Work::new(|| serde_json::from_slice::<serde_json::Value>(data)),
        ];
        let allocations = counting::per_time(|| works[0].run());
        let times = timing::in_turns(&mut works, rounds);
        Figures {
            name: self.name,
            length: self.frame.len(),
            typical: self.typical,
            observer: median(times[0].iter().copied()),
            fastest: times[0].iter().copied().fold(f64::INFINITY, f64::min),
            value: median(times[1].iter().copied()),
            allocations: allocations.map(|allocated| allocated.count),
            ratio: median(times[0].iter().zip(&times[1]).map(|(own, peer)| peer / own)),
        }
    }
}

// === impl Figures ===

impl Figures {
    fn print_json(&self) -> Result<(), BoxError> {
        let allocations = self
            .allocations
            .map(|count| (OBSERVER, "allocs/frame", count));
        let figures = [
            (OBSERVER, "ns/frame", self.observer),
            (OBSERVER, "min-ns/frame", self.fastest),
            (VALUE, "ns/frame", self.value),
            (OBSERVER, "times-cheaper-than-value", self.ratio),
        ];
        for (subject, unit, value) in figures.into_iter().chain(allocations) {
            Row {
                bench: "observe",
                case: self.name,
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
    use backstay::dialect::{Progress, Seen};

    /// A frame that was not understood would be read fast.
    #[test]
    fn every_frame_is_understood() {
        for frame in &FRAMES {
            let mut observer = StreamObserver::new(Framing::ServerSent);
            let start = observer.observe(frame.dialect, frame.start.as_bytes());
            assert!(start.response_id.is_some(), "{}", frame.name);
            let Seen {
                progress,
                events,
                usage,
                ..
            } = observer.observe(frame.dialect, frame.frame.as_bytes());
            assert_eq!(events, 1, "{}", frame.name);
            let content = progress == Progress::Content;
            assert!(content || usage.is_some(), "{}", frame.name);
            let parsed: Result<serde_json::Value, _> = serde_json::from_slice(frame.data());
            assert!(parsed.is_ok(), "{}", frame.name);
        }
    }
}
