//! One figure.

use serde::Serialize;

/// One figure, as `--json` prints it: one object on each line.
#[derive(Debug, Serialize)]
pub(crate) struct Row<'a> {
    pub(crate) bench: &'a str,
    pub(crate) case: &'a str,
    pub(crate) subject: &'a str,
    pub(crate) unit: &'a str,
    pub(crate) value: f64,
}

// === impl Row ===

impl Row<'_> {
    pub(crate) fn print(&self) -> serde_json::Result<()> {
        println!("{}", serde_json::to_string(self)?);
        Ok(())
    }
}
