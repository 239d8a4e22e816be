//! What units change, as layers: a group that fails is undone by dropping its layer.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

use crate::body::{Body, Malformed};
use crate::key_map::KeyMap;
use crate::outside::{Sha256, Tally};
use crate::unit::Key;

/// A collection and a name in it.
pub(crate) type Listing = (String, String);

/// What the index holds: where keys and listed names point.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pointers {
    pub(crate) keys: KeyMap<u64>,
    pub(crate) entries: BTreeMap<Listing, u64>,
}

impl Pointers {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.keys.len() + self.entries.len()
    }

    /// Lays `newer` over this.
    pub(crate) fn merge(&mut self, newer: Self) {
        self.keys.extend(newer.keys);
        self.entries.extend(newer.entries);
    }

    /// At most `limit` names of `collection` after `after`, in order.
    pub(crate) fn names(&self, collection: &str, after: Option<&str>, limit: usize) -> Vec<(String, u64)> {
        let from = match after {
            Some(name) => Bound::Excluded((collection.to_owned(), name.to_owned())),
            None => Bound::Included((collection.to_owned(), String::new())),
        };
        let within = self.entries.range((from, Bound::Unbounded)).take_while(|((own, _), _)| own == collection);
        within.take(limit).map(|((_, name), position)| (name.clone(), *position)).collect()
    }
}

/// The effects of some units, over what was before them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layer {
    pub(crate) pointers: Pointers,
    pub(crate) tallies: HashMap<Key, Tally>,
    /// Units that were opened (with the digest that may be signed) or closed (`None`).
    pub(crate) intents: BTreeMap<u64, Option<Sha256>>,
}

impl Layer {
    /// Adds the effects of the unit at `position`.
    pub(crate) fn add(&mut self, position: u64, body: &Body) -> Result<(), Malformed> {
        self.tallies.extend(body.tallies()?);
        if let Some(completed) = body.closes() {
            self.intents.insert(completed, None);
        }
        if let Some(digest) = body.opens()? {
            self.intents.insert(position, Some(digest));
        }
        self.pointers.keys.extend(body.keys().map(|key| (key, position)));
        if let Some((collection, name)) = body.entry() {
            self.pointers.entries.insert((collection.to_owned(), name.to_owned()), position);
        }
        Ok(())
    }

    /// Lays `newer` over this layer, which is the lowest one: what is closed is forgotten.
    pub(crate) fn absorb(&mut self, newer: Self) {
        self.pointers.merge(newer.pointers);
        self.tallies.extend(newer.tallies);
        for (position, opened) in newer.intents {
            match opened {
                Some(digest) => self.intents.insert(position, Some(digest)),
                None => self.intents.remove(&position),
            };
        }
    }

    /// In the lowest layer, what is closed is no longer there.
    pub(crate) fn forget_closed(&mut self) {
        self.intents.retain(|_, opened| opened.is_some());
    }
}
