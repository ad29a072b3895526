//! The notes that the agent looks things up in.

use crate::{chroma::Collection, embedder::Embedder, stack::Stacks};
use backstay::BoxError;

pub(crate) const QUESTION: &str = "What keeps the mast of a sailing boat from falling forward?";

const NOTES: [(&str, &str); 8] = [
    (
        "backstay",
        "The backstay runs from the masthead to the stern. It keeps the mast from falling forward when the \
         sails drive the boat, and tightening it bends the mast and flattens the mainsail.",
    ),
    (
        "forestay",
        "The forestay runs from the mast to the bow. It keeps the mast from falling backward, and the jib is \
         set on it.",
    ),
    (
        "shrouds",
        "Shrouds run from the mast to both sides of the hull and keep it from falling sideways. Spreaders \
         widen their angle.",
    ),
    (
        "running-backstays",
        "Running backstays come in pairs, to port and to starboard. On each tack the windward one is \
         tightened and the leeward one is let off, so that the boom can swing.",
    ),
    (
        "turnbuckle",
        "A turnbuckle sets the tension of a stay. Secure it with a split pin, or vibration will unscrew it.",
    ),
    (
        "halyard",
        "A halyard hoists a sail. It leads from the head of the sail over a sheave at the masthead down to a \
         cleat.",
    ),
    (
        "sheet",
        "A sheet trims a sail: it pulls the clew in or lets it out as the wind shifts.",
    ),
    (
        "reefing",
        "Reefing makes a sail smaller before the wind is too strong. Reef early: it is easier to shake out a \
         reef than to put one in.",
    ),
];

/// Opens the collection, and fills it if there is nothing in it.
pub(crate) async fn prepare(
    stacks: &Stacks,
    embedder: &Embedder,
    root: &str,
    name: &str,
) -> Result<Collection, BoxError> {
    let collection = Collection::open(&stacks.vectors, root, name).await?;
    if collection.is_empty(&stacks.vectors).await? {
        let texts = NOTES.map(|(_, text)| text);
        let vectors = embedder.embed(&stacks.embeddings, &texts).await?;
        collection.add(&stacks.vectors, &NOTES, &vectors).await?;
    }
    Ok(collection)
}
