//! The same servers behind a network that loses packets or answers with resets. It runs in a network namespace
//! of its own, whose rules nobody else sees.

use crate::{
    calls::{End, call, struck},
    chroma::{self, Chroma},
    gateway,
    llama::{self, ENDLESS, SOME, before_the_answer, first_then, in_the_answer},
    llama_server::{Llama, Model},
    milvus::Milvus,
    programs::Programs,
    table::{Drill, Table, seen},
};
use backstay::{
    BoxError, ErrorKind, Phase,
    fallback::{Commit, CoolDowns, Target, Targets},
    timeout::Clock,
    trail::Outcome,
};
use backstay_tests::{MS, PROMPTLY, stack::Setup};
use std::time::Duration;
use tokio::{process::Command, time::timeout};
use tonic::Code;

/// Rules for the packets that arrive on loopback.
pub(crate) struct Network {
    nft: String,
}

/// What happens to the packets of a port.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// SYN is lost: nobody answers.
    ConnectLost,
    /// SYN is answered by a reset: nobody listens.
    ConnectReset,
    /// The connection is made, then what is written to it is lost.
    RequestLost,
    /// The connection is made, then what is written to it is answered by a reset.
    RequestReset,
    /// Everything is lost, both ways.
    AllLost,
    /// Everything towards the server, acknowledgements included, is answered by a reset.
    AllReset,
}

const CONNECT: Duration = Duration::from_millis(500);

/// The drills.
pub(crate) async fn drills(table: &mut Table, programs: &Programs) -> Result<(), BoxError> {
    let network = Network::new(programs).await?;
    let first = Llama::start(programs, Model::Small, 4).await?;
    let second = Llama::start(programs, Model::Tiny, 4).await?;
    let llm = Llm {
        network: &network,
        first: &first,
        second: &second,
    };
    for (fault, drill, error, outcome) in [
        (
            Fault::ConnectLost,
            "SYN dropped",
            ErrorKind::Timeout(Clock::Connect),
            Outcome::Timeout(Clock::Connect),
        ),
        (
            Fault::ConnectReset,
            "SYN reset",
            ErrorKind::Transport,
            Outcome::Transport,
        ),
        (
            Fault::RequestLost,
            "request dropped, before the head",
            ErrorKind::Timeout(Clock::FirstToken),
            Outcome::Timeout(Clock::FirstToken),
        ),
        (
            Fault::RequestReset,
            "request reset, before the head",
            ErrorKind::Transport,
            Outcome::Transport,
        ),
    ] {
        let doing = llm.before_the_head(fault, false, outcome, error);
        let expected = format!("{error:?}");
        table
            .row(&format!("{drill}, alone"), &expected, doing)
            .await;
        let doing = llm.before_the_head(fault, true, outcome, error);
        let expected = format!("{outcome:?}, the fallback's answer");
        let drill = format!("{drill}, fallback");
        table.row(&drill, &expected, doing).await;
    }
    for (fault, drill, error, outcome) in [
        (
            Fault::AllLost,
            "dropped in mid-stream",
            ErrorKind::Timeout(Clock::Idle),
            Outcome::Timeout(Clock::Idle),
        ),
        (
            Fault::AllReset,
            "reset in mid-stream",
            ErrorKind::Transport,
            Outcome::Transport,
        ),
    ] {
        let doing = llm.in_mid_stream(fault, false, outcome, error);
        let expected = format!("{error:?}, nothing left there");
        let shown = format!("{drill}, text was shown");
        table.row(&shown, &expected, doing).await;
        let doing = llm.in_mid_stream(fault, true, outcome, error);
        let expected = format!("{outcome:?}, the fallback's answer");
        let held = format!("{drill}, answer held");
        table.row(&held, &expected, doing).await;
    }
    let drill = "dropped in mid-stream, no idle clock";
    let doing = llm.until_the_deadline();
    table
        .row(drill, "Deadline, nothing left there", doing)
        .await;
    gateway::drills(table, programs, &network, &first).await?;

    let chroma = Chroma::start(programs).await?;
    let drill = "Chroma: all dropped, three queries";
    let expected = "each ends at its deadline, permit back";
    let doing = chroma_lost(&network, &chroma);
    table.row(drill, expected, doing).await;
    let drill = "Chroma: healed, the next query";
    table
        .row(drill, "the two nearest notes", chroma.finds())
        .await;
    let drill = "Chroma: the query is reset";
    let doing = chroma_reset(&network, &chroma);
    table.row(drill, "Transport, permit back", doing).await;
    let drill = "Chroma: healed, the next query";
    table
        .row(drill, "the two nearest notes", chroma.finds())
        .await;

    let milvus = Milvus::start(programs).await?;
    table
        .row(
            "milvus-lite: a search",
            "the two nearest rows",
            milvus.finds(),
        )
        .await;
    let drill = "milvus-lite: all dropped, three searches";
    let expected = "DeadlineExceeded each, permit back";
    let doing = milvus_lost(&network, &milvus);
    table.row(drill, expected, doing).await;
    let drill = "milvus-lite: healed, the same connection";
    let doing = milvus_serves_again(&milvus);
    table.row(drill, "the two nearest rows", doing).await;
    let drill = "milvus-lite: the search is reset";
    let doing = milvus_reset(&network, &milvus);
    table.row(drill, "Unavailable, permit back", doing).await;
    let drill = "milvus-lite: healed, the next search";
    table
        .row(drill, "the two nearest rows", milvus_serves_again(&milvus))
        .await;
    Ok(())
}

// --- The LLM server ---

struct Llm<'a> {
    network: &'a Network,
    first: &'a Llama,
    second: &'a Llama,
}

impl Llm<'_> {
    async fn before_the_head(
        &self,
        fault: Fault,
        fallback: bool,
        outcome: Outcome,
        error: ErrorKind,
    ) -> Drill {
        let stack =
            Setup::new(self.targets(fallback)).timeouts(before_the_answer().connect(CONNECT));
        let stack = stack.budget(llama::BUDGET).http1();
        self.network
            .break_down(fault, self.first.server.port())
            .await?;
        let end = call(&stack, self.first.ask(SOME, true)?).await;
        self.network.heal().await?;
        self.judged(&end?, fallback, outcome, error).await
    }

    async fn in_mid_stream(
        &self,
        fault: Fault,
        fallback: bool,
        outcome: Outcome,
        error: ErrorKind,
    ) -> Drill {
        let targets = match fallback {
            true => self.targets(true).commit(Commit::End),
            false => self.targets(false),
        };
        let stack = Setup::new(targets).timeouts(in_the_answer());
        let stack = stack.budget(llama::BUDGET).http1();
        let tokens = if fallback { SOME * 20 } else { ENDLESS };
        let breaking = self.network.break_down(fault, self.first.server.port());
        let end = struck(&stack, self.first.ask(tokens, true)?, Phase::Body, breaking).await;
        self.network.heal().await?;
        self.judged(&end?, fallback, outcome, error).await
    }

    async fn until_the_deadline(&self) -> Drill {
        let budget = llama::BUDGET / 3;
        let stack = Setup::new(self.targets(false)).budget(budget).http1();
        let port = self.first.server.port();
        let breaking = self.network.break_down(Fault::AllLost, port);
        let request = self.first.ask(ENDLESS, true)?;
        let end = struck(&stack, request, Phase::Body, breaking).await;
        self.network.heal().await?;
        let (end, left) = (end?, self.first.nothing_left().await?);
        let good = end.error == Some(ErrorKind::Deadline) && end.at(budget);
        seen(good && left.is_empty(), format!("{end}{left}"))
    }

    async fn judged(&self, end: &End, fallback: bool, outcome: Outcome, error: ErrorKind) -> Drill {
        let good = end.first() == Some(outcome)
            && if fallback {
                end.answered("second", 2)
            } else {
                end.error == Some(error) && end.attempts.len() == 1
            };
        let left = self.first.nothing_left().await?;
        seen(good && left.is_empty(), format!("{end}{left}"))
    }

    fn targets(&self, fallback: bool) -> Targets {
        if fallback {
            return first_then(self.second);
        }
        Targets::new(Target::named("first"))
            .retries(0)
            .cool_downs(CoolDowns::off())
    }
}

// --- The vector stores ---

async fn chroma_lost(network: &Network, chroma: &Chroma) -> Drill {
    network
        .break_down(Fault::AllLost, chroma.server.port())
        .await?;
    let ended = chroma.three_late().await;
    network.heal().await?;
    ended
}

async fn chroma_reset(network: &Network, chroma: &Chroma) -> Drill {
    network
        .break_down(Fault::RequestReset, chroma.server.port())
        .await?;
    let end = chroma.ask().await;
    network.heal().await?;
    let (end, (back, under_way)) = (end?, chroma.left().await);
    let good = end.error == Some(ErrorKind::Transport)
        && end.took < chroma::BUDGET
        && (back, under_way) == (1, 0);
    seen(
        good,
        format!("{end}; permits {back}, in flight {under_way}"),
    )
}

async fn milvus_lost(network: &Network, milvus: &Milvus) -> Drill {
    network
        .break_down(Fault::AllLost, milvus.server.port())
        .await?;
    let ended = milvus.three_late().await;
    network.heal().await?;
    ended
}

async fn milvus_reset(network: &Network, milvus: &Milvus) -> Drill {
    network
        .break_down(Fault::RequestReset, milvus.server.port())
        .await?;
    let (found, took) = milvus.search().await;
    network.heal().await?;
    let Err(status) = found else {
        return seen(false, "an answer");
    };
    let (back, under_way) = milvus.left().await;
    let good = status.code() == Code::Unavailable && (back, under_way) == (1, 0);
    seen(
        good && took < PROMPTLY,
        format!("{:?}; permits {back}, in flight {under_way}", status.code()),
    )
}

/// The kernel sends what was lost again, at growing intervals: the first search after that may still be late.
async fn milvus_serves_again(milvus: &Milvus) -> Drill {
    for _ in 0..4 {
        let (found, _) = milvus.search().await;
        if found.is_ok() {
            break;
        }
    }
    milvus.finds().await
}

// === impl Network ===

impl Network {
    async fn new(programs: &Programs) -> Result<Self, BoxError> {
        let network = Self {
            nft: programs.nft.clone(),
        };
        network.nft("add table inet faults").await?;
        let chain = "add chain inet faults arriving { type filter hook input priority 0; }";
        network.nft(chain).await?;
        Ok(network)
    }

    pub(crate) async fn break_down(&self, fault: Fault, port: u16) -> Result<(), BoxError> {
        let connecting = "tcp flags & (syn | ack) == syn";
        let writing = "tcp flags & psh == psh";
        let lost = "drop";
        let reset = "reject with tcp reset";
        let rules = match fault {
            Fault::ConnectLost => vec![format!("tcp dport {port} {connecting} {lost}")],
            Fault::ConnectReset => vec![format!("tcp dport {port} {connecting} {reset}")],
            Fault::RequestLost => vec![format!("tcp dport {port} {writing} {lost}")],
            Fault::RequestReset => vec![format!("tcp dport {port} {writing} {reset}")],
            Fault::AllLost => vec![
                format!("tcp dport {port} {lost}"),
                format!("tcp sport {port} {lost}"),
            ],
            Fault::AllReset => vec![format!("tcp dport {port} {reset}")],
        };
        for rule in rules {
            self.nft(&format!("add rule inet faults arriving {rule}"))
                .await?;
        }
        Ok(())
    }

    pub(crate) async fn heal(&self) -> Result<(), BoxError> {
        self.nft("flush chain inet faults arriving").await
    }

    async fn nft(&self, words: &str) -> Result<(), BoxError> {
        let nft = Command::new(&self.nft)
            .arg(words)
            .kill_on_drop(true)
            .output();
        let output = timeout(5_000 * MS, nft).await??;
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
    }
}
