//! The notes that a session looks things up in.

use crate::{stack::Stack, store::Shelf};
use backstay::BoxError;

pub(crate) const QUESTION: &str = "What keeps the mast of a sailing boat from falling forward?";

const NOTES: [(&str, &[&str]); 3] = [
    (
        "manual",
        &[
            "The backstay runs from the masthead to the stern. It keeps the mast from falling forward.",
            "The forestay runs from the mast to the bow, and keeps the mast from falling backward.",
        ],
    ),
    (
        "logbook",
        &[
            "14 May: the backstay's turnbuckle was loose; secured it with a split pin.",
            "2 June: reefed early, which was right.",
        ],
    ),
    (
        "forum",
        &[
            "Tighten the backstay before the wind is up: it bends the mast and flattens the mainsail.",
            "Shrouds keep the mast from falling sideways.",
        ],
    ),
];

/// Opens the shelves, and puts the notes there.
pub(crate) async fn fill(vectors: &Stack, root: &str) -> Result<Vec<Shelf>, BoxError> {
    let mut shelves = Vec::new();
    for (name, notes) in NOTES {
        let shelf = Shelf::open(vectors, root, name).await?;
        for (number, note) in notes.iter().enumerate() {
            shelf.put(&format!("{name}-{number}"), note).await?;
        }
        shelves.push(shelf);
    }
    Ok(shelves)
}
