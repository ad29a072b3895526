//! A real LLM server, llama.cpp's, and what is left there of calls that were given up.

use crate::{
    calls::{call, post, struck},
    llama_server::{Llama, Model},
    programs::Programs,
    table::{Drill, Table, seen},
};
use backstay::{
    BoxError, ErrorKind, Phase, Timeouts,
    fallback::{Commit, CoolDowns, Target, Targets},
    timeout::Clock,
    trail::Outcome,
};
use backstay_mock::Mock;
use backstay_tests::{HANGS, holds, stack::Setup};
use serde_json::json;
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{sync::Semaphore, task::JoinSet};

/// Of each call that is not about the budget.
pub(crate) const BUDGET: Duration = Duration::from_secs(15);
/// `first_token` of streams, `headers` of unary calls: what ends a silence before the answer.
const SILENCE: Duration = Duration::from_secs(1);
/// The same of a server that is well, and may be slow on a busy machine.
const SLOW_START: Duration = Duration::from_secs(8);
/// `idle`: what ends a silence in the answer.
const IDLE: Duration = Duration::from_secs(2);
/// Of a short answer.
pub(crate) const SOME: u64 = 48;
/// So many that no drill waits for the end.
pub(crate) const ENDLESS: u64 = 7_000;

const CALLS: usize = 200;
const AT_ONCE: usize = 8;
const SLOTS: usize = 4;
/// Of each of the two hundred.
const SHORT: Duration = Duration::from_millis(200);

/// The drills.
pub(crate) async fn drills(table: &mut Table, programs: &Programs) -> Result<(), BoxError> {
    let tiny = Llama::start(programs, Model::Tiny, SLOTS).await?;
    let small = Llama::start(programs, Model::Small, SLOTS).await?;
    for (name, llama) in [("random model", &tiny), ("135M model", &small)] {
        for (shape, stream) in SHAPES {
            let drill = format!("llama-server, {name}, {shape}");
            let doing = answers(llama, stream);
            table.row(&drill, "whole, 48 tokens used", doing).await;
        }
    }
    for (shape, stream) in SHAPES {
        let drill = format!("first server stopped, {shape}");
        let doing = stopped(&small, &tiny, stream);
        table
            .row(&drill, "a clock, then the fallback's answer", doing)
            .await;
    }
    let doing = error_in_band(&tiny);
    let drill = "in-band error before content";
    table.row(drill, "the fallback's answer", doing).await;
    for (shape, stream) in SHAPES {
        let drill = format!("{CALLS} x 200 ms, {AT_ONCE} at once, {SLOTS} slots, {shape}");
        let expected = "each at its deadline, each cancelled there";
        table
            .row(&drill, expected, two_hundred(&tiny, stream))
            .await;
    }
    let doing = terminated(programs, &tiny, Commit::FirstContent);
    let drill = "SIGTERM in mid-stream, text was shown";
    table
        .row(drill, "typed error inside the budget", doing)
        .await;
    let doing = terminated(programs, &tiny, Commit::End);
    let drill = "SIGTERM in mid-stream, answer held";
    table.row(drill, "the fallback's answer", doing).await;
    let doing = terminated_in_queue(programs, &tiny);
    let drill = "SIGTERM while the call waits for a slot";
    table.row(drill, "the fallback's answer", doing).await;
    let doing = killed(programs);
    let drill = "SIGKILL in mid-stream, text was shown";
    table.row(drill, "transport error at once", doing).await;
    let doing = stopped_in_mid_stream(&small);
    let drill = "SIGSTOP in mid-stream, text was shown";
    table
        .row(drill, "idle clock; cancelled after SIGCONT", doing)
        .await;
    Ok(())
}

const SHAPES: [(&str, bool); 2] = [("unary", false), ("stream", true)];

/// For calls that meet a silence before their answer.
pub(crate) fn before_the_answer() -> Timeouts {
    Timeouts::new()
        .for_streams(|clocks| clocks.first_token(SILENCE).idle(SLOW_START))
        .for_unary(|clocks| clocks.headers(SILENCE))
}

/// For streams that meet a silence in the middle.
pub(crate) fn in_the_answer() -> Timeouts {
    Timeouts::new().for_streams(|clocks| clocks.first_token(SLOW_START).idle(IDLE))
}

/// Two servers, each asked once.
pub(crate) fn first_then(second: &Llama) -> Targets {
    let patience = Timeouts::new()
        .for_streams(|clocks| clocks.first_token(SLOW_START))
        .for_unary(|clocks| clocks.headers(SLOW_START));
    let second = Target::named("second")
        .origin(second.server.url())
        .timeouts(patience);
    Targets::new(Target::named("first"))
        .then(second.allow_plaintext())
        .retries(0)
        .cool_downs(CoolDowns::off())
}

fn alone() -> Targets {
    Targets::new(Target::named("first")).retries(0)
}

// --- Drills ---

async fn answers(llama: &Llama, stream: bool) -> Drill {
    let stack = Setup::new(alone()).budget(BUDGET).http1();
    let end = call(&stack, llama.ask(SOME, stream)?).await?;
    let used = if stream {
        let usage = end.attempts.first().and_then(|attempt| attempt.usage);
        usage.and_then(|usage| usage.output)
    } else {
        let document: serde_json::Value = serde_json::from_slice(&end.body)?;
        document["usage"]["completion_tokens"].as_u64()
    };
    let good = end.answered("first", 1) && used == Some(SOME);
    seen(good, format!("{end}, {} tokens", used.unwrap_or(0)))
}

async fn stopped(first: &Llama, second: &Llama, stream: bool) -> Drill {
    first.server.stop()?;
    let stack = Setup::new(first_then(second))
        .timeouts(before_the_answer())
        .http1();
    let end = call(&stack, first.ask(SOME, stream)?).await;
    first.server.go_on()?;
    let (end, left) = (end?, first.nothing_left().await?);
    let clock = if stream {
        Clock::FirstToken
    } else {
        Clock::Headers
    };
    let good = end.answered("second", 2) && end.first() == Some(Outcome::Timeout(clock));
    seen(good && left.is_empty(), format!("{end}{left}"))
}

async fn error_in_band(second: &Llama) -> Drill {
    let mock = Mock::start().await?;
    let document = json!({
        "model": "early-in-band-error",
        "stream": true,
        "max_tokens": SOME,
        "messages": [{"role": "user", "content": "Say something."}],
    });
    let request = post(format!("{}/v1/chat/completions", mock.url()), &document)?;
    let end = call(&Setup::new(first_then(second)).http1(), request).await?;
    let good = end.answered("second", 2) && end.first() == Some(Outcome::InBand);
    seen(good, end)
}

async fn two_hundred(llama: &Llama, stream: bool) -> Drill {
    let before = (llama.began(), llama.cancelled());
    let stack = Arc::new(Setup::new(alone()).budget(SHORT).http1());
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let late = Arc::new(AtomicUsize::new(0));
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let request = llama.ask(ENDLESS, stream)?;
        let (stack, places, late) = (stack.clone(), places.clone(), late.clone());
        calls.spawn(async move {
            let _place = places.acquire_owned().await?;
            let end = call(&stack, request).await?;
            let on_time = end.error == Some(ErrorKind::Deadline) && end.at(SHORT);
            late.fetch_add(usize::from(on_time), Relaxed);
            Ok::<_, BoxError>(())
        });
    }
    while let Some(called) = calls.join_next().await {
        called??;
    }
    let left = llama.nothing_left().await?;
    let began = &llama.began() - &before.0;
    let cancelled = &llama.cancelled() - &before.1;
    let late = late.load(Relaxed);
    let hooks = stack.ends().settled().await.hooked().len();
    // Those beyond the slots may be cancelled while they wait.
    let good = late == CALLS && hooks == CALLS && began.is_subset(&cancelled);
    let (began, cancelled) = (began.len(), cancelled.len());
    seen(
        good && began > 0 && left.is_empty(),
        format!("{late} deadlines, {hooks} hooks; {began} began, {cancelled} cancelled{left}"),
    )
}

async fn terminated(programs: &Programs, second: &Llama, commit: Commit) -> Drill {
    let first = Llama::start(programs, Model::Small, 1).await?;
    let targets = first_then(second).commit(commit);
    let stack = Setup::new(targets)
        .timeouts(in_the_answer())
        .budget(BUDGET)
        .http1();
    let request = first.ask(
        if commit == Commit::End {
            SOME * 20
        } else {
            ENDLESS
        },
        true,
    )?;
    let end = struck(&stack, request, Phase::Body, async {
        first.server.terminate()
    })
    .await?;
    // Now and then it closes the connection, as it should.
    let ended = [
        Some(Outcome::Timeout(Clock::Idle)),
        Some(Outcome::Transport),
        Some(Outcome::Truncated),
    ];
    let good = ended.contains(&end.first())
        && match commit {
            Commit::End => end.answered("second", 2),
            _ => end.error.is_some() && end.attempts.len() == 1 && end.took < BUDGET,
        };
    seen(good, end)
}

async fn terminated_in_queue(programs: &Programs, second: &Llama) -> Drill {
    let first = Llama::start(programs, Model::Small, 1).await?;
    let stack = Setup::new(alone()).http1();
    let occupies = tokio::spawn({
        let (stack, request) = (stack.clone(), first.ask(ENDLESS, true)?);
        async move { call(&stack, request).await.map(|_| ()) }
    });
    if !holds(HANGS, || stack.phase() == Some(Phase::Body)).await {
        return seen(false, "the slot is not taken");
    }
    let waits = Setup::new(first_then(second))
        .timeouts(before_the_answer())
        .http1();
    let terminate = async { first.server.terminate() };
    let end = struck(&waits, first.ask(SOME, true)?, Phase::Headers, terminate).await;
    occupies.abort();
    let end = end?;
    let good = end.first() != Some(Outcome::Complete) && end.answered("second", 2);
    seen(good, end)
}

async fn killed(programs: &Programs) -> Drill {
    let llama = Llama::start(programs, Model::Small, 1).await?;
    let stack = Setup::new(alone()).budget(BUDGET).http1();
    let kill = async { llama.server.kill() };
    let end = struck(&stack, llama.ask(ENDLESS, true)?, Phase::Body, kill).await?;
    let good = end.error == Some(ErrorKind::Transport) && end.took < BUDGET / 2;
    seen(good, end)
}

async fn stopped_in_mid_stream(llama: &Llama) -> Drill {
    let cancelled = llama.cancelled();
    let stack = Setup::new(alone())
        .timeouts(in_the_answer())
        .budget(BUDGET)
        .http1();
    let stop = async { llama.server.stop() };
    let end = struck(&stack, llama.ask(ENDLESS, true)?, Phase::Body, stop).await;
    llama.server.go_on()?;
    let (end, left) = (end?, llama.nothing_left().await?);
    let cancelled = llama.cancelled().len() - cancelled.len();
    let good = end.error == Some(ErrorKind::Timeout(Clock::Idle)) && cancelled == 1;
    seen(
        good && left.is_empty(),
        format!("{end}; {cancelled} cancelled{left}"),
    )
}
