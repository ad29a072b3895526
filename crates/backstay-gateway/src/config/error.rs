//! What is wrong with a configuration, where, and what to write instead.

use std::{error::Error as StdError, fmt, ops::Range, path::Path};

/// A configuration that cannot be used. Nothing was started, or the configuration in use stays.
///
/// `Display` is one line for a person: file, line, what is wrong, what to write instead. No credential is
/// in it: what a file or an environment variable holds is never shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    place: Option<(usize, usize)>,
    problem: String,
    remedy: String,
}

/// The text of a configuration, to turn offsets into lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) file: &'a str,
    pub(crate) text: &'a str,
}

// === impl ConfigError ===

impl ConfigError {
    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1; `None` when the file could not be read.
    pub fn line(&self) -> Option<usize> {
        self.place.map(|(line, _)| line)
    }

    /// What is wrong.
    pub fn problem(&self) -> &str {
        &self.problem
    }

    /// What to write instead.
    pub fn remedy(&self) -> &str {
        &self.remedy
    }

    pub(crate) fn unreadable(file: &Path, error: &std::io::Error) -> Self {
        Self {
            file: file.display().to_string(),
            place: None,
            problem: format!("it cannot be read: {error}"),
            remedy: "check the path and its permissions".to_owned(),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {}; {}", self.problem, self.remedy)
    }
}

impl StdError for ConfigError {}

// === impl Source ===

impl Source<'_> {
    pub(crate) fn error(
        &self,
        at: Range<usize>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> ConfigError {
        ConfigError {
            file: self.file.to_owned(),
            place: Some(self.place(at.start)),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }

    /// What the parser says. Its own words name the field, and what it could have been.
    pub(crate) fn unparsable(&self, error: &toml::de::Error) -> ConfigError {
        let problem = error.message().replace('\n', " ");
        self.error(
            error.span().unwrap_or(0..0),
            problem,
            "`backstay-gateway --example` prints a configuration with every setting",
        )
    }

    /// Line and column of an offset, from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count() + 1;
        let column = before
            .rsplit('\n')
            .next()
            .map_or(0, |tail| tail.chars().count())
            + 1;
        (line, column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_becomes_a_line_and_a_column() {
        let source = Source {
            file: "f",
            text: "ab\ncd\n\nä = 1",
        };
        for (offset, place) in [
            (0, (1, 1)),
            (2, (1, 3)),
            (3, (2, 1)),
            (7, (4, 1)),
            (9, (4, 2)),
            (99, (4, 6)),
        ] {
            assert_eq!(source.place(offset), place, "{offset}");
        }
    }
}
