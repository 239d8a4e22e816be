//! Maps by key. Each certificate passes through them a few dozen times, and the standard library's hash is made for input that nobody
//! has hashed before.
//!
//! A key is SHA-256 already, but callers choose what is hashed and could try until many keys fall into one place. So the hash starts
//! from a secret of the map's own; what it does with a key is two multiplications.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

use crate::unit::Key;

/// A map by key.
pub(crate) type KeyMap<V> = HashMap<Key, V, KeyHash>;

/// The secret of one map.
#[derive(Clone, Debug)]
pub(crate) struct KeyHash(u64);

impl Default for KeyHash {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0_u8))
    }
}

impl BuildHasher for KeyHash {
    type Hasher = KeyHasher;

    fn build_hasher(&self) -> KeyHasher {
        KeyHasher(self.0)
    }
}

/// Folds eight octets at a time into the secret.
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write(&mut self, octets: &[u8]) {
        let (words, rest) = octets.as_chunks();
        for word in words {
            self.fold(u64::from_le_bytes(*word));
        }
        for octet in rest {
            self.fold(u64::from(*octet));
        }
    }

    fn write_usize(&mut self, _length: usize) {
        // All keys have one length.
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl KeyHasher {
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.0 ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835);
        let (low, high) = (product as u64, (product >> 64) as u64);
        self.0 = low.rotate_left(32) ^ high;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_spread_and_every_map_spreads_them_in_its_own_way() {
        let (one, other) = (KeyHash::default(), KeyHash::default());
        let keys: Vec<Key> = (0..4000_u32).map(|number| Key::new("map", &[&number.to_be_bytes()])).collect();
        let like = |octet: u8| {
            let mut octets = [1; 16];
            octets[15] = octet;
            Key::from_bytes(octets)
        };
        let spread = |map: &KeyHash, keys: &[Key], bits: u32| {
            keys.iter().map(|key| map.hash_one(key) >> (64 - bits)).collect::<BTreeSet<_>>().len()
        };
        // 4000 balls into 4096 places fill about 2550 of them.
        assert!((2400..2700).contains(&spread(&one, &keys, 12)));
        assert!((2400..2700).contains(&keys.iter().map(|key| one.hash_one(key) % 4096).collect::<BTreeSet<_>>().len()));
        let alike: Vec<Key> = (0..=255).map(like).collect();
        assert_eq!(spread(&one, &alike, 64), 256);
        assert_ne!(one.hash_one(like(7)), other.hash_one(like(7)));
    }
}
