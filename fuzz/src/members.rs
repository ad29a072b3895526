//! What `serde_json` makes of an object.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The members of an object as they stand, keys that repeat included.
#[derive(Clone, Debug, PartialEq)]
pub struct Members(pub Vec<(String, Value)>);

// === impl Members ===

impl Members {
    /// The values of a key.
    pub fn all(&self, name: &str) -> Vec<&Value> {
        let named = self.0.iter().filter(|(key, _)| key == name);
        named.map(|(_, value)| value).collect()
    }

    /// Whether a server that folds case would see a model that another server does not.
    pub fn has_model_in_other_case(&self) -> bool {
        let mut keys = self.0.iter().map(|(key, _)| key);
        keys.any(|key| key != "model" && key.eq_ignore_ascii_case("model"))
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Object)
    }
}
