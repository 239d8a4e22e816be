//! Revocation lists along a path.

use pki::path::{PathOptions, PathReason, verify_path};
use pki::{RevocationList, oid};

use crate::forge::*;

const REASON: &[u8] = b"\x55\x1d\x15";
const CERTIFICATE_ISSUER: &[u8] = b"\x55\x1d\x1d";
const ISSUING_DISTRIBUTION_POINT: &[u8] = b"\x55\x1d\x1c";

fn judge_in(world: &World, crls: &[RevocationList]) -> Result<(), PathReason> {
    let [leaf, middle, root] = world.sign();
    let options = PathOptions { crls, ..plain() };
    verify_path(&leaf, &[middle], &[root], &options).map(|_| ()).map_err(|refusal| refusal.reason)
}

fn judge(crls: &[RevocationList]) -> Result<(), PathReason> {
    judge_in(&World::new(), crls)
}

fn list() -> ForgeList {
    ForgeList::new("middle", &MIDDLE)
}

#[test]
fn who_is_listed_by_its_issuer_is_revoked() {
    assert_eq!(judge(&[list().sign(&MIDDLE)]), Ok(()));
    assert_eq!(judge(&[list().revoke(&[0x41], &[]).sign(&MIDDLE)]), Ok(()));
    let revoking = list().revoke(&[0x41], &[]).revoke(&[0x42], &[(REASON, false, vec![0x0a, 1, 1])]).sign(&MIDDLE);
    assert_eq!(judge(std::slice::from_ref(&revoking)), Err(PathReason::Revoked));
    assert_eq!(revoking.revoked_count(), 2);
    assert_eq!(revoking.number(), Some(&[7][..]));
    assert!(revoking.extension(&oid::CRL_NUMBER).is_some());
    // An intermediate is asked of its own issuer's list, and of no other's.
    assert_eq!(judge(&[ForgeList::new("root", &ROOT).revoke(&[0x42], &[]).sign(&ROOT)]), Err(PathReason::Revoked));
    assert_eq!(judge(&[ForgeList::new("stranger", &LEAF).revoke(&[0x42], &[]).sign(&LEAF)]), Ok(()));
    // Taken off hold.
    assert_eq!(judge(&[list().revoke(&[0x42], &[(REASON, false, vec![0x0a, 1, 8])]).sign(&MIDDLE)]), Ok(()));
}

#[test]
fn a_list_that_cannot_be_used_is_refused_by_name() {
    let edited = |edit: fn(&mut ForgeList)| {
        let mut forge = list();
        edit(&mut forge);
        judge(&[forge.sign(&MIDDLE)])
    };
    assert_eq!(judge(&[list().sign(&ROOT)]), Err(PathReason::CrlSignatureInvalid));
    assert_eq!(edited(|l| l.next_update = tlv(0x17, &[b"251231235959Z"])), Err(PathReason::CrlExpired));
    assert_eq!(edited(|l| l.this_update = tlv(0x17, &[b"260101000001Z"])), Err(PathReason::CrlNotYetValid));
    assert_eq!(edited(|l| l.next_update = Vec::new()), Err(PathReason::CrlWithoutNextUpdate));
    assert_eq!(edited(|l| l.extensions.retain(|(oid, _, _)| *oid != CRL_NUMBER)), Err(PathReason::CrlNumberInvalid));
    assert_eq!(edited(|l| l.extensions[1].1 = true), Err(PathReason::CrlNumberInvalid));
    assert_eq!(
        edited(|l| l.extensions.push((ISSUING_DISTRIBUTION_POINT, true, sequence(&[])))),
        Err(PathReason::CrlUnknownCriticalExtension)
    );
    let indirect = list().revoke(&[0x41], &[(CERTIFICATE_ISSUER, true, sequence(&[]))]).sign(&MIDDLE);
    assert_eq!(judge(&[indirect]), Err(PathReason::CrlUnknownCriticalExtension));
    let without = World::edited(|w| w.middle.put(KEY_USAGE, true, tlv(3, &[&[2, 0x04]])));
    assert_eq!(judge_in(&without, &[list().sign(&MIDDLE)]), Err(PathReason::CrlIssuerWithoutCrlSign));
}

#[test]
fn a_stale_list_beside_a_fresh_one_does_no_harm() {
    let mut stale = list();
    stale.next_update = tlv(0x17, &[b"251231235959Z"]);
    let (stale, fresh) = (stale.sign(&MIDDLE), list().sign(&MIDDLE));
    assert_eq!(judge(&[stale.clone(), fresh.clone()]), Ok(()));
    assert_eq!(judge(&[fresh, stale.clone()]), Ok(()));
    let revoking = list().revoke(&[0x42], &[]).sign(&MIDDLE);
    assert_eq!(judge(&[stale, revoking]), Err(PathReason::Revoked));
}

#[test]
fn the_key_that_verified_a_list_is_remembered_and_no_other() {
    let signed = list().sign(&MIDDLE);
    let key = |spki: &[u8]| pki::PublicKey::parse(spki).unwrap();
    for _ in 0..2 {
        assert!(signed.verify(&key(&MIDDLE.spki)).is_ok());
        assert!(signed.verify(&key(&ROOT.spki)).is_err());
    }
}

#[test]
fn a_list_of_version_1_does_not_parse() {
    let algorithm = pki::SignatureAlgorithm::EcdsaSha256.identifier_der();
    let tbs = sequence(&[algorithm, &name("middle"), &tlv(0x17, &[b"251201000000Z"])]);
    let error = RevocationList::parse(&signed(&tbs, algorithm, &MIDDLE)).unwrap_err();
    assert_eq!(error.reason(), "VERSION_UNSUPPORTED");
}

#[test]
fn what_is_no_list_is_named() {
    let der = list().der(&MIDDLE);
    for octets in [&b""[..], b"-----BEGIN X509 CRL-----", &der[..der.len() - 1], &[&der[..], &[0]].concat()] {
        assert_eq!(RevocationList::parse(octets).unwrap_err().reason(), "MALFORMED_CRL");
    }
}
