//! Finding a path among candidates, and giving up in bounded time.

use std::time::Instant;

use pki::Certificate;
use pki::path::{
    MAX_CANDIDATES, MAX_SIGNATURE_CHECKS, PathOptions, PathReason, Purpose, Rules, SignatureChecks, verify_path,
    verify_path_within,
};

use crate::forge::*;

/// A chain of this many intermediates: leaf, candidates from the top down, root.
fn chain(length: usize) -> (Certificate, Vec<Certificate>, Certificate) {
    let root = Forge::ca("root", &ROOT, "root", &ROOT).sign(&ROOT);
    let mut candidates = Vec::new();
    let mut above = ("root".to_owned(), Key::new());
    for number in 0..length {
        let (subject, key) = (format!("ca {number}"), Key::new());
        let signer = if number == 0 { &*ROOT } else { &above.1 };
        candidates.push(Forge::ca(&subject, &key, &above.0, signer).sign(signer));
        above = (subject, key);
    }
    let signer = if length == 0 { &*ROOT } else { &above.1 };
    (Forge::leaf("leaf", &above.0, signer).sign(signer), candidates, root)
}

fn reason(leaf: &Certificate, candidates: &[Certificate], anchors: &[Certificate]) -> Result<usize, PathReason> {
    verify_path(leaf, candidates, anchors, &plain())
        .map(|path| path.intermediates().len())
        .map_err(|refusal| refusal.reason)
}

#[test]
fn candidates_come_in_any_order_and_may_be_too_many() {
    let (leaf, mut candidates, root) = chain(3);
    let (_, strangers, _) = chain(2);
    let other_root = Forge::ca("other root", &LEAF, "other root", &LEAF).sign(&LEAF);
    candidates.rotate_left(1);
    candidates.extend(strangers);
    candidates.push(root.clone());
    candidates.push(leaf.clone());
    candidates.push(candidates[0].clone());
    let path = verify_path(&leaf, &candidates, &[other_root, root.clone()], &plain()).unwrap();
    let names: Vec<String> = path.intermediates().iter().map(|ca| ca.subject().to_string()).collect();
    assert_eq!(names, ["CN=ca 2", "CN=ca 1", "CN=ca 0"]);
    assert_eq!((path.leaf(), path.anchor(), path.issuer()), (&leaf, &root, &path.intermediates()[0]));
}

#[test]
fn an_intermediate_may_be_the_anchor_and_the_missing_one_is_named() {
    let (leaf, candidates, root) = chain(3);
    assert_eq!(reason(&leaf, &candidates, &candidates[1..2]), Ok(1));
    assert_eq!(reason(&leaf, &candidates[..2], std::slice::from_ref(&root)), Err(PathReason::UnknownIssuer));
    assert_eq!(reason(&leaf, &candidates[1..], &[root]), Err(PathReason::UnknownIssuer));
    assert_eq!(reason(&leaf, &candidates, &[]), Err(PathReason::UnknownIssuer));
}

#[test]
fn ten_intermediates_and_not_eleven() {
    let (leaf, candidates, root) = chain(10);
    assert_eq!(reason(&leaf, &candidates, &[root]), Ok(10));
    let (leaf, candidates, root) = chain(11);
    assert_eq!(reason(&leaf, &candidates, &[root]), Err(PathReason::PathSearchExhausted));
}

#[test]
fn a_good_path_is_found_beside_bad_ones() {
    // The same CA certified twice: once expired, once good.
    let world = World::new();
    let mut expired = world.middle.clone();
    expired.not_after = tlv(0x17, &[b"251231235959Z"]);
    let [leaf, good, root] = world.sign();
    let expired = expired.sign(&ROOT);
    for candidates in [[expired.clone(), good.clone()], [good, expired.clone()]] {
        assert_eq!(reason(&leaf, &candidates, std::slice::from_ref(&root)), Ok(1));
    }
    // The bad one alone: what is wrong with it is told, not that others were missing.
    let stray = Forge::ca("middle", &MIDDLE, "nobody", &LEAF).sign(&LEAF);
    assert_eq!(reason(&leaf, &[stray, expired], &[root]), Err(PathReason::Expired));
}

#[test]
fn cross_certificates_lead_out_of_an_expired_anchor() {
    let new_root = Key::new();
    let mut old = World::new();
    old.root.not_after = tlv(0x17, &[b"251231235959Z"]);
    let [leaf, middle, expired_root] = old.sign();
    let cross = Forge::ca("root", &ROOT, "new root", &new_root).sign(&new_root);
    let anchor = Forge::ca("new root", &new_root, "new root", &new_root).sign(&new_root);
    let anchors = [expired_root, anchor];
    assert_eq!(reason(&leaf, &[middle.clone(), cross], &anchors), Ok(2));
    assert_eq!(reason(&leaf, &[middle], &anchors), Err(PathReason::AnchorExpired));
}

#[test]
fn self_issued_intermediates_do_not_count() {
    let (first, second) = (Key::new(), Key::new());
    let mut root = Forge::ca("root", &ROOT, "root", &ROOT);
    root.path_len(1);
    let rollover = Forge::ca("ca", &second, "ca", &first).sign(&first);
    let ca = Forge::ca("ca", &first, "root", &ROOT).sign(&ROOT);
    let leaf = Forge::leaf("leaf", "ca", &second).sign(&second);
    let options = PathOptions { max_depth: Some(1), ..plain() };
    let path = verify_path(&leaf, &[ca, rollover], &[root.sign(&ROOT)], &options).unwrap();
    assert_eq!(path.intermediates().len(), 2);
}

#[test]
fn a_path_length_set_below_holds_below() {
    let (leaf, _, _) = chain(0);
    assert!(!leaf.is_self_issued());
    let below = Key::new();
    let mut world = World::new();
    world.middle.path_len(0);
    let [_, middle, root] = world.sign();
    let lower = Forge::ca("lower", &below, "middle", &MIDDLE).sign(&MIDDLE);
    let leaf = Forge::leaf("leaf", "lower", &below).sign(&below);
    assert_eq!(reason(&leaf, &[middle, lower], &[root]), Err(PathReason::PathLengthExceeded));
}

#[test]
fn loops_of_cross_certificates_end() {
    let (one, two) = (Key::new(), Key::new());
    let candidates = [
        Forge::ca("one", &one, "two", &two).sign(&two),
        Forge::ca("two", &two, "one", &one).sign(&one),
        Forge::ca("one", &one, "one", &one).sign(&one),
    ];
    let leaf = Forge::leaf("leaf", "one", &one).sign(&one);
    let root = World::new().root.sign(&ROOT);
    assert_eq!(reason(&leaf, &candidates, &[root]), Err(PathReason::UnknownIssuer));
}

#[test]
fn a_mesh_of_strangers_is_given_up_in_time() {
    // Eight CAs that all certify each other: 56 certificates, tens of thousands of paths, no anchor.
    let keys: Vec<Key> = (0..8).map(|_| Key::new()).collect();
    let mut mesh = Vec::new();
    for (above, signer) in keys.iter().enumerate() {
        for (below, key) in keys.iter().enumerate().filter(|(below, _)| *below != above) {
            mesh.push(Forge::ca(&format!("ca {below}"), key, &format!("ca {above}"), signer).sign(signer));
        }
    }
    assert!(mesh.len() <= MAX_CANDIDATES);
    let leaf = Forge::leaf("leaf", "ca 0", &keys[0]).sign(&keys[0]);
    let root = World::new().root.sign(&ROOT);
    let mut checks = SignatureChecks::new();
    let refusal = verify_path_within(&leaf, &mesh, &[root], &plain(), &mut checks).unwrap_err();
    assert_eq!(refusal.reason, PathReason::PathSearchExhausted);
    assert!(checks.count() <= mesh.len() + 1, "each certificate once at most, whatever the paths: {}", checks.count());
}

#[test]
fn a_chain_takes_one_signature_check_a_certificate_and_none_when_it_is_asked_again() {
    for intermediates in 0..=6 {
        let (leaf, candidates, root) = chain(intermediates);
        let anchors = [root];
        let mut checks = SignatureChecks::new();
        for purpose in [Purpose::Client, Purpose::Any, Purpose::Server] {
            let options = PathOptions { purpose, ..plain() };
            let _ = verify_path_within(&leaf, &candidates, &anchors, &options, &mut checks);
            assert_eq!(checks.count(), intermediates + 1);
        }
    }
}

#[test]
fn several_questions_share_the_signature_checks_that_are_left() {
    let world = World::new();
    let [leaf, middle, root] = world.sign();
    let impostors: Vec<Certificate> = (0..MAX_CANDIDATES)
        .map(|_| {
            let key = Key::new();
            let mut forge = Forge::ca("middle", &key, "root", &ROOT);
            forge.remove(SUBJECT_KEY_ID);
            forge.sign(&ROOT)
        })
        .collect();
    let (anchors, mut checks) = ([root], SignatureChecks::new());
    let mut ask = |candidates: &[Certificate]| {
        let asked = verify_path_within(&leaf, candidates, &anchors, &plain(), &mut checks);
        (asked.map(|_| ()).map_err(|refusal| refusal.reason), checks.count())
    };
    assert_eq!(ask(&impostors), (Err(PathReason::SignatureInvalid), MAX_SIGNATURE_CHECKS));
    assert_eq!(ask(&[middle]), (Err(PathReason::PathSearchExhausted), MAX_SIGNATURE_CHECKS));
}

#[test]
fn too_many_candidates_and_too_many_signatures_are_named() {
    let world = World::new();
    let [leaf, middle, root] = world.sign();
    let crowd = vec![middle.clone(); MAX_CANDIDATES + 1];
    assert_eq!(reason(&leaf, &crowd, std::slice::from_ref(&root)), Err(PathReason::PathSearchExhausted));
    // Candidates of the right name with the wrong keys, and no identifiers to tell them apart.
    let mut impostors: Vec<Certificate> = (0..MAX_CANDIDATES)
        .map(|_| {
            let key = Key::new();
            let mut forge = Forge::ca("middle", &key, "root", &ROOT);
            forge.remove(SUBJECT_KEY_ID);
            forge.sign(&ROOT)
        })
        .collect();
    assert_eq!(reason(&leaf, &impostors, std::slice::from_ref(&root)), Err(PathReason::SignatureInvalid));
    let last = impostors.len() - 1;
    impostors[last] = middle;
    assert_eq!(reason(&leaf, &impostors, &[root]), Err(PathReason::PathSearchExhausted));
}

#[test]
fn many_names_against_many_constraints_are_given_up() {
    let subtrees: Vec<String> = (0..1000).map(|number| format!("s{number}.example")).collect();
    let subtrees: Vec<&str> = subtrees.iter().map(String::as_str).collect();
    let names: Vec<u8> = (0..1000).flat_map(|number| tlv(0x82, &[format!("a.s{number}.example").as_bytes()])).collect();
    let world = World::edited(|w| {
        w.middle.permit(true, &subtrees);
        w.leaf.put(SUBJECT_ALT_NAME, false, sequence(&[&names]));
    });
    let [leaf, middle, root] = world.sign();
    assert_eq!(reason(&leaf, &[middle], &[root]), Err(PathReason::PathSearchExhausted));
}

/// Measured, not judged, in a debug build: `cargo test -p pki --release -- --ignored --nocapture three`.
#[test]
#[ignore = "a measurement"]
fn three_intermediates_take_well_under_a_millisecond() {
    let (leaf, candidates, root) = chain(3);
    let (anchors, options) = ([root], PathOptions { rules: Rules::Countersign, ..plain() });
    let documents: Vec<Vec<u8>> = candidates.iter().chain([&leaf]).map(|held| held.der().to_vec()).collect();
    let rounds = 2_000_u32;
    let begun = Instant::now();
    for _ in 0..rounds {
        let parsed: Vec<Certificate> = documents.iter().map(|der| Certificate::parse(der).unwrap()).collect();
        let (leaf, candidates) = parsed.split_last().unwrap();
        verify_path(leaf, candidates, &anchors, &options).unwrap();
    }
    let each = begun.elapsed() / rounds;
    println!("parse and verify a chain of three intermediates: {each:?}");
}
