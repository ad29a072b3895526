//! How far two embeddings are from each other, by Chroma's three measures.

use serde_json::{Map, Value};

/// A collection's measure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Space {
    /// The square of the Euclidean distance; Chroma's default.
    #[default]
    L2,
    /// 1 - cosine of the angle.
    Cosine,
    /// 1 - inner product.
    Ip,
}

// === impl Space ===

impl Space {
    /// From `configuration.hnsw.space`, else from the metadata's `hnsw:space`, else the default; `None`
    /// for a space that does not exist.
    pub(super) fn of(configuration: &Value, metadata: Option<&Map<String, Value>>) -> Option<Self> {
        let configured = configuration["hnsw"]["space"].as_str();
        let legacy = || metadata?.get("hnsw:space")?.as_str();
        match configured.or_else(legacy) {
            None => Some(Self::default()),
            Some("l2") => Some(Self::L2),
            Some("cosine") => Some(Self::Cosine),
            Some("ip") => Some(Self::Ip),
            Some(_) => None,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::L2 => "l2",
            Self::Cosine => "cosine",
            Self::Ip => "ip",
        }
    }

    pub(super) fn distance(self, a: &[f32], b: &[f32]) -> f32 {
        match self {
            Self::L2 => a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum(),
            Self::Ip => 1.0 - dot(a, b),
            Self::Cosine => {
                let lengths = (dot(a, a) * dot(b, b)).sqrt();
                // Nothing is near the zero vector.
                if lengths == 0.0 {
                    1.0
                } else {
                    1.0 - dot(a, b) / lengths
                }
            }
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn each_space_has_its_own_distance() {
        let (a, b) = ([1.0, 0.0], [3.0, 4.0]);
        assert_eq!(Space::L2.distance(&a, &b), 20.0);
        assert_eq!(Space::Ip.distance(&a, &b), -2.0);
        assert!((Space::Cosine.distance(&a, &b) - 0.4).abs() < 1e-6);
        assert_eq!(Space::Cosine.distance(&a, &[0.0, 0.0]), 1.0);
    }

    #[test]
    fn the_space_is_read_from_the_configuration_then_from_the_metadata() {
        let metadata = json!({"hnsw:space": "cosine"});
        let metadata = metadata.as_object();
        let configured = json!({"hnsw": {"space": "ip"}});
        assert_eq!(Space::of(&configured, metadata), Some(Space::Ip));
        assert_eq!(Space::of(&Value::Null, metadata), Some(Space::Cosine));
        assert_eq!(Space::of(&Value::Null, None), Some(Space::L2));
        assert_eq!(Space::of(&json!({"hnsw": {"space": "l3"}}), None), None);
    }
}
