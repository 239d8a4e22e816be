//! Whether a unit may be accepted: the one place where preconditions are judged, for every engine.

use crate::error::StoreError;
use crate::layer::Layer;
use crate::outside::{Movement, Tally};
use crate::unit::{Claim, Conflict, Key, Position, Rule, Unit};

/// Everything that was accepted so far, durable or not: layers, the newest first, then the index.
pub(crate) struct View<'a> {
    pub(crate) layers: [Option<&'a Layer>; 3],
    /// Where a key points that is in no layer.
    pub(crate) below: &'a dyn Fn(&Key) -> Result<Option<u64>, StoreError>,
}

impl View<'_> {
    fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().copied().flatten()
    }

    fn position(&self, key: &Key) -> Result<Option<Position>, StoreError> {
        let found = self.layers().find_map(|layer| layer.pointers.keys.get(key).copied());
        let found = if found.is_some() { found } else { (self.below)(key)? };
        Ok(found.map(Position::from_u64))
    }

    fn tally(&self, lot: &Key) -> Option<Tally> {
        self.layers().find_map(|layer| layer.tallies.get(lot).copied())
    }

    fn is_open(&self, position: Position) -> bool {
        let newest = self.layers().find_map(|layer| layer.intents.get(&position.as_u64()));
        newest.is_some_and(Option::is_some)
    }

    /// The tallies that the unit results in, or what stands against it.
    pub(crate) fn judge(&self, unit: &Unit) -> Result<Result<Vec<(Key, Tally)>, Conflict>, StoreError> {
        for claim in &unit.claims {
            if let Err(conflict) = self.judge_claim(claim)? {
                return Ok(Err(conflict));
            }
        }
        if let Some(position) = unit.completes
            && !self.is_open(position)
        {
            return Ok(Err(Conflict::NotOpen { position }));
        }
        Ok(self.judge_moves(unit))
    }

    fn judge_claim(&self, claim: &Claim) -> Result<Result<(), Conflict>, StoreError> {
        let key = claim.key;
        Ok(match claim.rule {
            Rule::Any => Ok(()),
            Rule::Absent => match self.position(&key)? {
                Some(at) => Err(Conflict::KeyTaken { key, at }),
                None => Ok(()),
            },
            Rule::At(expected) | Rule::Unchanged(expected) => match self.position(&key)? {
                Some(at) if at == expected => Ok(()),
                at => Err(Conflict::KeyMoved { key, at }),
            },
        })
    }

    fn judge_moves(&self, unit: &Unit) -> Result<Vec<(Key, Tally)>, Conflict> {
        let mut moved: Vec<(Key, Tally)> = Vec::with_capacity(unit.moves.len());
        for step in &unit.moves {
            let lot = step.lot;
            let at = moved.iter().position(|(own, _)| *own == lot);
            let before = match at.and_then(|at| moved.get(at)) {
                Some((_, tally)) => Some(*tally),
                None => self.tally(&lot),
            };
            let after = match before {
                Some(tally) => tally.apply(step.movement).map_err(|refusal| Conflict::Overdrawn { lot, refusal })?,
                None => match step.movement {
                    Movement::Open(received) => Tally::open(received),
                    Movement::Reserve(_)
                    | Movement::Release(_)
                    | Movement::HandOver(_)
                    | Movement::Provision
                    | Movement::UnProvision
                    | Movement::Write
                    | Movement::Rework
                    | Movement::ScrapBlank(_)
                    | Movement::ScrapProvisioned
                    | Movement::ScrapWritten
                    | Movement::ReinstateBlank(_)
                    | Movement::ReinstateProvisioned
                    | Movement::Restate(_)
                    | Movement::Close => return Err(Conflict::NoSuchLot { lot }),
                },
            };
            match at.and_then(|at| moved.get_mut(at)) {
                Some((_, tally)) => *tally = after,
                None => moved.push((lot, after)),
            }
        }
        Ok(moved)
    }
}
