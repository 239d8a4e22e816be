//! Whole chains of every depth, judged by our own verifier, by the journey, by webpki and by OpenSSL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use issuance::SigningKey;
use mfg::terms::NameConstraintsProfile;
use mfg::{Accepted, Bundle, IdentityKey, OidArc, Quantity};
use pki::path::{PathOptions, Purpose, Rules, verify_path};
use pki::{Certificate, GeneralName, UnixTime};
use world::*;

fn journey(world: &World, issuer: &TestIssuer, leaf: &Certificate) -> mfg::Journey {
    let options = PathOptions::new(now(), Purpose::Client);
    let anchors = [world.root.clone()];
    let path = verify_path(leaf, issuer.intermediates(), &anchors, &options).unwrap();
    let identity_keys = (1..=world.hops)
        .map(|hop| IdentityKey { manufacturer: maker(hop), public_key: world.identities[hop].public_key().clone() })
        .collect();
    let bundle = Bundle { anchors: anchors.to_vec(), identity_keys, ..Bundle::default() };
    mfg::journey::read(&path, Some(&bundle)).unwrap()
}

fn webpki_accepts(world: &World, issuer: &TestIssuer, leaf: &Certificate) {
    use rustls_pki_types::{CertificateDer, UnixTime as Time};
    let root = CertificateDer::from(world.root.der());
    let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
    let intermediates: Vec<_> =
        issuer.intermediates().iter().map(|ca| CertificateDer::from(ca.der().to_vec())).collect();
    let leaf = CertificateDer::from(leaf.der());
    let at = Time::since_unix_epoch(std::time::Duration::from_secs(now().as_secs() as u64));
    webpki::EndEntityCert::try_from(&leaf)
        .unwrap()
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &[anchor],
            &intermediates,
            at,
            webpki::KeyUsage::client_auth(),
            None,
            None,
        )
        .unwrap();
}

#[test]
fn every_depth_verifies_and_reads_as_its_journey() {
    for hops in 1..=6 {
        let world = World::new(hops);
        let last = world.route(world.root_issuer());
        let leaf = world.provision(&last, "sn0000001");
        let journey = journey(&world, &last, &leaf);
        assert_eq!(journey.device_id, device("sn0000001"));
        assert_eq!(journey.hops.len(), hops);
        assert!(journey.hops.iter().all(|hop| hop.accepted == Accepted::Proven));
        assert_eq!(journey.hops[hops - 1].quantity, Quantity::of(1000 - 10 * hops as u64).unwrap());
        webpki_accepts(&world, &last, &leaf);
        assert_eq!(last.path_length_left(), Some(0));
        if let Ok(folder) = std::env::var("CHAINS_OUT") {
            write_chain(std::path::Path::new(&folder), &format!("h{hops}"), &world, &last, &leaf);
        }
    }
}

#[test]
fn an_order_ca_and_five_hops_verify() {
    let world = World::new(5);
    let order_ca = world.order_ca();
    assert_eq!(order_ca.issuer.path_length_left(), Some(5));
    let last = world.route(order_ca.issuer);
    let leaf = world.provision(&last, "sn0000001");
    assert_eq!(journey(&world, &last, &leaf).hops.len(), 5);
    assert_eq!(last.intermediates().len(), 6);
    webpki_accepts(&world, &last, &leaf);
    if let Ok(folder) = std::env::var("CHAINS_OUT") {
        write_chain(std::path::Path::new(&folder), "order-ca", &world, &last, &leaf);
    }
}

#[test]
fn the_compatible_profile_verifies_by_countersigns_rules_and_not_by_plain_ones() {
    let world = World::with(2, |terms| terms.name_constraints = NameConstraintsProfile::Compatible);
    let last = world.route(world.root_issuer());
    let leaf = world.provision(&last, "sn0000001");
    assert_eq!(journey(&world, &last, &leaf).hops.len(), 2);
    let mut plain = PathOptions::new(now(), Purpose::Client);
    plain.rules = Rules::Plain;
    let refusal = verify_path(&leaf, last.intermediates(), std::slice::from_ref(&world.root), &plain).unwrap_err();
    assert_eq!(refusal.reason.as_str(), "NAME_CONSTRAINTS_NOT_CRITICAL");
}

#[test]
fn a_device_certificate_is_exactly_the_designs() {
    let world = World::new(2);
    let last = world.route(world.root_issuer());
    let leaf = world.provision(&last, "SN0000001");
    assert_eq!(leaf.subject().to_string(), "CN=sn0000001");
    let name = format!("sn0000001.lot2.maker-2.lot1.maker-1.{BASE}");
    assert_eq!(leaf.subject_alt_names(), [GeneralName::Dns(name)]);
    assert_eq!(leaf.not_after(), UnixTime::NEVER);
    assert!(leaf.der().windows(15).any(|window| window == b"99991231235959Z"));
    assert_eq!(leaf.serial().as_bytes().len(), 17);
    assert!(leaf.basic_constraints().is_none());
    let listed: Vec<_> = leaf.extensions().map(|found| (found.dotted(), found.critical)).collect();
    let expected = [
        ("2.5.29.17", false),
        ("2.5.29.15", true),
        ("2.5.29.37", false),
        ("2.5.29.14", false),
        ("2.5.29.35", false),
        ("1.3.6.1.4.1.32473.1.2", false),
    ];
    assert_eq!(listed, expected.map(|(oid, critical)| (oid.to_owned(), critical)));
    let generation = leaf.extension(&OidArc::documentation().generation()).unwrap();
    assert_eq!(generation.value, [2, 1, 1]);
}

#[test]
fn a_handoff_certificate_is_exactly_the_designs() {
    let world = World::new(2);
    let first = world.hand_over(&world.root_issuer(), 1).issuer;
    let certificate = first.certificate().unwrap();
    let subtree = format!("lot1.maker-1.{BASE}");
    let digest = pki::Sha256::of(subtree.as_bytes()).to_string();
    assert_eq!(certificate.subject().common_names(), [format!("lot1.maker-1 {}", &digest[..12])]);
    assert_eq!(certificate.subject().organization().as_deref(), Some("Maker 1 Ltd."));
    assert_eq!(first.subtree().unwrap().as_str(), subtree);
    assert_eq!(certificate.basic_constraints().unwrap().path_len, Some(1));
    assert_eq!(certificate.key_usage().unwrap().names(), ["keyCertSign", "cRLSign"]);
    let window = certificate.private_key_usage_period().unwrap();
    assert_eq!(window.not_after, Some(time("2028-01-01T00:00:00Z")));
    assert_eq!(certificate.authority_key_id().unwrap().key_id.as_deref(), world.root.subject_key_id());
    let listed: Vec<_> = certificate.extensions().map(|found| (found.dotted(), found.critical)).collect();
    let expected = [
        ("2.5.29.15", true),
        ("2.5.29.14", false),
        ("2.5.29.19", true),
        ("2.5.29.35", false),
        ("2.5.29.30", true),
        ("2.5.29.16", false),
        ("2.5.29.32", false),
        ("1.3.6.1.4.1.32473.1.1", false),
    ];
    assert_eq!(listed, expected.map(|(oid, critical)| (oid.to_owned(), critical)));
}

fn write_chain(folder: &std::path::Path, name: &str, world: &World, last: &TestIssuer, leaf: &Certificate) {
    let pem = |certificates: &[&Certificate]| -> String {
        certificates.iter().map(|one| pki::pem::encode("CERTIFICATE", one.der())).collect()
    };
    let intermediates: Vec<_> = last.intermediates().iter().collect();
    std::fs::write(folder.join(format!("{name}-root.pem")), pem(&[&world.root])).unwrap();
    std::fs::write(folder.join(format!("{name}-cas.pem")), pem(&intermediates)).unwrap();
    std::fs::write(folder.join(format!("{name}-leaf.pem")), pem(&[leaf])).unwrap();
    for (number, ca) in intermediates.iter().enumerate() {
        std::fs::write(folder.join(format!("{name}-ca{number}.pem")), pem(&[ca])).unwrap();
    }
}

#[test]
#[ignore = "needs openssl"]
fn openssl_strict_accepts_every_depth() {
    let folder = tempfile::tempdir().unwrap();
    for hops in 1..=6 {
        let world = World::new(hops);
        let last = world.route(world.root_issuer());
        let leaf = world.provision(&last, "sn0000001");
        write_chain(folder.path(), "chain", &world, &last, &leaf);
        let file = |name: &str| folder.path().join(name);
        let output = std::process::Command::new("openssl")
            .args(["verify", "-x509_strict", "-purpose", "sslclient", "-attime", &now().as_secs().to_string()])
            .arg("-CAfile")
            .arg(file("chain-root.pem"))
            .arg("-untrusted")
            .arg(file("chain-cas.pem"))
            .arg(file("chain-leaf.pem"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{hops}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
