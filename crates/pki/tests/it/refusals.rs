//! Every rule broken once, and the name under which it is refused.

use std::collections::HashSet;

use pki::path::{PathOptions, PathReason, PathRefusal, Purpose, ReferenceName, Rules, verify_path};
use pki::{Certificate, SignatureAlgorithm, UnixTime};

use crate::forge::*;

fn judge(world: &World, options: &PathOptions<'_>) -> Result<(), PathReason> {
    let [leaf, middle, root] = world.sign();
    verify_path(&leaf, &[middle], &[root], options).map(|_| ()).map_err(|refusal| refusal.reason)
}

const OCSP_NO_CHECK: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x30\x01\x05";
const POLICY_CONSTRAINTS: &[u8] = b"\x55\x1d\x24";
const AUTHORITY_INFO_ACCESS: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x01\x01";

/// What is done to the world, and what it is then called under plain rules for a client.
type Row = (&'static str, PathReason, fn(&mut World));

const ROWS: &[Row] = &[
    ("leaf expired", PathReason::Expired, |w| w.leaf.not_after = tlv(0x17, &[b"251231235959Z"])),
    ("leaf not yet valid", PathReason::NotYetValid, |w| w.leaf.not_before = tlv(0x17, &[b"260101000001Z"])),
    ("intermediate expired", PathReason::Expired, |w| w.middle.not_after = tlv(0x17, &[b"251231235959Z"])),
    ("anchor expired", PathReason::AnchorExpired, |w| w.root.not_after = tlv(0x17, &[b"251231235959Z"])),
    ("anchor too new", PathReason::AnchorNotYetValid, |w| w.root.not_before = tlv(0x17, &[b"260101000001Z"])),
    ("anchor without basicConstraints", PathReason::MissingBasicConstraints, |w| w.root.remove(BASIC_CONSTRAINTS)),
    ("CA without basicConstraints", PathReason::MissingBasicConstraints, |w| w.middle.remove(BASIC_CONSTRAINTS)),
    ("CA that says it is none", PathReason::NotACa, |w| w.middle.put(BASIC_CONSTRAINTS, true, sequence(&[]))),
    ("CA without keyCertSign", PathReason::CaWithoutKeyCertSign, |w| {
        w.middle.put(KEY_USAGE, true, tlv(3, &[&[1, 0x02]]));
    }),
    ("anchor without keyCertSign", PathReason::CaWithoutKeyCertSign, |w| {
        w.root.put(KEY_USAGE, true, tlv(3, &[&[1, 0x02]]));
    }),
    ("leaf with keyCertSign", PathReason::KeyCertSignWithoutCa, |w| {
        w.leaf.put(KEY_USAGE, true, tlv(3, &[&[2, 0x84]]));
    }),
    ("anchor's pathLen", PathReason::PathLengthExceeded, |w| w.root.path_len(0)),
    ("name outside", PathReason::NameNotPermitted, |w| w.middle.permit(true, &["other.example"])),
    ("name outside of the anchor's", PathReason::NameNotPermitted, |w| w.root.permit(true, &["other.example"])),
    ("intermediate's own name outside", PathReason::NameNotPermitted, |w| {
        w.root.permit(true, &["leaf.example"]);
        w.middle.put(SUBJECT_ALT_NAME, false, sequence(&[&tlv(0x82, &[b"other.example"])]));
    }),
    ("widened below", PathReason::NameNotPermitted, |w| {
        w.root.permit(true, &["other.example"]);
        w.middle.permit(true, &["other.example", "leaf.example"]);
    }),
    ("name excluded", PathReason::NameExcluded, |w| {
        let subtree = sequence(&[&tlv(0x82, &[b"example"])]);
        w.middle.put(NAME_CONSTRAINTS, true, sequence(&[&tlv(0xa1, &[&subtree])]));
    }),
    ("constrained otherName", PathReason::NameConstraintUnsupported, |w| {
        let other = tlv(0xa0, &[&tlv(6, &[b"\x2a\x03"]), &tlv(0xa0, &[&tlv(0x0c, &[b"x"])])]);
        w.middle.put(NAME_CONSTRAINTS, true, sequence(&[&tlv(0xa1, &[&sequence(&[&other])])]));
        w.leaf.put(SUBJECT_ALT_NAME, false, sequence(&[&other]));
    }),
    ("constraint with a wildcard", PathReason::NameConstraintInvalid, |w| w.middle.permit(true, &["*.example"])),
    ("constraints not critical", PathReason::NameConstraintsNotCritical, |w| w.middle.permit(false, &["example"])),
    ("constraints in a leaf", PathReason::NameConstraintsWithoutCa, |w| w.leaf.permit(true, &["example"])),
    ("unknown critical in the leaf", PathReason::UnknownCriticalExtension, |w| {
        w.leaf.put(OCSP_NO_CHECK, true, tlv(5, &[]));
    }),
    ("unknown critical in the anchor", PathReason::UnknownCriticalExtension, |w| {
        w.root.put(OCSP_NO_CHECK, true, tlv(5, &[]));
    }),
    ("critical policy constraints", PathReason::UnknownCriticalExtension, |w| {
        w.middle.put(POLICY_CONSTRAINTS, true, sequence(&[&[0x80, 1, 0]]));
    }),
    ("policy constraints not critical", PathReason::CriticalityInvalid, |w| {
        w.middle.put(POLICY_CONSTRAINTS, false, sequence(&[&[0x80, 1, 0]]));
    }),
    ("critical subjectKeyIdentifier", PathReason::CriticalityInvalid, |w| {
        w.root.put(SUBJECT_KEY_ID, true, tlv(4, &[&ROOT.id]));
    }),
    ("critical authorityInfoAccess", PathReason::CriticalityInvalid, |w| {
        let access = sequence(&[&tlv(6, &[b"\x2b\x06\x01\x05\x05\x07\x30\x01"]), &tlv(0x86, &[b"http://x"])]);
        w.leaf.put(AUTHORITY_INFO_ACCESS, true, sequence(&[&access]));
    }),
    ("basicConstraints not critical", PathReason::CriticalityInvalid, |w| {
        w.middle.put(BASIC_CONSTRAINTS, false, sequence(&[&[1, 1, 0xff]]));
    }),
    ("leaf without authorityKeyIdentifier", PathReason::MissingAuthorityKeyId, |w| {
        w.leaf.remove(AUTHORITY_KEY_ID);
    }),
    ("CA without authorityKeyIdentifier", PathReason::MissingAuthorityKeyId, |w| {
        w.middle.put(AUTHORITY_KEY_ID, false, sequence(&[]));
    }),
    ("CA without subjectKeyIdentifier", PathReason::MissingSubjectKeyId, |w| w.middle.remove(SUBJECT_KEY_ID)),
    ("leaf without subject or critical names", PathReason::SubjectEmpty, |w| w.leaf.subject = name("")),
    ("server's certificate for a client", PathReason::PurposeNotAllowed, |w| {
        w.leaf.put(EXTENDED_KEY_USAGE, false, sequence(&[&tlv(6, &[b"\x2b\x06\x01\x05\x05\x07\x03\x01"])]));
    }),
    ("CA for other purposes", PathReason::PurposeNotAllowed, |w| {
        w.middle.put(EXTENDED_KEY_USAGE, false, sequence(&[&tlv(6, &[b"\x2b\x06\x01\x05\x05\x07\x03\x01"])]));
    }),
    ("keyUsage for other purposes", PathReason::PurposeNotAllowed, |w| {
        w.leaf.put(KEY_USAGE, true, tlv(3, &[&[6, 0x40]]));
    }),
    ("algorithms disagree", PathReason::SignatureAlgorithmMismatch, |w| {
        w.leaf.inner_algorithm = SignatureAlgorithm::EcdsaSha384.identifier_der().to_vec();
    }),
    ("ecdsa-with-SHA1", PathReason::SignatureAlgorithmNotAllowed, |w| {
        let sha1 = sequence(&[&tlv(6, &[b"\x2a\x86\x48\xce\x3d\x04\x01"])]);
        (w.leaf.inner_algorithm, w.leaf.outer_algorithm) = (sha1.clone(), sha1);
    }),
    ("algorithm of another key", PathReason::SignatureAlgorithmNotAllowed, |w| {
        let ed25519 = SignatureAlgorithm::Ed25519.identifier_der().to_vec();
        (w.leaf.inner_algorithm, w.leaf.outer_algorithm) = (ed25519.clone(), ed25519);
    }),
    ("signed by another hash", PathReason::SignatureInvalid, |w| {
        let sha384 = SignatureAlgorithm::EcdsaSha384.identifier_der().to_vec();
        (w.leaf.inner_algorithm, w.leaf.outer_algorithm) = (sha384.clone(), sha384);
    }),
    ("nobody's child", PathReason::UnknownIssuer, |w| w.leaf.issuer = name("stranger")),
    ("another key of the same name", PathReason::UnknownIssuer, |w| {
        w.leaf.put(AUTHORITY_KEY_ID, false, sequence(&[&tlv(0x80, &[b"another"])]));
    }),
    ("weak leaf", PathReason::KeyTooWeak, |w| w.leaf.spki = rsa_1024()),
];

/// An RSA key of 1024 bits, of which only the size is looked at.
fn rsa_1024() -> Vec<u8> {
    let modulus = [&[0x00, 0xc1][..], &[0x5b; 127]].concat();
    let key = sequence(&[&tlv(2, &[&modulus]), &[2, 3, 1, 0, 1]]);
    let identifier = sequence(&[&tlv(6, &[b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01"]), &[5, 0]]);
    sequence(&[&identifier, &tlv(3, &[&[0], &key])])
}

#[test]
fn each_broken_rule_has_its_name() {
    assert_eq!(judge(&World::new(), &plain()), Ok(()));
    for (what, reason, edit) in ROWS {
        assert_eq!(judge(&World::edited(edit), &plain()), Err(*reason), "{what}");
    }
}

#[test]
fn names_of_issuers_and_subjects_may_not_be_empty() {
    let nobody = Forge::ca("", &ROOT, "", &ROOT).sign(&ROOT);
    let leaf = Forge::leaf("leaf", "", &ROOT).sign(&ROOT);
    let reason = |anchor: &Certificate, leaf: &Certificate| {
        verify_path(leaf, &[], std::slice::from_ref(anchor), &plain()).unwrap_err().reason
    };
    assert_eq!(reason(&nobody, &leaf), PathReason::IssuerEmpty);
    let nameless = Forge::ca("", &ROOT, "someone", &MIDDLE).sign(&MIDDLE);
    assert_eq!(reason(&nameless, &leaf), PathReason::SubjectEmpty);
}

#[test]
fn an_anchor_may_leave_out_the_authority_key_id_only_when_self_signed() {
    let anchored_in = |issuer: &str, signer: &Key| {
        let mut root = Forge::ca("root", &ROOT, issuer, signer);
        root.remove(AUTHORITY_KEY_ID);
        let [leaf, middle, _] = World::new().sign();
        let verdict = verify_path(&leaf, &[middle], &[root.sign(signer)], &plain());
        verdict.map(|_| ()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(anchored_in("root", &ROOT), Ok(()));
    assert_eq!(anchored_in("by another name", &ROOT), Ok(()));
    assert_eq!(anchored_in("another root", &LEAF), Err(PathReason::MissingAuthorityKeyId));
}

#[test]
fn the_callers_questions_have_their_names() {
    let world = World::new();
    let ask = |edit: fn(&mut PathOptions<'static>)| {
        let mut options = plain();
        edit(&mut options);
        judge(&world, &options)
    };
    assert_eq!(ask(|o| o.max_depth = Some(0)), Err(PathReason::MaxDepthExceeded));
    assert_eq!(ask(|o| o.max_depth = Some(1)), Ok(()));
    let named = |text: &str| Some(ReferenceName::parse(text).unwrap());
    assert_eq!(judge(&world, &PathOptions { name: named("LEAF.example"), ..plain() }), Ok(()));
    assert_eq!(judge(&world, &PathOptions { name: named("leaf"), ..plain() }), Err(PathReason::NameMismatch));
    assert_eq!(judge(&world, &PathOptions { name: named("192.0.2.1"), ..plain() }), Err(PathReason::NameMismatch));
    assert_eq!(ask(|o| o.purpose = Purpose::Server), Err(PathReason::PurposeNotAllowed));
    assert_eq!(ask(|o| o.purpose = Purpose::Any), Ok(()));
    for (at, verdict) in [
        ("2025-01-01T00:00:00Z", Ok(())),
        ("2024-12-31T23:59:59Z", Err(PathReason::AnchorNotYetValid)),
        ("2027-01-01T00:00:00Z", Ok(())),
        ("2027-01-01T00:00:01Z", Err(PathReason::AnchorExpired)),
    ] {
        assert_eq!(judge(&world, &PathOptions { at: UnixTime::parse(at).unwrap(), ..plain() }), verdict, "{at}");
    }
}

#[test]
fn countersign_takes_constraints_that_are_not_critical_and_enforces_them() {
    let ours = PathOptions { rules: Rules::Countersign, ..plain() };
    let permit = |subtree: &'static str| World::edited(|w| w.middle.permit(false, &[subtree]));
    assert_eq!(judge(&permit("example"), &ours), Ok(()));
    assert_eq!(judge(&permit("other.example"), &ours), Err(PathReason::NameNotPermitted));
}

#[test]
fn a_ca_is_a_leaf_only_where_it_may_be() {
    let [_, middle, root] = World::new().sign();
    let ask = |rules, purpose| {
        let options = PathOptions { rules, ..PathOptions::new(now(), purpose) };
        verify_path(&middle, &[], std::slice::from_ref(&root), &options).map(|_| ()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(ask(Rules::Plain, Purpose::Client), Ok(()));
    assert_eq!(ask(Rules::Countersign, Purpose::Any), Ok(()));
    assert_eq!(ask(Rules::Countersign, Purpose::Client), Err(PathReason::LeafIsCa));
}

#[test]
fn a_signature_by_another_key_is_invalid() {
    let world = World::new();
    let [_, middle, root] = world.sign();
    let forged = world.leaf.sign(&ROOT);
    let refusal = verify_path(&forged, &[middle], &[root], &plain()).unwrap_err();
    assert_eq!(refusal.reason, PathReason::SignatureInvalid);
    assert!(refusal.to_string().contains("CN=leaf"), "{refusal}");
}

#[test]
fn a_refusal_to_parse_keeps_its_name_and_names_are_unique() {
    type Row = (&'static str, fn(&mut Forge));
    let rows: [Row; 9] = [
        ("VERSION_UNSUPPORTED", |f| f.version = Vec::new()),
        ("VERSION_UNSUPPORTED", |f| f.version = tlv(0xa0, &[&[2, 1, 1]])),
        ("SERIAL_INVALID", |f| f.serial = vec![0]),
        ("SERIAL_INVALID", |f| f.serial = vec![0x80]),
        ("SERIAL_INVALID", |f| f.serial = vec![1; 21]),
        ("DUPLICATE_EXTENSION", |f| f.extensions.push(f.extensions[0].clone())),
        ("MALFORMED_CERTIFICATE", |f| f.put(EXTENDED_KEY_USAGE, false, sequence(&[]))),
        ("MALFORMED_CERTIFICATE", |f| f.extensions.clear()),
        ("MALFORMED_CERTIFICATE", |f| f.put(AUTHORITY_INFO_ACCESS, false, sequence(&[]))),
    ];
    for (reason, edit) in rows {
        let mut forge = World::new().leaf;
        edit(&mut forge);
        let error = Certificate::parse(&forge.der(&MIDDLE)).unwrap_err();
        assert_eq!(error.reason(), reason);
        assert_eq!(PathRefusal::from(error).reason(), reason);
    }
    let names: HashSet<&str> = PathReason::ALL.iter().map(|reason| reason.as_str()).collect();
    assert_eq!(names.len(), PathReason::ALL.len());
}
