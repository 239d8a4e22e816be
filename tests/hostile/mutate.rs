//! Octets with a few changes.

use proptest::{prelude::Rng as _, test_runner::TestRng};

/// A few changes of the kinds that readers stumble over.
pub(crate) fn mutate(seed: &[u8], random: &mut TestRng) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..=random.next_u32() % 4 {
        let below = |random: &mut TestRng, bound: usize| random.next_u32() as usize % bound.max(1);
        let at = below(random, octets.len());
        match random.next_u32() % 7 {
            0 => octets.truncate(at),
            1 => octets.push(random.next_u32() as u8),
            2 => octets.insert(at.min(octets.len()), [0, 0xff, 0x80, 0x30][below(random, 4)]),
            3 => {
                let to = at + below(random, octets.len() - at.min(octets.len()) + 1);
                let part = octets.get(at..to.min(octets.len())).unwrap_or_default().to_vec();
                octets.splice(at..at, part);
            }
            4 if !octets.is_empty() => octets[at] = octets[at].wrapping_add(1),
            5 if !octets.is_empty() => octets[at] = [0, 1, 0x7f, 0x80, 0xff][below(random, 5)],
            _ if !octets.is_empty() => octets[at] ^= 1 << (random.next_u32() % 8),
            _ => {}
        }
    }
    octets
}
