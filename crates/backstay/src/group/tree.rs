//! What a person reads of a group.

use super::{Failure, GroupError};
use std::{error::Error as _, fmt};

/// How many failures the one line names.
const NAMED: usize = 4;

impl fmt::Display for GroupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let failures = self.failures();
        write!(f, "{} of {} failed", failures.len(), self.members())?;
        if f.alternate() {
            return branches(self, "", f);
        }
        for (at, failure) in failures.iter().take(NAMED).enumerate() {
            let separator = if at == 0 { ": " } else { "; " };
            write!(f, "{separator}{failure}")?;
        }
        match failures.len().saturating_sub(NAMED) {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// One branch for each failure, in order, and one for what was cut off.
fn branches(group: &GroupError, indent: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let failures = group.failures();
    let cut_off: Vec<_> = group.cut_off().collect();
    for (at, failure) in failures.iter().enumerate() {
        let last = at + 1 == failures.len() && cut_off.is_empty();
        let (fork, stem) = if last {
            ("└─ ", "   ")
        } else {
            ("├─ ", "│  ")
        };
        write!(f, "\n{indent}{fork}")?;
        branch(failure, &format!("{indent}{stem}"), f)?;
    }
    if !cut_off.is_empty() {
        write!(f, "\n{indent}└─ cut off: {}", cut_off.join(", "))?;
    }
    Ok(())
}

/// A failure, and its sources below.
fn branch(failure: &Failure, indent: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // Its path begins with the member's name.
    write!(f, "{}", failure.error().line())?;
    let mut next = failure.error().source();
    while let Some(source) = next {
        if let Some(group) = source.downcast_ref::<GroupError>() {
            write!(
                f,
                "\n{indent}{} of {} failed",
                group.failures().len(),
                group.members()
            )?;
            return branches(group, indent, f);
        }
        write!(f, "\n{indent}caused by: {source}")?;
        next = source.source();
    }
    Ok(())
}
