//! The entries as a page: one waterfall for each call. No script, nothing from elsewhere.

use super::{Ending, Entry};
use backstay::trail::{Attempt, Outcome};
use std::{
    fmt::{self, Write},
    sync::Arc,
    time::SystemTime,
};
use tokio::time::Duration;

const WIDTH: f64 = 640.0;
const ROW: usize = 18;

const HEAD: &str = r#"<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>backstay: trails</title>
<meta http-equiv="refresh" content="5">
<style>
:root { color-scheme: light dark; }
body { font: 14px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
h1 { font-size: 1.2rem; } .sub { opacity: .7; }
article { border-top: 1px solid color-mix(in srgb, currentColor 20%, transparent); padding: .7rem 0; }
header { display: flex; gap: 1rem; flex-wrap: wrap; align-items: baseline; }
code, td { font: 12px/1.5 ui-monospace, monospace; } header b { min-width: 6em; }
svg { display: block; margin: .4rem 0; max-width: 100%; }
svg text { font: 11px ui-monospace, monospace; fill: currentColor; }
.head { fill: #8aa4c8; } .think { fill: #4f7cc0; } .body { fill: #2e9e5b; } .bad { fill: #c8453b; }
.open { fill: #b58a2a; } .wait { fill: none; stroke: currentColor; stroke-dasharray: 2 3; }
ul { margin: .2rem 0 0; padding-left: 1.2rem; }
.key span { display: inline-block; width: .8em; height: .8em; margin: 0 .3em 0 1em; }
</style></head><body>
<h1>Recent calls</h1>
<p class="sub key">until headers <span style="background:#8aa4c8"></span> until first token
<span style="background:#4f7cc0"></span> answer <span style="background:#2e9e5b"></span> failed
<span style="background:#c8453b"></span> under way <span style="background:#b58a2a"></span>
&middot; <a href="/trails.json">as JSON</a></p>
"#;

pub(super) fn render(entries: &[Arc<Entry>]) -> String {
    let mut page = String::with_capacity(HEAD.len() + entries.len() * 1024);
    page.push_str(HEAD);
    if entries.is_empty() {
        page.push_str("<p>None yet.</p>");
    }
    for entry in entries {
        // A String takes everything.
        let _ = article(&mut page, entry);
    }
    page.push_str("</body></html>\n");
    page
}

fn article(page: &mut String, entry: &Entry) -> fmt::Result {
    let attempts = entry.trail().map(|t| t.attempts()).unwrap_or_default();
    let age = SystemTime::now()
        .duration_since(entry.at)
        .unwrap_or_default();
    write!(
        page,
        "<article><header><b>{}</b><span>{}</span><span>{}</span><span>{}</span><code>{}</code>\
         <span class=\"sub\">{} s ago</span></header>",
        Escaped(entry.ending().as_str()),
        entry
            .status()
            .map_or_else(|| "no head".to_owned(), |status| status.to_string()),
        Escaped(entry.path),
        Escaped(&entry.route),
        entry.id(),
        age.as_secs(),
    )?;
    waterfall(page, entry, &attempts)?;
    page.push_str("<ul>");
    for attempt in &attempts {
        write!(
            page,
            "<li><code>{}</code></li>",
            Escaped(&attempt.to_string())
        )?;
    }
    for passed in entry.trail().map(|t| t.passed_over()).unwrap_or_default() {
        write!(
            page,
            "<li><code>{}</code></li>",
            Escaped(&passed.to_string())
        )?;
    }
    page.push_str("</ul></article>\n");
    Ok(())
}

fn waterfall(page: &mut String, entry: &Entry, attempts: &[Attempt]) -> fmt::Result {
    if attempts.is_empty() {
        return Ok(());
    }
    let took = entry.took();
    let scale = WIDTH / took.as_secs_f64().max(1e-6);
    let x = |at: Duration| (at.as_secs_f64() * scale).min(WIDTH);
    write!(
        page,
        "<svg width=\"{}\" height=\"{}\" role=\"img\">",
        WIDTH + 160.0,
        attempts.len() * ROW + 4
    )?;
    for (row, attempt) in attempts.iter().enumerate() {
        let y = row * ROW + 2;
        let end = attempt.ended.unwrap_or(took);
        let last = match attempt.outcome {
            Outcome::Complete => "body",
            Outcome::Running if entry.ending() == Ending::Running => "open",
            _ => "bad",
        };
        // Each stretch runs to the next moment that is known; the last one tells how it ended.
        let moments = [
            (Some(attempt.started), "head"),
            (attempt.headers, "think"),
            (attempt.first_token, "body"),
        ];
        let known: Vec<_> = moments
            .into_iter()
            .filter_map(|(at, class)| Some((at?, class)))
            .collect();
        for (place, (from, class)) in known.iter().enumerate() {
            let (until, class) = match known.get(place + 1) {
                Some((next, _)) => (*next, *class),
                None if last == "body" => (end, *class),
                None => (end, last),
            };
            bar(page, class, x(*from), x(until), y)?;
        }
        if let Some(wait) = attempt.wait {
            let until = end.saturating_add(wait.duration);
            let (from, until) = (x(end), x(until).max(x(end) + 1.0));
            let middle = y + ROW / 2;
            write!(
                page,
                "<line class=\"wait\" x1=\"{from:.1}\" x2=\"{until:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>"
            )?;
        }
        write!(
            page,
            "<text x=\"{:.1}\" y=\"{}\">{} {:.0} ms</text>",
            x(end) + 4.0,
            y + 12,
            Escaped(&attempt.target),
            end.saturating_sub(attempt.started).as_secs_f64() * 1000.0
        )?;
    }
    page.push_str("</svg>");
    Ok(())
}

fn bar(page: &mut String, class: &str, from: f64, until: f64, y: usize) -> fmt::Result {
    write!(
        page,
        "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{y}\" width=\"{:.1}\" height=\"{}\"/>",
        (until - from).max(1.0),
        ROW - 4
    )
}

/// Text that cannot become markup.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_from_a_file_cannot_become_markup() {
        let text = Escaped("<script>\"x\"</script>&").to_string();
        assert_eq!(text, "&lt;script&gt;&quot;x&quot;&lt;/script&gt;&amp;");
    }
}
