//! Embeddings without a model: words and character trigrams hashed into a vector, so that texts that
//! share words or stems are near each other, and the same text is always at the same place.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// The length of an embedding, unless the request's `dimensions` says otherwise.
pub const DIMENSIONS: usize = 256;
/// The longest embedding that `dimensions` may ask for; more is taken as this.
const MAX_DIMENSIONS: usize = 4096;

/// Longer words say more about a text than short ones, most of which are grammar.
const SHORT_WORD: usize = 3;
const SHORT_WEIGHT: f32 = 0.2;
const WORD_WEIGHT: f32 = 1.0;
const TRIGRAM_WEIGHT: f32 = 0.3;

/// The embedding of `text`: [`DIMENSIONS`] numbers of length 1 together, the same ones every time. Letter
/// case and punctuation do not matter. This is what `POST */embeddings` answers with.
///
/// ```
/// use backstay_mock::embed;
///
/// let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
/// let sails = embed("How do I hoist the sails?");
/// assert!(dot(&sails, &embed("hoisting a sail")) > dot(&sails, &embed("tax returns")));
/// ```
#[must_use]
pub fn embed(text: &str) -> Vec<f32> {
    embed_in(text, DIMENSIONS)
}

fn embed_in(text: &str, dimensions: usize) -> Vec<f32> {
    let mut vector = vec![0.0; dimensions];
    let mut add = |feature: &str, weight: f32| {
        let hash = hash(feature);
        // A sign of its own for each feature makes collisions cancel out instead of adding up.
        let sign = if hash >> 63 == 0 { 1.0 } else { -1.0 };
        let place = usize::try_from((hash >> 8) % dimensions as u64).unwrap_or(0);
        vector[place] += sign * weight;
    };
    let lower = text.to_lowercase();
    for word in lower
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let letters: Vec<char> = word.chars().collect();
        if letters.len() <= SHORT_WORD {
            add(word, SHORT_WEIGHT);
            continue;
        }
        add(word, WORD_WEIGHT);
        let padded: Vec<char> = std::iter::once('^').chain(letters).chain(['$']).collect();
        for trigram in padded.windows(3) {
            add(&trigram.iter().collect::<String>(), TRIGRAM_WEIGHT);
        }
    }
    let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|x| *x /= length);
    } else {
        // A text without words still has a place, and a length of 1.
        vector[0] = 1.0;
    }
    vector
}

/// Answers `POST */embeddings`; `None` if the request has no usable `input`.
pub(crate) fn answer(request: &Value) -> Option<Value> {
    let texts: Vec<String> = match &request["input"] {
        Value::String(text) => vec![text.clone()],
        // One text as token numbers, or several texts, each as a string or token numbers.
        Value::Array(items) if items.iter().all(Value::is_number) && !items.is_empty() => {
            vec![request["input"].to_string()]
        }
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .map(|item| {
                item.as_str()
                    .map_or_else(|| item.to_string(), str::to_owned)
            })
            .collect(),
        _ => return None,
    };
    let dimensions = match request["dimensions"].as_u64() {
        Some(asked) => usize::try_from(asked)
            .unwrap_or(MAX_DIMENSIONS)
            .clamp(1, MAX_DIMENSIONS),
        None => DIMENSIONS,
    };
    let base64 = request["encoding_format"] == "base64";
    let data: Vec<Value> = texts
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = embed_in(text, dimensions);
            let embedding: Value = match base64 {
                true => to_base64(&vector).into(),
                false => vector.into_iter().map(number).collect(),
            };
            json!({"object": "embedding", "index": index, "embedding": embedding})
        })
        .collect();
    let tokens: usize = texts.iter().map(|text| text.len().div_ceil(4)).sum();
    Some(json!({
        "object": "list",
        "data": data,
        "model": request["model"],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
    }))
}

/// Floats in little-endian order, as OpenAI and Chroma have them.
fn to_base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    STANDARD.encode(bytes)
}

/// The inverse; `None` for what is no base64 or no whole number of floats.
pub(crate) fn from_base64(text: &str) -> Option<Vec<f32>> {
    let bytes = STANDARD.decode(text).ok()?;
    let floats = bytes
        .chunks(4)
        .map(|float| Some(f32::from_le_bytes(float.try_into().ok()?)));
    floats.collect()
}

/// A JSON number with the digits an `f32` has, not those that its `f64` would show.
pub(crate) fn number(x: f32) -> Value {
    x.to_string()
        .parse::<f64>()
        .map_or(Value::Null, Value::from)
}

/// 64-bit FNV-1a, with a last mix for its weak high bits.
pub(crate) fn hash(text: &str) -> u64 {
    let fnv = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (fnv ^ (fnv >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn similarity(a: &str, b: &str) -> f32 {
        embed(a).iter().zip(embed(b)).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn near_texts_are_nearer_than_far_ones() {
        let question = "How do I reset my password?";
        let near = similarity(question, "Resetting a forgotten password");
        let far = similarity(question, "Opening hours of the harbour museum");
        assert!(near > far + 0.2, "{near} {far}");
        assert!((similarity(question, "how do i RESET my password") - 1.0).abs() < 1e-5);
    }

    #[test]
    fn every_embedding_has_length_one() {
        for text in ["", "?!", "a", "Grüße", "some longer text, with punctuation"] {
            assert!((similarity(text, text) - 1.0).abs() < 1e-5, "{text}");
        }
    }

    #[test]
    fn base64_holds_the_same_floats() {
        let vector = embed("anchor");
        assert_eq!(from_base64(&to_base64(&vector)), Some(vector));
        assert_eq!(from_base64("AAAA"), None);
    }
}
