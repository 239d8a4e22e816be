//! What the index alone does not hold, as of a position that the index has durably reached.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use prost::Message;

use crate::body::LotTally;
use crate::error::StoreError;
use crate::files;
use crate::frame::StoreId;
use crate::layer::Layer;
use crate::outside::{Sha256, Tally};
use crate::recovery::End;
use crate::unit::Key;

pub(crate) const FILE: &str = "checkpoint";
const MAGIC: [u8; 8] = *b"CSCHECK1";

/// A checkpoint: replay starts at its end.
#[derive(Clone, Debug)]
pub(crate) struct Checkpoint {
    pub(crate) end: End,
    pub(crate) tallies: HashMap<Key, Tally>,
    pub(crate) open: BTreeMap<u64, Sha256>,
}

/// A checkpoint as found; all but `Usable` mean a rebuild from the journal.
pub(crate) enum Found {
    Usable(Box<Checkpoint>),
    Missing,
    Damaged,
}

#[derive(Clone, PartialEq, Message)]
struct Written {
    #[prost(bytes = "vec", tag = "1")]
    store: Vec<u8>,
    #[prost(uint64, tag = "2")]
    position: u64,
    #[prost(bytes = "vec", tag = "3")]
    chain: Vec<u8>,
    #[prost(uint64, optional, tag = "4")]
    last: Option<u64>,
    #[prost(message, repeated, tag = "5")]
    tallies: Vec<LotTally>,
    #[prost(message, repeated, tag = "6")]
    open: Vec<OpenIntent>,
}

#[derive(Clone, PartialEq, Message)]
struct OpenIntent {
    #[prost(uint64, tag = "1")]
    position: u64,
    #[prost(bytes = "vec", tag = "2")]
    digest: Vec<u8>,
}

impl Checkpoint {
    /// The state at the durable end; `settled` is the lowest layer.
    pub(crate) fn of(end: End, settled: &Layer) -> Self {
        let open = settled.intents.iter().filter_map(|(position, digest)| digest.map(|digest| (*position, digest)));
        Self { end, tallies: settled.tallies.clone(), open: open.collect() }
    }

    /// The lowest layer as it was.
    pub(crate) fn into_layer(self) -> Layer {
        let intents = self.open.into_iter().map(|(position, digest)| (position, Some(digest))).collect();
        Layer { tallies: self.tallies, intents, ..Layer::default() }
    }

    pub(crate) fn write(&self, dir: &Path, store: &StoreId) -> Result<(), StoreError> {
        let open = self.open.iter();
        let written = Written {
            store: store.to_vec(),
            position: self.end.position,
            chain: self.end.chain.to_vec(),
            last: self.end.last,
            tallies: self.tallies.iter().map(|(lot, tally)| LotTally::new(lot, tally)).collect(),
            open: open.map(|(at, digest)| OpenIntent { position: *at, digest: digest.as_bytes().to_vec() }).collect(),
        };
        let content = written.encode_to_vec();
        let mut file = Vec::with_capacity(content.len() + 12);
        file.extend_from_slice(&MAGIC);
        file.extend_from_slice(&crc32c::crc32c(&content).to_le_bytes());
        file.extend_from_slice(&content);
        files::replace(dir, FILE, &file)
    }

    pub(crate) fn read(dir: &Path, store: &StoreId) -> Result<Found, StoreError> {
        let Some(file) = files::read_if_there(&dir.join(FILE))? else { return Ok(Found::Missing) };
        Ok(match Self::parse(&file, store) {
            Some(checkpoint) => Found::Usable(Box::new(checkpoint)),
            None => Found::Damaged,
        })
    }

    fn parse(file: &[u8], store: &StoreId) -> Option<Self> {
        let (magic, rest) = file.split_first_chunk::<8>()?;
        let (sum, content) = rest.split_first_chunk::<4>()?;
        if *magic != MAGIC || u32::from_le_bytes(*sum) != crc32c::crc32c(content) {
            return None;
        }
        let written = Written::decode(content).ok()?;
        if written.store != store {
            return None;
        }
        let chain = written.chain.try_into().ok()?;
        let open = written.open.iter().map(|open| Some((open.position, Sha256::from_slice(&open.digest)?)));
        Some(Self {
            end: End { position: written.position, chain, last: written.last },
            tallies: written.tallies.iter().map(LotTally::parse).collect::<Result<_, _>>().ok()?,
            open: open.collect::<Option<_>>()?,
        })
    }
}
