//! Where random octets come from. A seam, because a simulated world must be able to repeat itself.

use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;

/// The source of randomness failed; nothing may be issued without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("reading random octets failed")]
pub struct EntropyRefusal;

impl EntropyRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "ENTROPY_UNAVAILABLE"
    }
}

/// A source of random octets.
///
/// Contract: a successful call has filled the whole buffer; calls from several threads never see
/// the same octets.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// When the source cannot deliver; the buffer's content is then unspecified.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyRefusal>;
}

/// The operating system's generator, by way of aws-lc. The only source for production.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyRefusal> {
        aws_lc_rs::rand::fill(buffer).map_err(|_| EntropyRefusal)
    }
}

/// Repeatable octets from a seed: SHA-256 over the seed and a counter.
///
/// For simulations and tests. Never for production: whoever knows the seed knows every octet.
#[derive(Debug)]
pub struct SeededEntropy {
    seed: u64,
    counter: AtomicU64,
}

impl SeededEntropy {
    /// The sequence that belongs to `seed`, from its start.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, counter: AtomicU64::new(0) }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), EntropyRefusal> {
        for chunk in buffer.chunks_mut(digest::SHA256_OUTPUT_LEN) {
            let counter = self.counter.fetch_add(1, Ordering::Relaxed);
            let mut context = digest::Context::new(&digest::SHA256);
            context.update(&self.seed.to_be_bytes());
            context.update(&counter.to_be_bytes());
            for (octet, random) in chunk.iter_mut().zip(context.finish().as_ref()) {
                *octet = *random;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_seed_repeats_itself_and_another_seed_differs() {
        let read = |entropy: &SeededEntropy| {
            let mut octets = [0_u8; 50];
            entropy.fill(&mut octets).unwrap();
            octets
        };
        let first = SeededEntropy::new(7);
        let start = read(&first);
        assert_eq!(start, read(&SeededEntropy::new(7)));
        assert_ne!(start, read(&first));
        assert_ne!(start, read(&SeededEntropy::new(8)));
    }

    #[test]
    fn the_system_does_not_repeat_itself() {
        let (mut one, mut two) = ([0_u8; 32], [0_u8; 32]);
        SystemEntropy.fill(&mut one).unwrap();
        SystemEntropy.fill(&mut two).unwrap();
        assert_ne!(one, two);
    }
}
