//! Which records a request means: by id, by metadata (`where`) and by text (`where_document`).

use std::cmp::Ordering;
use std::collections::HashSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::record::Record;
use super::refusal::Refusal;

/// The parts of a request that choose records; what is absent excludes nothing.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Filter {
    ids: Option<HashSet<String>>,
    r#where: Option<Map<String, Value>>,
    where_document: Option<Map<String, Value>>,
}

// === impl Filter ===

impl Filter {
    /// Whether it says anything at all.
    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_none() && self.r#where.is_none() && self.where_document.is_none()
    }

    pub(super) fn accepts(&self, record: &Record) -> Result<bool, Refusal> {
        if self
            .ids
            .as_ref()
            .is_some_and(|ids| !ids.contains(&record.id))
        {
            return Ok(false);
        }
        if let Some(clause) = &self.r#where
            && !by_metadata(clause, record.metadata.as_ref())?
        {
            return Ok(false);
        }
        match &self.where_document {
            Some(clause) => by_document(clause, record.document.as_deref().unwrap_or_default()),
            None => Ok(true),
        }
    }
}

fn by_metadata(
    clause: &Map<String, Value>,
    metadata: Option<&Map<String, Value>>,
) -> Result<bool, Refusal> {
    every(clause, |key, wanted| match (key, wanted) {
        ("$and", Value::Array(clauses)) => all(clauses, |clause| by_metadata(clause, metadata)),
        ("$or", Value::Array(clauses)) => any(clauses, |clause| by_metadata(clause, metadata)),
        (key, wanted) if !key.starts_with('$') => {
            let value = metadata.and_then(|metadata| metadata.get(key));
            match wanted {
                Value::Object(operators) => every(operators, |operator, operand| {
                    compare(operator, value, operand)
                }),
                wanted => compare("$eq", value, wanted),
            }
        }
        _ => Err(Refusal::invalid("Error parsing where clause")),
    })
}

fn compare(operator: &str, value: Option<&Value>, operand: &Value) -> Result<bool, Refusal> {
    let order = || {
        let (value, operand) = (value?.as_f64()?, operand.as_f64()?);
        value.partial_cmp(&operand)
    };
    let equal = |operand: &Value| match (value, operand) {
        (Some(Value::Number(a)), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (value, operand) => value == Some(operand),
    };
    Ok(match (operator, operand) {
        ("$eq", operand) => equal(operand),
        ("$ne", operand) => !equal(operand),
        ("$gt", _) => order() == Some(Ordering::Greater),
        ("$gte", _) => order().is_some_and(Ordering::is_ge),
        ("$lt", _) => order() == Some(Ordering::Less),
        ("$lte", _) => order().is_some_and(Ordering::is_le),
        ("$in", Value::Array(operands)) => operands.iter().any(equal),
        ("$nin", Value::Array(operands)) => !operands.iter().any(equal),
        _ => return Err(Refusal::invalid("Error parsing where clause")),
    })
}

fn by_document(clause: &Map<String, Value>, document: &str) -> Result<bool, Refusal> {
    every(clause, |key, wanted| match (key, wanted) {
        ("$and", Value::Array(clauses)) => all(clauses, |clause| by_document(clause, document)),
        ("$or", Value::Array(clauses)) => any(clauses, |clause| by_document(clause, document)),
        ("$contains", Value::String(part)) => Ok(document.contains(part.as_str())),
        ("$not_contains", Value::String(part)) => Ok(!document.contains(part.as_str())),
        _ => Err(Refusal::invalid("Error parsing where document clause")),
    })
}

fn every(
    clause: &Map<String, Value>,
    mut holds: impl FnMut(&str, &Value) -> Result<bool, Refusal>,
) -> Result<bool, Refusal> {
    clause.iter().try_fold(
        true,
        |so_far, (key, value)| Ok(holds(key, value)? && so_far),
    )
}

fn all(
    clauses: &[Value],
    mut holds: impl FnMut(&Map<String, Value>) -> Result<bool, Refusal>,
) -> Result<bool, Refusal> {
    clauses
        .iter()
        .try_fold(true, |so_far, clause| Ok(holds(object(clause)?)? && so_far))
}

fn any(
    clauses: &[Value],
    mut holds: impl FnMut(&Map<String, Value>) -> Result<bool, Refusal>,
) -> Result<bool, Refusal> {
    clauses.iter().try_fold(
        false,
        |so_far, clause| Ok(holds(object(clause)?)? || so_far),
    )
}

fn object(clause: &Value) -> Result<&Map<String, Value>, Refusal> {
    clause
        .as_object()
        .ok_or_else(|| Refusal::invalid("Error parsing where clause"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn accepts(filter: Value) -> Option<bool> {
        let filter: Filter = serde_json::from_value(filter).unwrap();
        let record = Record {
            id: "a".into(),
            embedding: vec![1.0],
            document: Some("a rope and a mast".into()),
            uri: None,
            metadata: json!({"n": 2, "kind": "rig"}).as_object().cloned(),
        };
        filter.accepts(&record).ok()
    }

    #[test]
    fn clauses_choose_by_id_metadata_and_text() {
        for (filter, expected) in [
            (json!({}), Some(true)),
            (json!({"ids": ["b"]}), Some(false)),
            (json!({"where": {"kind": "rig"}}), Some(true)),
            (json!({"where": {"kind": {"$ne": "rig"}}}), Some(false)),
            (json!({"where": {"n": {"$gt": 1.5}}}), Some(true)),
            (json!({"where": {"n": {"$lte": 1}}}), Some(false)),
            (json!({"where": {"n": {"$in": [1, 2]}}}), Some(true)),
            (json!({"where": {"n": {"$nin": [1, 2]}}}), Some(false)),
            (
                json!({"where": {"$or": [{"n": 1}, {"kind": "rig"}]}}),
                Some(true),
            ),
            (
                json!({"where": {"$and": [{"n": 1}, {"kind": "rig"}]}}),
                Some(false),
            ),
            (json!({"where": {"missing": "x"}}), Some(false)),
            (json!({"where": {"n": {"$like": 1}}}), None),
            (json!({"where_document": {"$contains": "mast"}}), Some(true)),
            (
                json!({"where_document": {"$not_contains": "mast"}}),
                Some(false),
            ),
        ] {
            assert_eq!(accepts(filter.clone()), expected, "{filter}");
        }
    }
}
