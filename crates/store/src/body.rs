//! What a frame carries: the unit as written, readable without knowing its payload.

use prost::Message;

use crate::error::StoreError;
use crate::outside::{Sha256, Tally, TallyFields};
use crate::record::Record;
use crate::seam::{MAX_CLAIMS, MAX_MOVES, MAX_UNIT_BYTES};
use crate::unit::{Entry, Key, Position, Rule, Unit};

/// A unit as written. Its effects stand in it in full (keys, resulting tallies, intent), so that everything derived can be
/// rebuilt from the journal alone.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Body {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(bytes = "vec", tag = "2")]
    payload: Vec<u8>,
    /// Keys that point here from now on, 16 octets each.
    #[prost(bytes = "vec", tag = "3")]
    keys: Vec<u8>,
    /// Keys that were relied on and stay where they were.
    #[prost(bytes = "vec", tag = "4")]
    relied_on: Vec<u8>,
    #[prost(message, repeated, tag = "5")]
    tallies: Vec<LotTally>,
    #[prost(bytes = "vec", optional, tag = "6")]
    intent: Option<Vec<u8>>,
    #[prost(uint64, optional, tag = "7")]
    completes: Option<u64>,
    #[prost(message, optional, tag = "8")]
    entry: Option<Listed>,
}

/// The tally of a lot after the unit, or at a checkpoint; the fields of `mfg::tally::TallyFields`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct LotTally {
    #[prost(bytes = "vec", tag = "1")]
    lot: Vec<u8>,
    #[prost(uint64, tag = "2")]
    received: u64,
    #[prost(uint64, tag = "3")]
    provisioned: u64,
    #[prost(uint64, tag = "4")]
    handed_over: u64,
    #[prost(uint64, tag = "5")]
    reserved: u64,
    #[prost(uint64, tag = "6")]
    scrapped: u64,
    #[prost(uint64, tag = "7")]
    closed: u64,
    #[prost(uint64, tag = "8")]
    written: u64,
    #[prost(uint64, tag = "9")]
    scrapped_devices: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Listed {
    #[prost(string, tag = "1")]
    collection: String,
    #[prost(string, tag = "2")]
    name: String,
}

/// A body that decodes but says what no unit can say.
#[derive(Debug)]
pub(crate) struct Malformed(pub(crate) &'static str);

impl Body {
    /// The body of an accepted unit, with the tallies it results in.
    pub(crate) fn new(unit: Unit, tallies: &[(Key, Tally)]) -> Self {
        let mut keys = Vec::with_capacity(unit.claims.len() * 16);
        let mut relied_on = Vec::new();
        for claim in &unit.claims {
            match claim.rule {
                Rule::Absent | Rule::At(_) | Rule::Any => keys.extend_from_slice(claim.key.as_bytes()),
                Rule::Unchanged(_) => relied_on.extend_from_slice(claim.key.as_bytes()),
            }
        }
        Self {
            kind: u32::from(unit.kind),
            payload: unit.payload,
            keys,
            relied_on,
            tallies: tallies.iter().map(|(lot, tally)| LotTally::new(lot, tally)).collect(),
            intent: unit.intent.map(|digest| digest.as_bytes().to_vec()),
            completes: unit.completes.map(Position::as_u64),
            entry: unit
                .entry
                .map(|entry| Listed { collection: entry.collection().to_owned(), name: entry.name().to_owned() }),
        }
    }

    pub(crate) fn decode_from(octets: &[u8]) -> Result<Self, Malformed> {
        Self::decode(octets).map_err(|_| Malformed("its body does not decode"))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        keys_in(&self.keys)
    }

    pub(crate) fn carries(&self, key: &Key) -> bool {
        keys_in(&self.keys).any(|own| own == *key)
    }

    pub(crate) fn tallies(&self) -> Result<Vec<(Key, Tally)>, Malformed> {
        self.tallies.iter().map(LotTally::parse).collect()
    }

    pub(crate) fn opens(&self) -> Result<Option<Sha256>, Malformed> {
        let digest = |octets: &Vec<u8>| Sha256::from_slice(octets).ok_or(Malformed("its intent is not a digest"));
        self.intent.as_ref().map(digest).transpose()
    }

    pub(crate) fn closes(&self) -> Option<u64> {
        self.completes
    }

    pub(crate) fn entry(&self) -> Option<(&str, &str)> {
        self.entry.as_ref().map(|listed| (listed.collection.as_str(), listed.name.as_str()))
    }

    pub(crate) fn into_record(self, position: Position, chain: [u8; 32]) -> Result<Record, Malformed> {
        let tallies = self.tallies()?;
        let intent = self.opens()?;
        let entry = match &self.entry {
            Some(listed) => {
                Some(Entry::new(&listed.collection, &listed.name).map_err(|_| Malformed("its entry is invalid"))?)
            }
            None => None,
        };
        Ok(Record {
            position,
            chain: Sha256::from_bytes(chain),
            kind: u16::try_from(self.kind).map_err(|_| Malformed("its kind is out of range"))?,
            keys: keys_in(&self.keys).collect(),
            relied_on: keys_in(&self.relied_on).collect(),
            tallies,
            intent,
            completes: self.completes.map(Position::from_u64),
            entry,
            payload: self.payload,
        })
    }
}

impl LotTally {
    pub(crate) fn new(lot: &Key, tally: &Tally) -> Self {
        let fields = TallyFields::from(*tally);
        Self {
            lot: lot.as_bytes().to_vec(),
            received: fields.received,
            provisioned: fields.provisioned,
            handed_over: fields.handed_over,
            reserved: fields.reserved,
            scrapped: fields.scrapped,
            closed: fields.closed,
            written: fields.written,
            scrapped_devices: fields.scrapped_devices,
        }
    }

    pub(crate) fn parse(&self) -> Result<(Key, Tally), Malformed> {
        let lot = self.lot.as_slice().try_into().map_err(|_| Malformed("a lot is not a key"))?;
        let fields = TallyFields {
            received: self.received,
            provisioned: self.provisioned,
            handed_over: self.handed_over,
            reserved: self.reserved,
            scrapped: self.scrapped,
            closed: self.closed,
            written: self.written,
            scrapped_devices: self.scrapped_devices,
        };
        let tally = Tally::try_from(fields).map_err(|_| Malformed("a tally breaks the law of conservation"))?;
        Ok((Key::from_bytes(lot), tally))
    }
}

fn keys_in(octets: &[u8]) -> impl Iterator<Item = Key> {
    octets.chunks_exact(16).filter_map(|key| key.try_into().ok().map(Key::from_bytes))
}

/// Checks a unit against its bounds, before anything is decided about it.
pub(crate) fn check_bounds(unit: &Unit) -> Result<(), StoreError> {
    let bounds = [
        ("claims", unit.claims.len(), MAX_CLAIMS),
        ("moves", unit.moves.len(), MAX_MOVES),
        // What is not payload stays far below the rest of the frame's bound.
        ("payload octets", unit.payload.len(), MAX_UNIT_BYTES - (64 << 10)),
    ];
    for (what, found, limit) in bounds {
        if found > limit {
            return Err(StoreError::UnitTooLarge { what, limit });
        }
    }
    Ok(())
}
