//! The tour: what can happen to a question, one thing after the other, over real sockets.

use crate::{
    embedder::Embedder,
    research::{Asked, Question, Research},
    screen::{Colour, Screen},
    seed,
    servers::{Fallback, Server, Servers},
    show,
    stack::{Limits, Stacks},
    waterfall,
};
use backstay::{Body, BoxError, fallback::Commit};
use backstay_client::Client;
use backstay_mock::{Mock, Reply, Script};
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

/// One thing that happens.
struct Scene {
    name: &'static str,
    title: &'static str,
    /// What the models do.
    primary: Script,
    fallback: Script,
    /// What the vector store does.
    query: Script,
    commit: Option<Commit>,
    leave_after: Option<usize>,
    /// How the last call must end, else the tour fails.
    outcome: &'static str,
    /// How often the hook must run.
    hooks: usize,
}

const PRIMARY: &str = "large";
const FALLBACK: &str = "small";
const PRIMARY_SAYS: &str = "The backstay does: it runs from the masthead to the stern and pulls against everything \
    that pulls the mast forward. Tightening it also bends the mast and flattens the mainsail.";
const FALLBACK_SAYS: &str =
    "The backstay, from the masthead to the stern. The smaller model says so too, and sooner.";

/// Shows every scene; true when each ended as it must.
pub(crate) async fn run(
    screen: &mut Screen,
    client: &Client<Body>,
    limits: Limits,
    token: &CancellationToken,
) -> Result<bool, BoxError> {
    let mock = Mock::start().await?;
    let limits = limits.tenth();
    let servers = servers(&mock)?;
    let embedder = Embedder::new(servers.embeddings.clone(), servers.embedding_model.clone());
    let stacks = Stacks::new(client, &servers, limits)?;
    let collection = seed::prepare(&stacks, &embedder, &servers.vectors, "rigging").await?;
    introduce(screen, &mock, &limits)?;

    let mut as_it_must = true;
    for (number, scene) in scenes().into_iter().enumerate() {
        mock.script(PRIMARY, scene.primary.clone());
        mock.script(FALLBACK, scene.fallback.clone());
        mock.script_path("/query", scene.query.clone());
        mock.clear_log();
        // Stacks of its own, so that one scene's retry budget and counts are not the next one's.
        let stacks = Stacks::new(client, &servers, limits)?;
        let research = Research {
            stacks: &stacks,
            servers: &servers,
            embedder: &embedder,
            collection: &collection,
        };
        let question = Question {
            text: seed::QUESTION,
            name: scene.name,
            token: token.clone(),
            commit: scene.commit,
        };
        screen.line("")?;
        let title = format!("{}. {}", number + 1, scene.title);
        screen.line(&screen.style.paint(Colour::Bold, &title))?;
        let asked = show::ask(screen, &research, &question, scene.leave_after).await?;
        if token.is_cancelled() {
            break;
        }
        if scene.leave_after.is_some() {
            as_it_must &= upstream_saw_it(screen, &mock).await?;
        }
        as_it_must &= scene.ended_well(screen, &asked, stacks.hooks.finished())?;
    }
    mock.shutdown().await;
    Ok(as_it_must)
}

fn servers(mock: &Mock) -> Result<Servers, BoxError> {
    let server = Server::new(&mock.url(), None)?;
    Ok(Servers {
        llm: server.clone(),
        model: PRIMARY.to_owned(),
        fallback: Some(Fallback {
            model: FALLBACK.to_owned(),
            server: None,
        }),
        embeddings: server,
        embedding_model: "mock-embedding".to_owned(),
        vectors: mock.url(),
    })
}

fn introduce(screen: &mut Screen, mock: &Mock, limits: &Limits) -> Result<(), BoxError> {
    let ms = |limit: Duration| limit.as_millis();
    screen.text(&format!(
        "A scripted provider and vector store listen on {}. Each question is three calls, embed, search and \
         answer, inside one budget of {} ms; the primary model may take {} ms of it, the fallback {} ms, and \
         the first token of an attempt is due after {} ms: all of it a tenth of what is usual here (see \
         --help).\n",
        mock.url(),
        ms(limits.budget),
        ms(limits.primary_attempt),
        ms(limits.fallback_attempt),
        ms(limits.first_token),
    ))?;
    screen.line("")?;
    screen.text(&format!("{}\n", waterfall::legend(screen.style.signs)))?;
    screen.line("")?;
    screen.text(&format!("The question: {}\n", seed::QUESTION))?;
    Ok(())
}

/// The other end of leaving: the provider sees its connection close, and stops generating.
async fn upstream_saw_it(screen: &mut Screen, mock: &Mock) -> Result<bool, BoxError> {
    let closed = mock
        .wait_until(
            |log| log.iter().any(|entry| entry.peer_closed_at.is_some()),
            Duration::from_secs(1),
        )
        .await;
    let sent = mock
        .requests(PRIMARY)
        .last()
        .map_or(0, |entry| entry.tokens_sent);
    screen.line(&if closed {
        format!("  the provider saw the connection close, and stopped after {sent} tokens")
    } else {
        "  the provider never saw the connection close".to_owned()
    })?;
    Ok(closed)
}

fn scenes() -> Vec<Scene> {
    let say = |text: &str| Reply::text(text).delay_between_tokens(Duration::from_millis(15));
    let primary = || say(PRIMARY_SAYS).delay_first_token(Duration::from_millis(80));
    let fallback = || say(FALLBACK_SAYS).delay_first_token(Duration::from_millis(40));
    let scene = |name, title, primary: Script| Scene {
        name,
        title,
        primary,
        fallback: fallback().into(),
        query: Reply::ok().into(),
        commit: None,
        leave_after: None,
        outcome: "complete",
        hooks: 0,
    };
    let asks_to_wait = |seconds: &str| Reply::status(429).header("retry-after", seconds);
    let cut = || primary().cut_after_tokens(14);
    vec![
        scene("healthy", "All is well", primary().into()),
        scene(
            "late-first-token",
            "The primary's first token is late: its clock runs out, the fallback answers",
            primary().delay_first_token(Duration::from_secs(5)).into(),
        ),
        scene(
            "retry-after",
            "429 with Retry-After: 1, which fits: a wait, then the same model again",
            Script::new()
                .attempt(asks_to_wait("1"))
                .then(say(FALLBACK_SAYS)),
        ),
        scene(
            "retry-after-too-long",
            "429 with Retry-After: 30, which does not: the fallback, at once",
            asks_to_wait("30").into(),
        ),
        scene(
            "in-band-overload",
            "200, then an overload before any text: nobody saw it, the fallback answers",
            primary().error_in_band(0, "server_is_overloaded").into(),
        ),
        Scene {
            query: Script::new().attempt(Reply::status(503)).then(Reply::ok()),
            ..scene(
                "vector-store",
                "The vector store answers 503: the query is marked idempotent, and sent again",
                primary().into(),
            )
        },
        Scene {
            outcome: "transport error",
            hooks: 1,
            ..scene(
                "cut",
                "The stream is cut half way: text was shown, so it ends in a typed error",
                cut().into(),
            )
        },
        Scene {
            commit: Some(Commit::End),
            ..scene(
                "cut-unseen",
                "The same cut for a caller who shows no half answers (Commit::End)",
                cut().into(),
            )
        },
        Scene {
            outcome: "deadline",
            hooks: 1,
            ..scene(
                "budget",
                "A wait, then an answer that drips: the budget runs out",
                Script::new()
                    .attempt(asks_to_wait("1"))
                    .then(primary().delay_between_tokens(Duration::from_millis(100))),
            )
        },
        Scene {
            leave_after: Some(9),
            outcome: "cancelled",
            hooks: 1,
            ..scene(
                "left",
                "The caller leaves in mid-answer: the hook runs once, the upstream is closed",
                primary().into(),
            )
        },
    ]
}

// === impl Scene ===

impl Scene {
    /// A tour that shows something else than it says is worse than none.
    fn ended_well(
        &self,
        screen: &mut Screen,
        asked: &Asked,
        hooks: usize,
    ) -> Result<bool, BoxError> {
        let outcome = asked
            .calls
            .last()
            .map_or("nothing", |call| call.outcome.as_str());
        let well = outcome == self.outcome && hooks == self.hooks;
        if !well {
            let Self {
                name,
                outcome: must,
                hooks: count,
                ..
            } = self;
            screen.line(&format!(
                "  {name}: ended with {outcome} and {hooks} hooks, and not with {must} and {count}"
            ))?;
        }
        Ok(well)
    }
}
