//! A filter in memory: most keys that are not there need no look at the disk.
//!
//! A Bloom filter in blocks of one cache line, so that a look-up misses the cache once. Keys are hashes already: their first octets, which
//! decide the order on the disk, choose the block, their last octets the bits in it. Who inserts keys in order, as a run is written, goes
//! through the blocks in order and misses the cache once a block instead of once a key.

use std::io::{self, Read, Write};

use crate::unit::Key;

/// Words of 64 bits in a block: one cache line.
const WORDS: usize = 8;
/// Octets of a block.
const BLOCK: usize = WORDS * 8;
/// Bits for each key: with 6 probes about one absent key in 80 passes.
const BITS_A_KEY: u64 = 10;
const PROBES: u32 = 6;
/// Bits that choose one of a block's 512.
const PROBE_BITS: u32 = 9;

/// Says of a key that it is absent for certain, or may be there.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    blocks: Vec<[u64; WORDS]>,
}

impl Filter {
    /// An empty filter for this many keys.
    pub(crate) fn sized_for(keys: u64) -> Self {
        let blocks = keys.saturating_mul(BITS_A_KEY).div_ceil(WORDS as u64 * 64).max(1);
        Self { blocks: vec![[0; WORDS]; usize::try_from(blocks).unwrap_or(1)] }
    }

    pub(crate) fn insert(&mut self, key: &Key) {
        let (at, mut probes) = self.place(key);
        if let Some(block) = self.blocks.get_mut(at) {
            for _ in 0..PROBES {
                let (word, bit) = next(&mut probes);
                if let Some(word) = block.get_mut(word) {
                    *word |= bit;
                }
            }
        }
    }

    /// False: it was never inserted.
    pub(crate) fn may_hold(&self, key: &Key) -> bool {
        let (at, mut probes) = self.place(key);
        let Some(block) = self.blocks.get(at) else { return true };
        (0..PROBES).all(|_| {
            let (word, bit) = next(&mut probes);
            block.get(word).is_none_or(|word| word & bit != 0)
        })
    }

    /// The block of a key, and the bits that choose its probes.
    fn place(&self, key: &Key) -> (usize, u64) {
        let octets = key.as_bytes();
        let order = octets.first_chunk().map_or(0, |first| u32::from_be_bytes(*first));
        let at = (u64::from(order) * self.blocks.len() as u64) >> u32::BITS;
        (usize::try_from(at).unwrap_or(0), octets.last_chunk().map_or(0, |last| u64::from_be_bytes(*last)))
    }

    /// How many octets it takes when it is written.
    pub(crate) fn octets(&self) -> u64 {
        (self.blocks.len() * BLOCK) as u64
    }

    /// Writes it block by block: a filter is large, and one copy of it is enough.
    pub(crate) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        self.blocks.iter().flatten().try_for_each(|word| to.write_all(&word.to_le_bytes()))
    }

    /// Reads what was written as so many octets.
    ///
    /// # Errors
    /// `InvalidData` when they are no whole number of blocks, what reading says.
    pub(crate) fn read(octets: u64, from: &mut impl Read) -> io::Result<Self> {
        let octets = usize::try_from(octets).map_err(io::Error::other)?;
        if octets == 0 || !octets.is_multiple_of(BLOCK) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a filter is no whole number of blocks"));
        }
        let mut blocks = vec![[0; WORDS]; octets / BLOCK];
        for word in blocks.iter_mut().flatten() {
            let mut octets = [0; 8];
            from.read_exact(&mut octets)?;
            *word = u64::from_le_bytes(octets);
        }
        Ok(Self { blocks })
    }
}

fn next(probes: &mut u64) -> (usize, u64) {
    let bit = *probes & ((1 << PROBE_BITS) - 1);
    *probes >>= PROBE_BITS;
    (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn key(number: u32) -> Key {
        Key::new("filter", &[&number.to_be_bytes()])
    }

    #[test]
    fn what_was_inserted_passes_and_little_else_does() {
        let mut filter = Filter::sized_for(20_000);
        (0..20_000).for_each(|number| filter.insert(&key(number)));
        assert!((0..20_000).all(|number| filter.may_hold(&key(number))));
        let passing = (20_000..120_000).filter(|number| filter.may_hold(&key(*number))).count();
        assert!(passing < 2_500, "{passing} of 100000 absent keys pass");
        let mut octets = Vec::new();
        filter.write(&mut octets).unwrap();
        assert_eq!(octets.len() as u64, filter.octets());
        assert_eq!(Filter::read(filter.octets(), &mut octets.as_slice()).unwrap(), filter);
    }

    #[test]
    fn keys_in_order_go_through_the_blocks_in_order() {
        let filter = Filter::sized_for(20_000);
        let mut keys: Vec<Key> = (0..20_000).map(key).collect();
        keys.sort_unstable();
        let places: Vec<usize> = keys.iter().map(|key| filter.place(key).0).collect();
        assert!(places.is_sorted());
        assert_eq!(places.last(), Some(&(filter.blocks.len() - 1)));
    }

    #[test]
    fn octets_that_are_no_filter_are_refused() {
        assert!(Filter::read(128, &mut [0; 127].as_slice()).is_err());
        for length in [0, 1, 63, 65, 72] {
            assert!(Filter::read(length, &mut io::repeat(0)).is_err(), "{length}");
        }
    }
}
