//! The extensions that Countersign's certificates carry, each as RFC 5280 and the design want it.

use mfg::terms::{NameConstraintsProfile, Period};
use pki::{DnsName, ObjectIdentifier, PublicKey, Sha256, UnixTime, oid};
use rcgen::CustomExtension;

use crate::encode::{object_identifier, positive_integer, tlv};

/// An extension that a verifier may skip when it does not know it.
pub(crate) fn plain(oid: ObjectIdentifier, value: Vec<u8>) -> CustomExtension {
    let arcs: Vec<u64> = oid.arcs().map(u64::from).collect();
    CustomExtension::from_oid_content(&arcs, value)
}

/// The key identifier of a key: the leftmost 160 bits of SHA-256 of the BIT STRING's octets (RFC 7093 section 2,
/// method 1).
pub(crate) fn key_id(key: &PublicKey) -> Vec<u8> {
    let digest = Sha256::of(key.key_octets());
    digest.as_bytes().iter().take(20).copied().collect()
}

/// subjectKeyIdentifier (RFC 5280 section 4.2.1.2): never critical.
pub(crate) fn subject_key_id(key: &PublicKey) -> CustomExtension {
    plain(oid::SUBJECT_KEY_ID, subject_key_id_value(key))
}

/// The content of that extension.
pub(crate) fn subject_key_id_value(key: &PublicKey) -> Vec<u8> {
    tlv(0x04, &[&key_id(key)])
}

/// authorityKeyIdentifier (section 4.2.1.1): keyIdentifier alone, never critical.
pub(crate) fn authority_key_id(issuer_key_id: &[u8]) -> CustomExtension {
    plain(oid::AUTHORITY_KEY_ID, authority_key_id_value(issuer_key_id))
}

/// The content of that extension.
pub(crate) fn authority_key_id_value(issuer_key_id: &[u8]) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x80, &[issuer_key_id])])
}

/// nameConstraints (section 4.2.1.10) with one permitted dNSName.
pub(crate) fn permitted_subtree(subtree: &DnsName, criticality: NameConstraintsProfile) -> CustomExtension {
    let base = tlv(0x82, &[subtree.as_str().as_bytes()]);
    let value = tlv(0x30, &[&tlv(0xa0, &[&tlv(0x30, &[&base])])]);
    let mut extension = plain(oid::NAME_CONSTRAINTS, value);
    extension.set_criticality(match criticality {
        // "Conforming CAs MUST mark this extension as critical."
        NameConstraintsProfile::Critical => true,
        NameConstraintsProfile::Compatible => false,
    });
    extension
}

/// privateKeyUsagePeriod (RFC 3280 section 4.2.1.4): the signing window.
pub(crate) fn signing_window(window: &Period) -> CustomExtension {
    let value = tlv(
        0x30,
        &[
            &tlv(0x80, &[generalized_time(window.not_before.0).as_bytes()]),
            &tlv(0x81, &[generalized_time(window.not_after.0).as_bytes()]),
        ],
    );
    plain(oid::PRIVATE_KEY_USAGE_PERIOD, value)
}

/// certificatePolicies (RFC 5280 section 4.2.1.4): one policy without qualifiers, not critical (pyca and webpki
/// refuse a critical one).
pub(crate) fn policy(policy: ObjectIdentifier) -> CustomExtension {
    let information = tlv(0x30, &[&object_identifier(policy)]);
    plain(oid::CERTIFICATE_POLICIES, tlv(0x30, &[&information]))
}

/// `Generation ::= INTEGER`.
pub(crate) fn generation(oid: ObjectIdentifier, generation: mfg::Generation) -> CustomExtension {
    plain(oid, generation_value(generation))
}

/// The content of that extension.
pub(crate) fn generation_value(generation: mfg::Generation) -> Vec<u8> {
    positive_integer(&generation.get().to_be_bytes())
}

fn generalized_time(time: UnixTime) -> String {
    // RFC 3339 is the same digits with punctuation: 2026-11-24T12:00:00Z.
    time.to_string().chars().filter(|letter| letter.is_ascii_digit() || *letter == 'Z').collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_generation_is_a_minimal_positive_integer() {
        let oid = ObjectIdentifier::new_unwrap("1.2.3");
        let value = |number| generation(oid, mfg::Generation::of(number).unwrap()).content().to_vec();
        assert_eq!(value(1), [2, 1, 1]);
        assert_eq!(value(127), [2, 1, 127]);
        assert_eq!(value(128), [2, 2, 0, 128]);
        assert_eq!(value(256), [2, 2, 1, 0]);
        assert_eq!(value(0x7fff_ffff), [2, 4, 0x7f, 0xff, 0xff, 0xff]);
    }

    #[test]
    fn times_before_and_after_2050_have_four_digits_of_year() {
        assert_eq!(generalized_time(UnixTime::new(0)), "19700101000000Z");
        assert_eq!(generalized_time(UnixTime::NEVER), "99991231235959Z");
    }
}
