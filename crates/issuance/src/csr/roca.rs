//! The fingerprint of RSA keys made by a broken library (CVE-2017-15361, "ROCA").
//!
//! Its primes are k * M + (65537^a mod M), M a product of small primes. So modulo each of those primes the modulus
//! is a power of 65537. A sound key passes all of these tests by chance about once in 2^27.

/// The small primes whose subgroup of powers of 65537 is not the whole group, and so tells something.
const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

pub(super) fn has_fingerprint(modulus: &[u8]) -> bool {
    PRIMES.into_iter().all(|prime| is_power(remainder(modulus, prime), prime))
}

/// A big-endian number modulo a small one.
pub(super) fn remainder(number: &[u8], divisor: u32) -> u32 {
    number.iter().fold(0, |rest, octet| (rest * 256 + u32::from(*octet)) % divisor)
}

/// Whether `residue` is a power of 65537 modulo `prime`.
fn is_power(residue: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == residue {
            return true;
        }
        power = power * (65_537 % prime) % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn powers_of_65537_have_the_fingerprint_and_their_successors_do_not() {
        // 65537^2 = 0x1_0002_0001: a power modulo every prime. Plus one, it is not.
        assert!(has_fingerprint(&[1, 0, 2, 0, 1]));
        assert!(!has_fingerprint(&[1, 0, 2, 0, 2]));
    }
}
