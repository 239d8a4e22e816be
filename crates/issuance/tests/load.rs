//! What no issuer is loaded with, each by its name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use std::sync::Arc;

use issuance::profile::Stage;
use issuance::{Issuer, LoadOptions, LoadRefusal, SigningKey, SoftwareKey};
use mfg::OidArc;
use pki::{Certificate, PublicKey};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, GeneralSubtree, IsCa, KeyPair, KeyUsagePurpose,
    NameConstraints,
};
use time::OffsetDateTime;
use world::{TestReceipt, World, new_key, now, time as at};

/// A CA that some other tool made, with whatever faults.
struct Made {
    certificate: Certificate,
    params: CertificateParams,
    pair: KeyPair,
}

fn date(text: &str) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at(text).as_secs()).unwrap()
}

fn params(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date("2026-01-01T00:00:00Z");
    params.not_after = date("2036-01-01T00:00:00Z");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    change(&mut params);
    params
}

fn root(change: impl FnOnce(&mut CertificateParams)) -> Made {
    let (params, pair) = (params("root", change), KeyPair::generate().unwrap());
    let certificate = params.self_signed(&pair).unwrap();
    Made { certificate: Certificate::parse(certificate.der()).unwrap(), params, pair }
}

/// A CA below `above`: constrained to `subtree`, with AKI, before `change`.
fn ca(above: &Made, name: &str, subtree: &str, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let params = params(name, |params| {
        params.use_authority_key_identifier_extension = true;
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(subtree.to_owned())],
            excluded_subtrees: Vec::new(),
        });
        change(params);
    });
    let pair = KeyPair::generate().unwrap();
    let issuer = rcgen::Issuer::from_params(&above.params, &above.pair);
    let certificate = params.signed_by(&pair, &issuer).unwrap();
    Made { certificate: Certificate::parse(certificate.der()).unwrap(), params, pair }
}

fn window(from: &str, to: &str) -> CustomExtension {
    let value = [&[0x30, 34, 0x80, 15][..], from.as_bytes(), &[0x81, 15], to.as_bytes()].concat();
    CustomExtension::from_oid_content(&[2, 5, 29, 16], value)
}

fn options(stage: Stage) -> LoadOptions {
    LoadOptions { stage, oid_arc: OidArc::documentation(), now: now() }
}

fn load(chain: &[&Made]) -> Result<Issuer<TestReceipt>, LoadRefusal> {
    let key = SoftwareKey::from_pkcs8(&chain[0].pair.serialize_der()).unwrap();
    let certificates = chain.iter().map(|made| made.certificate.clone()).collect();
    Issuer::load(certificates, Arc::new(key), &options(Stage::Development))
}

fn reason(result: Result<Issuer<TestReceipt>, LoadRefusal>) -> &'static str {
    result.unwrap_err().reason()
}

#[test]
fn a_sound_ca_loads_whoever_made_it() {
    let root = root(|_| {});
    let order_ca = ca(&root, "order ca", "company-x.example", |_| {});
    let issuer = load(&[&order_ca, &root]).unwrap();
    assert_eq!(issuer.subtree().unwrap().as_str(), "company-x.example");
    assert_eq!(issuer.path_length_left(), None);
    assert_eq!(issuer.intermediates().len(), 1);
    assert_eq!(load(&[&root]).unwrap().intermediates().len(), 0);
}

#[test]
fn chain_empty() {
    let key: Arc<dyn SigningKey> = new_key();
    assert_eq!(reason(Issuer::load(Vec::new(), key, &options(Stage::Development))), "CHAIN_EMPTY");
}

#[test]
fn issuer_key_mismatch() {
    let key: Arc<dyn SigningKey> = new_key();
    let chain = vec![root(|_| {}).certificate];
    assert_eq!(reason(Issuer::load(chain, key, &options(Stage::Development))), "ISSUER_KEY_MISMATCH");
}

#[test]
fn not_a_ca() {
    assert_eq!(reason(load(&[&root(|params| params.is_ca = IsCa::NoCa)])), "NOT_A_CA");
    assert_eq!(reason(load(&[&root(|params| params.is_ca = IsCa::ExplicitNoCa)])), "NOT_A_CA");
}

#[test]
fn ca_without_key_cert_sign() {
    let root = root(|params| params.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert_eq!(reason(load(&[&root])), "CA_WITHOUT_KEY_CERT_SIGN");
    let unstated = self::root(|params| params.key_usages = Vec::new());
    assert_eq!(reason(load(&[&unstated])), "CA_WITHOUT_KEY_CERT_SIGN");
}

#[test]
fn a_chain_that_does_not_link() {
    let (root, stranger) = (root(|_| {}), root(|_| {}));
    let order_ca = ca(&root, "order ca", "company-x.example", |_| {});
    assert_eq!(reason(load(&[&order_ca, &stranger])), "UNKNOWN_ISSUER");
    // A certificate that is on no path would lend its limits to the issuer.
    let sibling = ca(&root, "sibling", "example", |_| {});
    assert_eq!(reason(load(&[&order_ca, &sibling, &root])), "CHAIN_WITH_STRANGERS");
}

#[test]
fn expired() {
    let root = root(|params| params.not_after = date("2026-02-01T00:00:00Z"));
    let order_ca = ca(&root, "order ca", "company-x.example", |_| {});
    assert_eq!(reason(load(&[&order_ca, &root])), "ANCHOR_EXPIRED");
}

#[test]
fn path_length_exceeded() {
    let root = root(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let one = ca(&root, "one", "company-x.example", |_| {});
    let two = ca(&one, "two", "a.company-x.example", |_| {});
    let three = ca(&two, "three", "b.a.company-x.example", |_| {});
    assert!(load(&[&one, &root]).is_ok());
    assert_eq!(reason(load(&[&three, &two, &one, &root])), "PATH_LENGTH_EXCEEDED");
}

#[test]
fn validity_not_nested() {
    let root = root(|_| {});
    let order_ca = ca(&root, "order ca", "company-x.example", |params| params.not_after = date("2036-01-01T00:00:01Z"));
    assert_eq!(reason(load(&[&order_ca, &root])), "VALIDITY_NOT_NESTED");
}

#[test]
fn signing_window_not_nested() {
    let root = root(|_| {});
    let one = ca(&root, "one", "company-x.example", |params| {
        params.custom_extensions = vec![window("20260101000000Z", "20280101000000Z")];
    });
    let two = ca(&one, "two", "a.company-x.example", |params| {
        params.custom_extensions = vec![window("20260101000000Z", "20280101000001Z")];
    });
    assert_eq!(load(&[&one, &root]).unwrap().signing_window().unwrap().not_after.0, at("2028-01-01T00:00:00Z"));
    assert_eq!(reason(load(&[&two, &one, &root])), "SIGNING_WINDOW_NOT_NESTED");
}

#[test]
fn subtree_not_nested() {
    let root = root(|_| {});
    let unconstrained = ca(&root, "free", "company-x.example", |params| params.name_constraints = None);
    assert_eq!(reason(load(&[&unconstrained, &root])), "SUBTREE_NOT_NESTED");
    let one = ca(&root, "one", "a.company-x.example", |_| {});
    let wider = ca(&one, "two", "company-x.example", |_| {});
    assert_eq!(reason(load(&[&wider, &one, &root])), "SUBTREE_NOT_NESTED");
}

#[test]
fn a_handoff_that_does_not_read_or_spells_another_subtree() {
    let root = root(|_| {});
    let arcs = [1, 3, 6, 1, 4, 1, 32473, 1, 1];
    let garbled = ca(&root, "one", "company-x.example", |params| {
        params.custom_extensions = vec![CustomExtension::from_oid_content(&arcs, vec![0x30, 0])];
    });
    assert_eq!(reason(load(&[&garbled, &root])), "HANDOFF_MALFORMED");
    // A genuine handoff in a certificate whose subtree spells another lot.
    let world = World::new(1);
    let handoff = world.accept(world.consignment(1), &new_key()).to_der();
    let other = ca(&root, "two", "lot9.maker-1.company-x.example", |params| {
        params.custom_extensions = vec![CustomExtension::from_oid_content(&arcs, handoff)];
    });
    assert_eq!(reason(load(&[&other, &root])), "SUBTREE_INVALID");
}

#[test]
fn development_anchor() {
    let world = World::new(1);
    let key: Arc<dyn SigningKey> = world.root_key.clone();
    let loaded = Issuer::load(vec![world.root.clone()], key, &options(Stage::Production));
    assert_eq!(reason(loaded), "DEVELOPMENT_ANCHOR");
}

#[test]
fn documentation_arc() {
    let root = root(|_| {});
    let key: Arc<dyn SigningKey> = Arc::new(SoftwareKey::from_pkcs8(&root.pair.serialize_der()).unwrap());
    let load = |oid_arc: OidArc| {
        let options = LoadOptions { oid_arc, ..options(Stage::Production) };
        Issuer::<TestReceipt>::load(vec![root.certificate.clone()], Arc::clone(&key), &options)
    };
    assert_eq!(reason(load(OidArc::documentation())), "DOCUMENTATION_ARC");
    assert!(load(OidArc::parse("1.3.6.1.4.1.99999").unwrap()).is_ok());
}

#[test]
fn missing_subject_key_id() {
    // rcgen always writes one for a CA, so the extension's type is spoilt afterwards: 2.5.29.14 becomes 2.5.29.13.
    let world_key = new_key();
    let certificate = world::make_root(&world_key, world::root_document());
    let spoilt = spoil(&certificate, world_key.as_ref());
    let key: Arc<dyn SigningKey> = world_key;
    let public: &PublicKey = key.public_key();
    assert_eq!(spoilt.public_key(), public);
    assert_eq!(reason(Issuer::load(vec![spoilt], key, &options(Stage::Development))), "MISSING_SUBJECT_KEY_ID");
}

fn spoil(certificate: &Certificate, key: &SoftwareKey) -> Certificate {
    let mut tbs = certificate.tbs().to_vec();
    let place = tbs.windows(5).position(|window| window == [6, 3, 0x55, 0x1d, 14]).unwrap();
    tbs[place + 4] = 13;
    let signature = key.sign(&tbs).unwrap();
    let bits = [&[3, signature.len() as u8 + 1, 0][..], &signature].concat();
    let content = [&tbs[..], key.algorithm().identifier_der(), &bits].concat();
    let length = (content.len() as u16).to_be_bytes();
    Certificate::parse(&[&[0x30, 0x82][..], &length, &content].concat()).unwrap()
}
