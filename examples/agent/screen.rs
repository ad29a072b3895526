//! Standard output: how wide it is, whether it takes colour, and text that arrives in pieces.

use crate::waterfall::{ASCII, Signs, UNICODE};
use std::io::{self, IsTerminal, Write};

/// Signs and colours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub(crate) signs: &'static Signs,
    colour: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Colour {
    Green,
    Yellow,
    Red,
    Dim,
    Bold,
}

/// Where a person reads. With `--json` nothing is shown but objects, one a line.
pub(crate) struct Screen {
    pub(crate) style: Style,
    pub(crate) width: usize,
    pub(crate) json: bool,
    /// The column that streamed text has come to.
    column: usize,
    spaces: usize,
}

/// Where standard output is no terminal.
const PLAIN_WIDTH: usize = 110;
const MAX_WIDTH: usize = 140;
const MIN_WIDTH: usize = 60;
const INDENT: &str = "  ";

// === impl Screen ===

impl Screen {
    pub(crate) fn new(json: bool, ascii: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let size = terminal.then(terminal_size::terminal_size).flatten();
        let width = size.map_or(PLAIN_WIDTH, |(width, _)| usize::from(width.0));
        Self {
            style: Style {
                signs: if ascii { &ASCII } else { &UNICODE },
                colour: terminal && std::env::var_os("NO_COLOR").is_none(),
            },
            width: width.clamp(MIN_WIDTH, MAX_WIDTH),
            json,
            column: 0,
            spaces: 0,
        }
    }

    /// A line for a person.
    pub(crate) fn line(&mut self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        self.end_text()?;
        writeln!(io::stdout(), "{text}")
    }

    /// A piece of text: shown at once, broken between words.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let mut out = io::stdout().lock();
        for piece in text.split_inclusive([' ', '\n']) {
            let word = piece.trim_end_matches([' ', '\n']);
            let length = word.chars().count();
            // A token is often a part of a word: a line ends only where there was space.
            if self.spaces > 0 && self.column + self.spaces + length > self.width {
                writeln!(out)?;
                self.column = 0;
            }
            if self.column == 0 && length > 0 {
                write!(out, "{INDENT}{word}")?;
                self.column = INDENT.len() + length;
            } else {
                write!(out, "{:1$}{word}", "", self.spaces)?;
                self.column += self.spaces + length;
            }
            // Spaces wait for the next word, which may begin a line.
            self.spaces = piece.len() - word.len();
            if piece.ends_with('\n') {
                writeln!(out)?;
                (self.column, self.spaces) = (0, 0);
            }
        }
        out.flush()
    }

    /// An object for a program.
    pub(crate) fn object(&self, object: &impl serde::Serialize) -> io::Result<()> {
        let mut out = io::stdout().lock();
        serde_json::to_writer(&mut out, object)?;
        writeln!(out)
    }

    fn end_text(&mut self) -> io::Result<()> {
        self.spaces = 0;
        if std::mem::take(&mut self.column) > 0 {
            writeln!(io::stdout())?;
        }
        Ok(())
    }
}

// === impl Style ===

impl Style {
    #[cfg(test)]
    pub(crate) fn plain(signs: &'static Signs) -> Self {
        Self {
            signs,
            colour: false,
        }
    }

    #[cfg(test)]
    pub(crate) fn coloured(signs: &'static Signs) -> Self {
        Self {
            signs,
            colour: true,
        }
    }

    pub(crate) fn paint(&self, colour: Colour, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match colour {
            Colour::Bold => 1,
            Colour::Dim => 2,
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }
}
