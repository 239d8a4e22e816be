//! Every way in which a chain can fail at the hub, by its name.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::{collections::BTreeMap, sync::Arc};

use api::hub::v1::Thumbprints;
use bytes::Bytes;
use mfg::{Accepted, Quantity};
use pki::{Certificate, Sha256, UnixTime, path::SignatureChecks};
use rcgen::{BasicConstraints, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose};

use super::{chain::judge_within, memory::Known, *};
use crate::forge::{Forge, NOW, handoff_ca, key, uri};

fn ca(name: &str, certificate: Certificate, whose: Whose) -> RegisteredCa {
    RegisteredCa {
        name: name.to_owned(),
        certificate,
        whose,
        standing: Standing::Verified,
        on_first_connect: OnFirstConnect::Refuse,
    }
}

fn view_of(cas: Vec<RegisteredCa>) -> TrustView {
    TrustView::new(cas, BTreeMap::new(), None)
}

fn rooted(forge: &Forge) -> TrustView {
    view_of(vec![ca("root", forge.root(), Whose::Countersign)])
}

fn judged(chain: &[Bytes], claimed: &str, view: &TrustView) -> Result<Verdict, api::Refusal> {
    let verdict = judge(&Presented::read(chain)?, claimed, view, NOW)?;
    key_refusal(&verdict.keys, view)?;
    Ok(verdict)
}

fn refused(chain: &[Bytes], claimed: &str, view: &TrustView) -> &'static str {
    judged(chain, claimed, view).unwrap_err().reason()
}

#[test]
fn a_chain_is_accepted_with_any_of_its_cas_registered() {
    let forge = Forge::new();
    let certificates = forge.ca_certificates();
    let mut anchors = vec![forge.root()];
    anchors.extend(certificates.iter().cloned());
    for (place, anchor) in anchors.into_iter().enumerate() {
        let view = view_of(vec![ca("any", anchor, Whose::Countersign)]);
        let verdict = judged(&forge.presented(), "sn0000001", &view).unwrap();
        assert_eq!((verdict.device_id.as_str(), verdict.ca.as_str()), ("sn0000001", "any"));
        assert_eq!(verdict.dns_name, "sn0000001.t7.technician-z.b0032.factory-y.smart-widget.company-x.example");
        assert_eq!(verdict.issuer_key, forge.cas[1].key_sha256());
        assert_eq!(verdict.hops.last().unwrap().key, verdict.issuer_key);
        assert_eq!(verdict.hops.len(), if place == 2 { 1 } else { 2 });
        assert_eq!((verdict.generation, verdict.order.as_str()), (1, "po-7"));
    }
}

#[test]
fn with_the_root_presented_too_and_in_any_order_a_chain_is_the_same() {
    let forge = Forge::new();
    let mut chain = forge.presented();
    chain.push(Bytes::copy_from_slice(forge.root().der()));
    chain[1..].reverse();
    assert!(judged(&chain, "sn0000001", &rooted(&forge)).is_ok());
}

#[test]
fn acceptances_are_proven_where_the_bundle_is_known_and_an_invented_hop_is_refused() {
    let mut forge = Forge::new();
    let known = |forge: &Forge, bundle| {
        TrustView::new(vec![ca("root", forge.root(), Whose::Countersign)], BTreeMap::new(), Some(Arc::new(bundle)))
    };
    let bundle = forge.bundle();
    let verdict = judged(&forge.presented(), "sn0000001", &known(&forge, bundle.clone())).unwrap();
    assert!(verdict.hops.iter().all(|hop| hop.accepted == Accepted::Proven));
    forge.cas[1].accepted_by = Some(key());
    let reason = refused(&forge.presented(), "sn0000001", &known(&forge, bundle));
    assert_eq!(reason, "ACCEPTANCE_KEY_UNKNOWN");
    let verdict = judged(&forge.presented(), "sn0000001", &rooted(&forge)).unwrap();
    assert!(verdict.hops.iter().all(|hop| hop.accepted == Accepted::NotChecked));
}

#[test]
fn a_leaf_alone_and_a_strangers_chain_have_an_unknown_issuer() {
    let forge = Forge::new();
    assert_eq!(refused(&forge.presented()[..1], "sn0000001", &rooted(&forge)), "UNKNOWN_ISSUER");
    assert_eq!(refused(&Forge::new().presented(), "sn0000001", &rooted(&forge)), "UNKNOWN_ISSUER");
    assert_eq!(refused(&forge.presented(), "sn0000001", &TrustView::default()), "UNKNOWN_ISSUER");
    let leaf_alone = judged(&forge.presented()[..1], "sn0000001", &rooted(&forge)).unwrap_err();
    assert_eq!(leaf_alone.to_wire().metadata.get("presented").map(String::as_str), Some("1"));
}

#[test]
fn the_common_name_is_the_device_id() {
    let forge = Forge::new();
    let view = rooted(&forge);
    for other in ["sn0000002", "", "sn0000001 ", "sn000000", "s\u{17f}0000001"] {
        assert_eq!(refused(&forge.presented(), other, &view), "DEVICE_ID_MISMATCH", "{other:?}");
    }
    assert_eq!(judged(&forge.presented(), "SN0000001", &view).unwrap().device_id, "sn0000001");
}

#[test]
fn a_cas_proof_of_possession_is_no_device_under_either_rules() {
    // As root-ca and intermediate-ca sign it: the code alone, for document signing.
    let code = "3f0c".repeat(12);
    for (whose, mut forge) in [(Whose::Countersign, Forge::new()), (Whose::Plain, Forge::plain("device-1"))] {
        forge.leaf.common_names = vec![code.clone()];
        forge.leaf.names.clear();
        forge.leaf.extensions.clear();
        forge.leaf.is_ca = IsCa::ExplicitNoCa;
        forge.leaf.usages = vec![KeyUsagePurpose::ContentCommitment];
        forge.leaf.purposes = vec![ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, 36])];
        let view = view_of(vec![ca("root", forge.root(), whose)]);
        assert_eq!(refused(&forge.presented(), &code, &view), "PURPOSE_NOT_ALLOWED", "{whose:?}");
    }
}

#[test]
fn an_unverified_ca_vouches_for_nobody_and_is_named() {
    let forge = Forge::new();
    let mut unverified = ca("root", forge.root(), Whose::Countersign);
    unverified.standing = Standing::Unverified;
    let refusal = judged(&forge.presented(), "sn0000001", &view_of(vec![unverified.clone()])).unwrap_err();
    assert_eq!(refusal.reason(), "CA_UNVERIFIED");
    // A verified one of the same chain is enough.
    let middle = ca("middle", forge.ca_certificates()[0].clone(), Whose::Countersign);
    assert!(judged(&forge.presented(), "sn0000001", &view_of(vec![unverified, middle])).is_ok());
}

#[test]
fn a_disabled_key_anywhere_in_the_chain_cuts_the_device_off() {
    let forge = Forge::new();
    let certificates = forge.ca_certificates();
    let keys: Vec<Sha256> = certificates.iter().chain([&forge.root()]).map(|ca| ca.public_key().sha256()).collect();
    for disabled in keys {
        let disabled = BTreeMap::from([(*disabled.as_bytes(), DisabledKey { why: "stolen".to_owned() })]);
        let anchors = [forge.root(), certificates[0].clone()];
        for anchor in anchors {
            let registered = vec![
                ca("root", forge.root(), Whose::Countersign),
                ca("factory", certificates[0].clone(), Whose::Countersign),
                ca("technician", certificates[1].clone(), Whose::Countersign),
            ];
            let view = TrustView::new(registered, disabled.clone(), None);
            let refusal = judged(&forge.presented(), "sn0000001", &view).unwrap_err();
            assert_eq!(refusal.reason(), "CA_DISABLED", "{}", anchor.subject());
            assert!(refusal.message().contains("stolen"));
            // Also when the device leaves out everything that it could.
            assert_eq!(refused(&forge.presented()[..1], "sn0000001", &view), "CA_DISABLED");
        }
    }
}

#[test]
fn a_reissued_ca_with_a_disabled_key_is_cut_off_too() {
    let mut forge = Forge::new();
    let disabled = BTreeMap::from([(*forge.cas[1].key_sha256().as_bytes(), DisabledKey { why: String::new() })]);
    forge.cas[1].years = (2024, 2051);
    forge.cas[0].years = (2024, 2052);
    let view = TrustView::new(vec![ca("root", forge.root(), Whose::Countersign)], disabled, None);
    assert_eq!(refused(&forge.presented(), "sn0000001", &view), "CA_DISABLED");
}

#[test]
fn validity_is_judged_by_the_hubs_clock_for_the_anchor_too() {
    let mut forge = Forge::new();
    let view = rooted(&forge);
    let at = |year: i64| UnixTime::new((year - 1970) * 31_556_952 + 86_400 * 10);
    let presented = Presented::read(&forge.presented()).unwrap();
    let reason = |view: &TrustView, at| judge(&presented, "sn0000001", view, at).unwrap_err().reason();
    assert_eq!(reason(&view, at(2046)), "EXPIRED");
    assert_eq!(reason(&view, at(2023)), "NOT_YET_VALID");
    for (years, anchor) in [((2020, 2026), "ANCHOR_EXPIRED"), ((2028, 2060), "ANCHOR_NOT_YET_VALID")] {
        forge.root_years = years;
        assert_eq!(refused(&forge.presented(), "sn0000001", &rooted(&forge)), anchor);
    }
}

#[test]
fn a_violated_path_length_of_anchor_or_intermediate_is_refused() {
    let mut forge = Forge::new();
    forge.root_path_length = BasicConstraints::Constrained(1);
    assert_eq!(refused(&forge.presented(), "sn0000001", &rooted(&forge)), "PATH_LENGTH_EXCEEDED");
    let mut forge = Forge::new();
    forge.cas[0].is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    assert_eq!(refused(&forge.presented(), "sn0000001", &rooted(&forge)), "PATH_LENGTH_EXCEEDED");
}

#[test]
fn a_chain_without_handoffs_needs_a_ca_that_is_registered_as_plain() {
    let forge = Forge::plain("Widget_1");
    assert_eq!(refused(&forge.presented(), "Widget_1", &rooted(&forge)), "HANDOFF_MISSING");
    let plain = view_of(vec![ca("maker", forge.root(), Whose::Plain)]);
    let verdict = judged(&forge.presented(), "Widget_1", &plain).unwrap();
    assert_eq!((verdict.whose, verdict.dns_name.as_str(), verdict.hops.len()), (Whose::Plain, "", 0));
    // Octet by octet.
    assert_eq!(refused(&forge.presented(), "widget_1", &plain), "DEVICE_ID_MISMATCH");
}

#[test]
fn any_handoff_in_a_chain_forces_our_rules_under_a_plain_ca() {
    let mut forge = Forge::new();
    let plain = view_of(vec![ca("root", forge.root(), Whose::Plain)]);
    assert_eq!(judged(&forge.presented(), "sn0000001", &plain).unwrap().whose, Whose::Countersign);
    forge.leaf.names = vec![uri("urn:dev:1")];
    assert_eq!(refused(&forge.presented(), "sn0000001", &plain), "DEVICE_NAME_INVALID");
    // Also where only the anchor carries it.
    let middle = view_of(vec![ca("lot", forge.ca_certificates()[1].clone(), Whose::Plain)]);
    assert_eq!(refused(&forge.presented()[..1], "sn0000001", &middle), "DEVICE_NAME_INVALID");
    // Also where a handoff is presented beside the path.
    let other = Forge::plain("x1");
    let mut chain = other.presented();
    chain.push(forge.presented()[1].clone());
    let maker = view_of(vec![ca("maker", other.root(), Whose::Plain)]);
    assert_eq!(refused(&chain, "x1", &maker), "SUBTREE_INVALID", "as an order CA it has no subtree");
}

#[test]
fn what_does_not_parse_is_named_with_its_place() {
    let forge = Forge::new();
    let mut chain = forge.presented();
    chain[1] = Bytes::from_static(b"\x30\x03\x02\x01\x01");
    let refusal = judged(&chain, "sn0000001", &rooted(&forge)).unwrap_err();
    assert_eq!(refusal.reason(), "MALFORMED_CERTIFICATE");
    assert_eq!(refusal.to_wire().metadata.get("certificate").map(String::as_str), Some("2"));
}

#[test]
fn an_unlimited_lot_is_told_as_such() {
    let mut forge = Forge::new();
    forge.cas[0] = handoff_ca(1, "company-x", "factory-y", "b0032", Quantity::Unlimited, crate::forge::BASE);
    let verdict = judged(&forge.presented(), "sn0000001", &rooted(&forge)).unwrap();
    assert_eq!(verdict.hops[0].quantity, Quantity::Unlimited);
}

#[test]
fn a_thumbprint_is_that_of_the_leaf_and_nothing_else_vouches() {
    let forge = Forge::plain("d1");
    let presented = Presented::read(&forge.presented()).unwrap();
    let sha1 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA1_FOR_LEGACY_USE_ONLY, presented.leaf().der());
    let sha1 = Bytes::copy_from_slice(sha1.as_ref());
    let sha256 = Bytes::copy_from_slice(presented.leaf().sha256().as_bytes());
    let other = Bytes::from(vec![7; 32]);
    let reason = |primary: &Bytes, secondary: &Bytes, at| {
        let thumbprints = Thumbprints { primary: primary.clone(), secondary: secondary.clone() };
        judge_thumbprint(&presented, &thumbprints, at).map_err(|refusal| refusal.reason())
    };
    let none = Bytes::new();
    for (primary, secondary) in [(&sha1, &none), (&sha256, &none), (&other, &sha256), (&none, &sha1)] {
        assert_eq!(reason(primary, secondary, NOW), Ok(()));
    }
    assert_eq!(reason(&other, &none, NOW), Err("THUMBPRINT_MISMATCH"));
    assert_eq!(reason(&none, &none, NOW), Err("THUMBPRINT_MISMATCH"));
    assert_eq!(reason(&sha256, &none, UnixTime::NEVER), Err("EXPIRED"));
    assert_eq!(reason(&sha256, &none, UnixTime::new(0)), Err("NOT_YET_VALID"));
}

#[test]
fn judging_takes_a_bounded_number_of_signature_checks() {
    let count = |chain: &[Bytes], claimed: &str, view: &TrustView| {
        let mut checks = SignatureChecks::new();
        let nothing = Known::default();
        let judged = judge_within(&Presented::read(chain).unwrap(), claimed, view, NOW, &nothing, &mut checks);
        (judged.map(|_| ()).map_err(|refusal| refusal.reason()), checks.count())
    };
    let forge = Forge::of_three();
    assert_eq!(count(&forge.presented(), "sn0000001", &rooted(&forge)), (Ok(()), 4), "one a certificate");
    let lot = view_of(vec![ca("lot", forge.ca_certificates()[2].clone(), Whose::Countersign)]);
    assert_eq!(count(&forge.presented(), "sn0000001", &lot), (Ok(()), 1), "none above the anchor");
    // Registered both ways and nowhere proven: four searches over one chain.
    let standing = [(Whose::Countersign, Standing::Verified), (Whose::Plain, Standing::Unverified)];
    let of_strangers = standing
        .into_iter()
        .map(|(whose, standing)| RegisteredCa { standing, ..ca("stranger", Forge::new().root(), whose) });
    let strangers = view_of(of_strangers.collect());
    assert_eq!(
        count(&forge.presented(), "sn0000001", &strangers),
        (Err("UNKNOWN_ISSUER"), 3),
        "each once, not four times"
    );
    // Ten certificates that all bear one name, and as many CAs of it as a hub takes.
    let mut family = Forge::plain("x1");
    family.root_name = "Intermediate".to_owned();
    let cousins = (0..9)
        .flat_map(|_| Forge { root_name: family.root_name.clone(), ..Forge::plain("x1") }.presented().split_off(1));
    let chain: Vec<Bytes> = family.presented().into_iter().take(1).chain(cousins).collect();
    let crowd = (0..100).map(|_| Forge { root_name: family.root_name.clone(), ..Forge::plain("x1") }.root());
    let crowd = view_of(crowd.map(|root| ca("crowd", root, Whose::Plain)).collect());
    let (refused, checks) = count(&chain, "x1", &crowd);
    assert_eq!((chain.len(), refused.is_err()), (10, true));
    assert!(checks <= chain.len(), "{checks}");
}

#[test]
fn what_stands_above_a_lot_is_checked_once_and_only_what_was_believed_is_remembered() {
    let mut forge = Forge::of_three();
    let root = vec![ca("root", forge.root(), Whose::Countersign)];
    let view = TrustView::new(root.clone(), BTreeMap::new(), Some(Arc::new(forge.bundle())));
    let count = |forge: &Forge, at: UnixTime| {
        let known = view.memory().known();
        let mut checks = SignatureChecks::beyond(&known.signatures);
        let presented = Presented::read(&forge.presented()).unwrap();
        let judged = judge_within(&presented, "sn0000001", &view, at, &known, &mut checks);
        let proven = |verdict: Verdict| verdict.hops.iter().all(|hop| hop.accepted == Accepted::Proven);
        (judged.map(proven).map_err(|refusal| refusal.reason()), checks.count())
    };
    // What is refused teaches nothing.
    assert_eq!(count(&forge, UnixTime::new(0)), (Err("ANCHOR_NOT_YET_VALID"), 4));
    forge.leaf.names = vec![uri("urn:dev:1")];
    assert_eq!(count(&forge, NOW), (Err("DEVICE_NAME_INVALID"), 4));
    forge.name_leaf("sn0000001");
    assert_eq!(count(&forge, NOW), (Ok(true), 4));
    // The lot's next device.
    forge.name_leaf("sn0000001");
    assert_eq!(count(&forge, NOW), (Ok(true), 1));
    // What can change is judged all the same, and what was not seen before is checked.
    assert_eq!(count(&forge, UnixTime::NEVER), (Err("ANCHOR_EXPIRED"), 1));
    forge.cas[2].accepted_by = Some(key());
    assert_eq!(count(&forge, NOW), (Err("ACCEPTANCE_KEY_UNKNOWN"), 2));
    let leaf_of_another_lot = Forge { cas: Forge::of_three().cas, ..forge };
    assert_eq!(count(&leaf_of_another_lot, NOW), (Err("ACCEPTANCE_KEY_UNKNOWN"), 4));
}

#[test]
fn a_memory_that_is_full_is_begun_anew() {
    let view = rooted(&Forge::new());
    let memory = view.memory();
    let path = |forge: &Forge| {
        let presented = Presented::read(&forge.presented()).unwrap();
        let options = pki::path::PathOptions::new(NOW, pki::path::Purpose::Client);
        pki::path::verify_path(presented.leaf(), presented.others(), &[forge.root()], &options).unwrap()
    };
    let mut most = 0;
    for _ in 0..2100 {
        memory.learn(&memory.known(), &path(&Forge::new()), None);
        most = most.max(memory.known().signatures.len());
    }
    assert!((4096..4200).contains(&most), "{most}");
    assert!(memory.known().signatures.len() < 200);
}
