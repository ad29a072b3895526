//! Labels: what the caller calls its own work.

use std::{borrow::Cow, fmt, sync::Arc};

/// Names and values that the caller gives a call, for errors, hooks and spans: `step`, `session`, any.
///
/// Put it into a request's extensions; empty unless given. Labels are printed: put no prompt, answer or
/// credential into one.
///
/// ```
/// use backstay::Labels;
///
/// let labels = Labels::new().with("step", "generate").with("session", "s-81");
/// assert_eq!(labels.get("step"), Some("generate"));
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(labels);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Labels(Option<Arc<Vec<Label>>>);

type Label = (Cow<'static, str>, Cow<'static, str>);

// === impl Labels ===

impl Labels {
    /// No labels.
    pub const fn new() -> Self {
        Self(None)
    }

    /// These labels and one more; a label of the same name is replaced.
    #[must_use]
    pub fn with(
        mut self,
        name: impl Into<Cow<'static, str>>,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        let name = name.into();
        let labels = Arc::make_mut(self.0.get_or_insert_default());
        labels.retain(|(known, _)| *known != name);
        labels.push((name, value.into()));
        self
    }

    /// Adds the labels of the code around, ahead of these; where both have a name, the value here stands.
    pub(crate) fn inherit(&mut self, around: &Self) {
        let Some(outer) = &around.0 else {
            return;
        };
        self.0 = Some(match self.0.take() {
            None => outer.clone(),
            Some(own) => {
                if Arc::ptr_eq(&own, outer) || outer.iter().all(|label| has(&own, label)) {
                    own
                } else {
                    let outer = outer.iter().filter(|label| !has(&own, label));
                    Arc::new(outer.chain(own.iter()).cloned().collect())
                }
            }
        });
    }

    /// The value of a label.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find_map(|(known, value)| (known == name).then_some(value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.as_ref().is_none_or(|labels| labels.is_empty())
    }

    /// All labels, in the order in which they were given.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|labels| labels.iter())
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }
}

fn has(labels: &[Label], (name, _): &Label) -> bool {
    labels.iter().any(|(known, _)| known == name)
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.iter().enumerate() {
            if at > 0 {
                f.write_str(" ")?;
            }
            write!(f, "{name}={value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_value_replaces_an_earlier_one() {
        let first = Labels::new().with("step", "a").with("session", "s");
        let second = first.clone().with("step", "b");
        assert_eq!(first.get("step"), Some("a"));
        assert_eq!(second.get("step"), Some("b"));
        assert_eq!(second.get("session"), Some("s"));
        assert_eq!(second.iter().count(), 2);
    }

    #[test]
    fn inherited_labels_come_first_and_replace_nothing() {
        let outer = Labels::new().with("session", "s").with("step", "outer");
        let mut own = Labels::new().with("step", "inner").with("page", "3");
        own.inherit(&outer);
        own.inherit(&outer);
        own.inherit(&Labels::new());
        let all: Vec<_> = own.iter().collect();
        assert_eq!(all, [("session", "s"), ("step", "inner"), ("page", "3")]);
        let mut none = Labels::new();
        none.inherit(&outer);
        assert_eq!(none, outer);
    }
}
