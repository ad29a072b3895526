//! A question on the screen: asked, streamed, drawn, summed up.

use crate::{
    report::CallReport,
    research::{Asked, Question, Research, Told},
    screen::{Colour, Screen},
    waterfall,
};
use std::{
    io,
    ops::ControlFlow::{self, Break, Continue},
};

/// Asks a question and shows what comes of it. `leave_after` is how many pieces of text the caller stays for.
pub(crate) async fn ask(
    screen: &mut Screen,
    research: &Research<'_>,
    question: &Question<'_>,
    leave_after: Option<usize>,
) -> io::Result<Asked> {
    let mut pieces = 0;
    let mut shown = Ok(());
    let asked = research
        .ask(question, |told| {
            shown = tell(screen, &told);
            if matches!(told, Told::Text(_)) {
                pieces += 1;
            }
            stay(shown.is_ok() && leave_after.is_none_or(|most| pieces < most))
        })
        .await;
    shown?;
    if screen.json {
        for call in &asked.calls {
            screen.object(call)?;
        }
        return Ok(asked);
    }
    screen.line("")?;
    let drawing = waterfall::draw(&asked.calls, screen.width, &screen.style);
    screen.line(&drawing)?;
    if let Some(call) = asked.calls.last() {
        sum_up(screen, call)?;
    }
    Ok(asked)
}

fn tell(screen: &mut Screen, told: &Told<'_>) -> io::Result<()> {
    match told {
        Told::LocalEmbeddings => {
            screen.line("  (the server has no embeddings endpoint: hashed words stand in)")
        }
        Told::Notes(notes) => {
            let ids: Vec<&str> = notes.iter().map(|note| note.id.as_str()).collect();
            let line = format!("  notes: {}", ids.join(", "));
            screen.line(&screen.style.paint(Colour::Dim, &line))
        }
        Told::Text(text) => screen.text(text),
    }
}

fn sum_up(screen: &mut Screen, call: &CallReport) -> io::Result<()> {
    let colour = match call.outcome.as_str() {
        "complete" => Colour::Green,
        "cancelled" => Colour::Yellow,
        _ => Colour::Red,
    };
    let first = match call.first_token_ms {
        Some(at) => format!("first text {:.0} ms after the question", call.at_ms + at),
        None => "no text".to_owned(),
    };
    let end = call.end_ms();
    let budget = call.budget_ms;
    let outcome = screen.style.paint(colour, &call.outcome);
    screen.line(&format!(
        "  {outcome}; {first}, end after {end:.0} of {budget:.0} ms"
    ))?;
    if let Some(error) = &call.error {
        screen.text(&format!("error: {error}\n"))?;
    }
    if let Some(hook) = &call.hook {
        let id = hook.response_id.as_deref().unwrap_or("none seen");
        let (why, phase) = (&hook.why, &hook.phase);
        screen.line(&format!(
            "  hook:  {why}, in phase {phase}; response id {id}"
        ))?;
    }
    Ok(())
}

fn stay(stay: bool) -> ControlFlow<()> {
    if stay { Continue(()) } else { Break(()) }
}
