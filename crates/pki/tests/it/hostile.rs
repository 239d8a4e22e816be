//! Whatever the octets: no panic, and nothing altered is believed.

use pki::path::verify_path;
use pki::{Certificate, CertificateRequest, PublicKey, RevocationList, pem};
use proptest::prelude::*;

use crate::forge::*;
use crate::requests;

/// Throws the octets at every parser.
fn parse_all(octets: &[u8]) {
    let _ = PublicKey::parse(octets);
    let _ = CertificateRequest::parse(octets);
    let _ = RevocationList::parse(octets).map(|list| format!("{list:?}"));
    if let Ok(certificate) = Certificate::parse(octets) {
        let _ = format!("{certificate:?} {}", certificate.sha256());
        let _ = verify_path(&certificate, std::slice::from_ref(&certificate), &[], &plain());
        let _ = verify_path(&certificate, &[], std::slice::from_ref(&certificate), &plain());
    }
}

/// A certificate with every extension, a request, a list and a key, all valid.
fn documents() -> Vec<Vec<u8>> {
    let mut world = World::new();
    world.middle.permit(true, &["example"]);
    world.middle.path_len(3);
    let period = sequence(&[&tlv(0x80, &[b"20250101000000Z"]), &tlv(0x81, &[b"20260101000000Z"])]);
    world.middle.put(b"\x55\x1d\x10", false, period);
    let list = ForgeList::new("middle", &MIDDLE).revoke(&[0x41], &[(b"\x55\x1d\x15", false, vec![0x0a, 1, 1])]);
    vec![
        world.leaf.der(&MIDDLE),
        world.middle.der(&ROOT),
        requests::request(&requests::asking(), &LEAF),
        list.der(&MIDDLE),
        LEAF.spki.clone(),
    ]
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for document in documents() {
        for length in 0..document.len() {
            parse_all(&document[..length]);
            assert!(Certificate::parse(&document[..length]).is_err());
        }
        for extra in [0, 0x30, 0xff] {
            let longer = [&document[..], &[extra]].concat();
            parse_all(&longer);
            assert!(Certificate::parse(&longer).is_err() && RevocationList::parse(&longer).is_err());
            assert!(CertificateRequest::parse(&longer).is_err() && PublicKey::parse(&longer).is_err());
        }
    }
}

#[test]
fn no_single_flipped_bit_is_believed() {
    let [leaf, middle, root] = World::new().sign();
    let (anchors, candidates) = ([root], [middle.clone()]);
    verify_path(&leaf, &candidates, &anchors, &plain()).unwrap();
    for at in 0..leaf.der().len() * 8 {
        let mut altered = leaf.der().to_vec();
        altered[at / 8] ^= 1 << (at % 8);
        if let Ok(altered) = Certificate::parse(&altered) {
            assert!(verify_path(&altered, &candidates, &anchors, &plain()).is_err(), "bit {at} of the leaf");
        }
    }
    for at in 0..middle.der().len() * 8 {
        let mut altered = middle.der().to_vec();
        altered[at / 8] ^= 1 << (at % 8);
        if let Ok(altered) = Certificate::parse(&altered) {
            assert!(verify_path(&leaf, &[altered], &anchors, &plain()).is_err(), "bit {at} of the CA");
        }
    }
    let request = requests::request(&requests::asking(), &LEAF);
    for at in 0..request.len() * 8 {
        let mut altered = request.clone();
        altered[at / 8] ^= 1 << (at % 8);
        assert!(CertificateRequest::parse(&altered).is_err(), "bit {at} of the request");
    }
}

#[test]
fn every_octet_of_every_document_may_be_anything() {
    for document in documents() {
        for at in 0..document.len() {
            for value in [0x00, 0x01, 0x30, 0x7f, 0x80, 0x84, 0x9f, 0xbf, 0xff] {
                let mut altered = document.clone();
                altered[at] = value;
                parse_all(&altered);
            }
        }
    }
}

proptest! {
    #[test]
    fn any_octets(octets in proptest::collection::vec(any::<u8>(), 0..512)) {
        parse_all(&octets);
    }

    #[test]
    fn any_damage(which in 0..5_usize, edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8), cut in any::<prop::sample::Index>()) {
        let mut document = documents().swap_remove(which);
        for (at, value) in edits {
            let at = at.index(document.len());
            document[at] = value;
        }
        parse_all(&document);
        let at = cut.index(document.len());
        document.remove(at);
        parse_all(&document);
    }

    #[test]
    fn any_text_as_pem(text in "(-----(BEGIN|END) [A-Z]{0,3}-----|[A-Za-z0-9+/=]{0,8}|\n| |\\PC){0,40}") {
        let _ = pem::blocks(&text);
        let _ = pem::certificates(&text);
        let _ = pki::UnixTime::parse(&text);
        let _ = pki::DnsName::from_any_case(&text);
    }

    #[test]
    fn pem_round_trips(octets in proptest::collection::vec(any::<u8>(), 0..300)) {
        let blocks = pem::blocks(&pem::encode("X Y", &octets)).unwrap();
        prop_assert_eq!(blocks.len(), 1);
        prop_assert_eq!(blocks[0].der(), &octets[..]);
    }
}
