//! One session after the other, and what becomes of each.

use crate::{
    session::{Session, Workflow},
    shelves::QUESTION,
};
use backstay::{BoxError, Error, ErrorKind};
use backstay_mock::{Mock, Reply, Script};
use tokio::time::Duration;
use tokio_util::sync::CancellationToken;

/// What happens to one session.
struct Scene {
    title: &'static str,
    primary: Script,
    fallback: Script,
    /// What the shelves do, in their order.
    shelves: [Reply; 3],
    leave_after: Option<usize>,
    /// How it must end, else the show has failed.
    outcome: &'static str,
    cleanups: &'static [&'static str],
}

pub(crate) const PRIMARY: &str = "large";
pub(crate) const FALLBACK: &str = "small";
const SAYS: &str = "The backstay does: it runs from the masthead to the stern and pulls against everything that \
    pulls the mast forward.";

/// How long to wait for hooks at the end of a session.
pub(crate) const HOOKS_WAIT: Duration = Duration::from_secs(5);

/// Shows every scene; true when each ended as it must.
pub(crate) async fn run(
    workflow: &Workflow,
    mock: &Mock,
    token: &CancellationToken,
) -> Result<bool, BoxError> {
    let mut as_it_must = true;
    for (number, scene) in scenes().into_iter().enumerate() {
        mock.script(PRIMARY, scene.primary);
        mock.script(FALLBACK, scene.fallback);
        for (shelf, reply) in workflow.shelves.iter().zip(scene.shelves) {
            mock.script_path(shelf.query_path(), reply);
        }
        println!("\n{}. {}", number + 1, scene.title);
        let session = Session {
            leave_after: scene.leave_after,
            ..Session::new(format!("s-{}", number + 1), QUESTION, token.child_token())
        };
        let (outcome, cleanups) = one(workflow, &session).await;
        if token.is_cancelled() {
            break;
        }
        let kept = workflow.answers.get(&session.id).await?;
        if outcome != scene.outcome || cleanups != scene.cleanups {
            println!("  it must be: {}, {:?}", scene.outcome, scene.cleanups);
            as_it_must = false;
        }
        if kept.is_some() != (outcome == "saved") {
            println!("  in the store there is {kept:?}");
            as_it_must = false;
        }
    }
    Ok(as_it_must)
}

/// Runs a session, shows how it ended, and names that and the cleanups that ran.
pub(crate) async fn one(
    workflow: &Workflow,
    session: &Session,
) -> (&'static str, Vec<&'static str>) {
    let journal = &workflow.journal;
    let result = workflow.run(session).await;
    workflow.stacks.hooks.wait(HOOKS_WAIT).await;
    let outcome = match &result {
        Ok(_) => "saved",
        Err(error) => {
            let outcome = outcome(error);
            // Nobody has failed when somebody wanted it to end.
            if error.is_cancelled() {
                journal.line(&error.to_string());
            } else {
                journal.line("error:");
                journal.block(&format!("{error:#}"));
            }
            outcome
        }
    };
    let cleanups = journal.take_cleanups();
    journal.line(&format!(
        "outcome: {outcome}; cleanups: {}",
        cleanups.join(", ")
    ));
    (outcome, cleanups)
}

/// By the error's kind, and never by its text.
fn outcome(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::Cancelled(_) => "cancelled",
        ErrorKind::Deadline => "over its budget",
        _ => "failed",
    }
}

fn scenes() -> Vec<Scene> {
    let says = || {
        Reply::text(SAYS)
            .delay_first_token(Duration::from_millis(80))
            .delay_between_tokens(Duration::from_millis(15))
    };
    let scene = |title, primary: Script| Scene {
        title,
        primary,
        fallback: says().into(),
        shelves: [Reply::ok(), Reply::ok(), Reply::ok()],
        leave_after: None,
        outcome: "saved",
        cleanups: &["draft", "seat"],
    };
    let cut_off: &[_] = &["notice", "draft", "seat"];
    vec![
        scene("All is well", says().into()),
        Scene {
            fallback: Reply::status(503).into(),
            outcome: "failed",
            ..scene(
                "The step `generate` fails: one model hangs up, the other is overloaded",
                Reply::ok().reset_before_headers().into(),
            )
        },
        Scene {
            leave_after: Some(8),
            outcome: "cancelled",
            cleanups: cut_off,
            ..scene("Cancelled in the middle of the answer", says().into())
        },
        Scene {
            outcome: "over its budget",
            cleanups: cut_off,
            ..scene(
                "Over its budget: the answer drips",
                says()
                    .delay_between_tokens(Duration::from_millis(200))
                    .into(),
            )
        },
        Scene {
            shelves: [Reply::ok(), Reply::status(500), Reply::ok()],
            ..scene("One shelf of three is broken", says().into())
        },
        Scene {
            shelves: [
                Reply::status(500),
                Reply::never_answer(),
                Reply::ok().reset_before_headers(),
            ],
            outcome: "failed",
            ..scene("All shelves are, each in its own way", says().into())
        },
    ]
}
