//! The trails of a question's calls, drawn on one time axis.

use crate::{
    report::{AttemptReport, CallReport},
    screen::{Colour, Style},
};

/// The signs of a drawing, each one column wide.
#[derive(Debug)]
pub(crate) struct Signs {
    start: char,
    /// Before the first token.
    silent: char,
    /// From the first token on.
    talking: char,
    first_token: char,
    commit: char,
    complete: char,
    failed: char,
    cancelled: char,
    deadline: char,
    wait: char,
    not_tried: char,
    tick: char,
    ruler: char,
    ellipsis: char,
}

pub(crate) const UNICODE: Signs = Signs {
    start: '├',
    silent: '─',
    talking: '━',
    first_token: '◇',
    commit: '◆',
    complete: '●',
    failed: '✗',
    cancelled: '○',
    deadline: '┃',
    wait: '┄',
    not_tried: '·',
    tick: '┬',
    ruler: '─',
    ellipsis: '…',
};

pub(crate) const ASCII: Signs = Signs {
    start: '|',
    silent: '-',
    talking: '=',
    first_token: 'o',
    commit: '#',
    complete: '*',
    failed: 'x',
    cancelled: 'c',
    deadline: '!',
    wait: '.',
    not_tried: ',',
    tick: '+',
    ruler: '-',
    ellipsis: '~',
};

/// A line: what, when in milliseconds, and what came of it.
struct Row {
    label: String,
    /// From, to, and the sign between.
    spans: Vec<(f64, f64, char)>,
    /// Drawn over the spans, the last one on top.
    points: Vec<(f64, char)>,
    note: String,
    colour: Colour,
}

/// Milliseconds onto columns.
struct Axis {
    span: f64,
    columns: usize,
}

const MAX_LABEL: usize = 28;
/// The bars keep as many columns, however much there is to say beside them.
const MIN_COLUMNS: usize = 24;
/// Between label, bar and note.
const GAP: usize = 2;
/// About so many columns between two ticks, so that their numbers fit.
const TICK_COLUMNS: usize = 9;

/// What the signs mean.
pub(crate) fn legend(signs: &Signs) -> String {
    let Signs {
        silent,
        talking,
        first_token,
        commit,
        complete,
        failed,
        cancelled,
        deadline,
        wait,
        ..
    } = signs;
    format!(
        "{silent} no token yet  {talking} text  {first_token} first token  {commit} commit  \
         {complete} complete  {failed} failed  {cancelled} cancelled  {deadline} deadline  {wait} wait"
    )
}

/// Draws the calls of one question in `width` columns.
pub(crate) fn draw(calls: &[CallReport], width: usize, style: &Style) -> String {
    let rows: Vec<Row> = calls
        .iter()
        .flat_map(|call| rows(call, style.signs))
        .collect();
    let longest = |text: fn(&Row) -> &String| {
        rows.iter()
            .map(|row| text(row).chars().count())
            .max()
            .unwrap_or(0)
    };
    let label_width = longest(|row| &row.label).min(MAX_LABEL);
    let beside = width.saturating_sub(label_width + 2 * GAP);
    let note_width = longest(|row| &row.note).min(beside.saturating_sub(MIN_COLUMNS));
    let axis = Axis {
        span: calls.iter().map(CallReport::end_ms).fold(1.0, f64::max),
        columns: beside.saturating_sub(note_width).max(MIN_COLUMNS),
    };

    let gap = " ".repeat(GAP);
    let margin = " ".repeat(label_width + GAP);
    let (numbers, ruler) = axis.draw(style.signs);
    let mut drawn = String::new();
    for line in [numbers, ruler] {
        drawn.push_str(&format!("{margin}{}\n", style.paint(Colour::Dim, &line)));
    }
    for row in &rows {
        let label = fit(&row.label, label_width, style.signs);
        let bar = style.paint(row.colour, &axis.bar(row));
        let note = style.paint(row.colour, &fit(&row.note, note_width, style.signs));
        let line = format!("{label:label_width$}{gap}{bar}{gap}{note}");
        drawn.push_str(line.trim_end());
        drawn.push('\n');
    }
    drawn
}

fn rows(call: &CallReport, signs: &Signs) -> Vec<Row> {
    let mut rows = Vec::new();
    for (at, attempt) in call.trail.iter().enumerate() {
        rows.push(attempt_row(call, attempt, signs));
        rows.extend(wait_row(call, attempt, call.trail.get(at + 1), signs));
    }
    rows.extend(call.not_tried.iter().map(|passed| Row {
        label: format!("{} {}", call.step, passed.target),
        spans: Vec::new(),
        points: vec![(call.at_ms + passed.at_ms, signs.not_tried)],
        note: format!("not tried: {}", passed.reason),
        colour: Colour::Dim,
    }));
    rows
}

fn attempt_row(call: &CallReport, attempt: &AttemptReport, signs: &Signs) -> Row {
    let at = |time: f64| call.at_ms + time;
    let start = at(attempt.start_ms);
    let end = at(attempt.end_ms.unwrap_or(call.total_ms));
    let talking = attempt.first_token_ms.map_or(end, at);
    let (sign, colour) = match attempt.outcome.as_str() {
        "complete" => (signs.complete, Colour::Green),
        "cancelled" => (signs.cancelled, Colour::Yellow),
        "deadline" => (signs.deadline, Colour::Red),
        _ => (signs.failed, Colour::Red),
    };
    let mut points = vec![(start, signs.start)];
    points.extend(
        attempt
            .first_token_ms
            .map(|time| (at(time), signs.first_token)),
    );
    points.extend(attempt.committed_ms.map(|time| (at(time), signs.commit)));
    points.push((end, sign));
    Row {
        label: label(call, attempt),
        spans: vec![
            (start, talking, signs.silent),
            (talking, end, signs.talking),
        ],
        points,
        note: note(attempt),
        colour,
    }
}

/// The wait as it was, not as it was planned: until the next attempt, or until the call was over.
fn wait_row(
    call: &CallReport,
    attempt: &AttemptReport,
    next: Option<&AttemptReport>,
    signs: &Signs,
) -> Option<Row> {
    let (planned, from) = (attempt.wait_ms?, attempt.end_ms?);
    let to = next.map_or(call.total_ms, |next| next.start_ms);
    let reason = attempt.wait_reason.unwrap_or("wait");
    Some(Row {
        label: String::new(),
        spans: vec![(call.at_ms + from, call.at_ms + to, signs.wait)],
        points: Vec::new(),
        note: format!("wait of {planned:.0} ms: {reason}"),
        colour: Colour::Yellow,
    })
}

fn label(call: &CallReport, attempt: &AttemptReport) -> String {
    match &attempt.model {
        Some(model) if *model != attempt.target => {
            format!("{} {} {model}", call.step, attempt.target)
        }
        _ => format!("{} {}", call.step, attempt.target),
    }
}

fn note(attempt: &AttemptReport) -> String {
    let mut note = match (attempt.outcome.as_str(), attempt.status) {
        ("status", Some(status)) => format!("status {status}"),
        (outcome, _) => outcome.to_owned(),
    };
    if let Some(class) = attempt.class {
        note.push_str(&format!(", {class}"));
    }
    match attempt.reason {
        Some("policy") | None => {}
        Some(reason) => note.push_str(&format!("; {reason}")),
    }
    note
}

fn fit(text: &str, width: usize, signs: &Signs) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut cut: String = text.chars().take(width.saturating_sub(1)).collect();
    cut.push(signs.ellipsis);
    cut
}

// === impl Axis ===

impl Axis {
    fn column(&self, at: f64) -> usize {
        let last = self.columns - 1;
        // From 0 to 1, whatever came in: the cast cannot leave the axis.
        let part = (at / self.span).clamp(0.0, 1.0);
        ((part * last as f64).round() as usize).min(last)
    }

    fn bar(&self, row: &Row) -> String {
        let mut bar = vec![' '; self.columns];
        for (from, to, sign) in &row.spans {
            bar[self.column(*from)..=self.column(*to)].fill(*sign);
        }
        for (at, sign) in &row.points {
            bar[self.column(*at)] = *sign;
        }
        bar.into_iter().collect()
    }

    /// Numbers, and the ticks that they belong to.
    fn draw(&self, signs: &Signs) -> (String, String) {
        let step = self.step();
        let mut numbers = String::new();
        let mut ruler = vec![signs.ruler; self.columns];
        let mut tick = 0.0;
        while tick <= self.span {
            let column = self.column(tick);
            ruler[column] = signs.tick;
            let number = format!("{tick:.0}");
            if column + number.len() + " ms".len() <= self.columns {
                numbers = format!("{numbers:column$}{number}");
            }
            tick += step;
        }
        (numbers + " ms", ruler.into_iter().collect())
    }

    /// The first of 1, 2, 5, 10, 20, .. ms that leaves room between two ticks.
    fn step(&self) -> f64 {
        let least = self.span * TICK_COLUMNS as f64 / self.columns as f64;
        let mut decade = 1.0;
        loop {
            for step in [decade, 2.0 * decade, 5.0 * decade] {
                if step >= least {
                    return step;
                }
            }
            decade *= 10.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(target: &str, outcome: &str, times: (f64, f64)) -> AttemptReport {
        AttemptReport {
            target: target.to_owned(),
            outcome: outcome.to_owned(),
            start_ms: times.0,
            end_ms: Some(times.1),
            ..AttemptReport::default()
        }
    }

    /// A search, then a primary that asks for a wait, is late, and a fallback that answers.
    fn calls() -> Vec<CallReport> {
        let search = CallReport {
            step: "search",
            total_ms: 100.0,
            trail: vec![attempt("vectors", "complete", (0.0, 100.0))],
            ..CallReport::default()
        };
        let answer = CallReport {
            step: "answer",
            at_ms: 100.0,
            total_ms: 900.0,
            trail: vec![
                AttemptReport {
                    status: Some(429),
                    class: Some("rate_limit"),
                    wait_ms: Some(200.0),
                    wait_reason: Some("server hint"),
                    ..attempt("primary", "status", (0.0, 100.0))
                },
                attempt("primary", "first_token timeout", (300.0, 500.0)),
                AttemptReport {
                    first_token_ms: Some(600.0),
                    committed_ms: Some(600.0),
                    ..attempt("fallback", "complete", (500.0, 900.0))
                },
            ],
            ..CallReport::default()
        };
        vec![search, answer]
    }

    #[test]
    fn a_known_trail_in_plain_text() {
        let style = Style::plain(&ASCII);
        let expected = "
                 0         200       400       600       800 ms
                 +---------+---------+---------+---------+---------+
search vectors   |----*                                               complete
answer primary        |----x                                          status 429, rate_limit
                           ...........                                wait of 200 ms: server hint
answer primary                       |---------x                      first_token timeout
answer fallback                                |----#==============*  complete
";
        let drawn = draw(&calls(), 97, &style);
        assert_eq!(format!("\n{drawn}"), expected, "\n{drawn}");
    }

    #[test]
    fn no_line_is_wider_than_the_screen() {
        for width in [60, 80, 132] {
            let drawn = draw(&calls(), width, &Style::plain(&UNICODE));
            let widest = drawn.lines().map(|line| line.chars().count()).max();
            assert!(widest.is_some_and(|widest| widest <= width), "\n{drawn}");
        }
    }

    #[test]
    fn colour_changes_no_sign() {
        let plain = draw(&calls(), 100, &Style::plain(&UNICODE));
        let mut coloured = draw(&calls(), 100, &Style::coloured(&UNICODE));
        assert_ne!(plain, coloured);
        while let Some(start) = coloured.find('\x1b') {
            let end = start + coloured[start..].find('m').unwrap();
            coloured.replace_range(start..=end, "");
        }
        let trimmed = coloured.lines().map(str::trim_end).collect::<Vec<_>>();
        assert_eq!(trimmed, plain.lines().collect::<Vec<_>>());
    }
}
