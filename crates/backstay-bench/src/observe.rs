//! `observe`: the events of a stream read as they pass, beside each event parsed with `serde_json`.

use crate::{
    counting,
    row::Row,
    timing::{self, Work, median},
};
use backstay::dialect::{
    AnthropicMessages, Dialect, Framing, OpenAiChat, Progress, Seen, StreamObserver,
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

const FRAMES: [Frame; 6] = [
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
        "{:<30} {:>6} {:>12} {:>10} {:>8} {:>8}",
        "frame", "bytes", "backstay ns", "Value ns", "/ Value", "allocs"
    );
    for of in all {
        let allocations = of
            .allocations
            .map_or_else(|| "-".to_owned(), |count| format!("{count:.2}"));
        println!(
            "{:<30} {:>6} {:>12.1} {:>10.1} {:>8.1} {allocations:>8}",
            of.name, of.length, of.observer, of.value, of.ratio
        );
    }
}

/// Says which bars are met. Times are held against theirs in release builds only.
fn judge(all: &[Figures], quiet: bool) -> ExitCode {
    let typical = || all.iter().filter(|of| of.typical);
    let slowest = typical().map(|of| of.observer).fold(0.0, f64::max);
    let ratio = typical().map(|of| of.ratio).fold(f64::INFINITY, f64::min);
    let timed = !cfg!(debug_assertions);
    let bars = [
        (
            "ns for a typical frame",
            slowest,
            slowest <= MOST_NANOSECONDS,
        ),
        ("times cheaper than Value", ratio, ratio >= LEAST_RATIO),
    ];
    let mut kept = true;
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

/// What a program does that parses: the data of the one event in the frame, and its content read out.
fn parse(frame: &str) -> serde_json::Result<serde_json::Value> {
    let data = frame.find("data: ").map_or("", |at| &frame[at + 6..]);
    serde_json::from_str(data.trim_end())
}

// === impl Frame ===

impl Frame {
    /// An observer in the middle of the stream.
    fn observer(&self) -> StreamObserver {
        let mut observer = StreamObserver::new(Framing::ServerSent);
        observer.observe(self.dialect, self.start.as_bytes());
        observer
    }

    fn measure(&self, rounds: u32) -> Figures {
        let mut observer = self.observer();
        let mut works = [
            Work::new(|| observer.observe(self.dialect, self.frame.as_bytes())),
            Work::new(|| parse(self.frame)),
        ];
        let allocations = counting::per_time(|| works[0].run());
        let times = timing::in_turns(&mut works, rounds);
        Figures {
            name: self.name,
            length: self.frame.len(),
            typical: self.typical,
            observer: median(times[0].iter().copied()),
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
            assert!(parse(frame.frame).is_ok(), "{}", frame.name);
        }
    }
}
