//! Kinds of keys: which a lot and a device may have, through whole chains, and which are refused by name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod requests;
mod world;

use std::path::Path;
use std::process::Command;

use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rsa::{KeyPair as RsaPair, KeySize};
use issuance::{AskedFor, CsrRefusal, DeviceRequest, KeyKind, KeyPolicy, SoftwareKey, SubjectKey, gate, make_csr};
use mfg::Generation;
use mfg::terms::{DeviceKeyAlgorithm as D, HandoffKeyAlgorithm as H};
use pki::path::{PathOptions, Purpose, verify_path};
use pki::{Certificate, SignatureAlgorithm};
use requests::{p521_request, rsa_key, rsa_request};
use world::*;

const HOPS: usize = 3;
const LOT_KEYS: [H; 3] = [H::P256, H::P384, H::Ed25519];
const DEVICE_KEYS: [D; 5] = [D::P256, D::P384, D::Ed25519, D::Rsa2048, D::Rsa3072];

/// A world in which lot keys and the root are of one kind, and devices may have every kind.
fn world_of(lot_keys: H) -> World {
    let mut world = World::with(HOPS, |terms| {
        terms.handoff_key = lot_keys;
        terms.device_keys = DEVICE_KEYS.to_vec();
    });
    world.root_key = key_of(lot_keys);
    world.root = make_root_of(lot_keys, &world.root_key, root_document());
    world
}

fn device_csr(kind: D) -> Vec<u8> {
    let made = |kind| make_csr(&SoftwareKey::generate(kind).unwrap(), "sn1").unwrap();
    match kind {
        D::P256 => made(KeyKind::P256),
        D::P384 => made(KeyKind::P384),
        D::Ed25519 => made(KeyKind::Ed25519),
        D::Rsa2048 => rsa_request(KeySize::Rsa2048),
        D::Rsa3072 => rsa_request(KeySize::Rsa3072),
    }
}

fn provision(world: &World, issuer: &TestIssuer, key: &SubjectKey) -> Certificate {
    let id = device("sn1");
    let request = DeviceRequest { key, device: &id, generation: Generation::FIRST, serial: serial(), now: now() };
    finish(issuer, issuer.draft_device(&world.order, request).unwrap())
}

fn webpki_accepts(world: &World, issuer: &TestIssuer, leaf: &Certificate) {
    use rustls_pki_types::{CertificateDer, UnixTime};
    let der = |certificate: &Certificate| CertificateDer::from(certificate.der().to_vec());
    let root = der(&world.root);
    let intermediates: Vec<_> = issuer.intermediates().iter().map(der).collect();
    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now().as_secs().cast_unsigned()));
    let usage = webpki::KeyUsage::client_auth();
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    let leaf = der(leaf);
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    leaf.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &anchors, &intermediates, at, usage, None, None).unwrap();
}

#[test]
fn every_kind_of_device_key_is_certified_under_every_kind_of_lot_key() {
    let csrs = DEVICE_KEYS.map(device_csr);
    for lot_keys in LOT_KEYS {
        let world = world_of(lot_keys);
        let last = world.route(world.root_issuer());
        let signed_with = match lot_keys {
            H::P256 => SignatureAlgorithm::EcdsaSha256,
            H::P384 => SignatureAlgorithm::EcdsaSha384,
            H::Ed25519 => SignatureAlgorithm::Ed25519,
        };
        for (kind, csr) in DEVICE_KEYS.into_iter().zip(&csrs) {
            let key = gate(csr, world.order.device_keys(), AskedFor::Device(&device("sn1"))).unwrap();
            let leaf = provision(&world, &last, &key);
            assert!(kind.fits(leaf.public_key().algorithm()), "{kind:?}");
            assert_eq!(leaf.public_key(), key.public_key());
            assert_eq!(leaf.signature_algorithm(), Some(signed_with), "{kind:?} below {lot_keys:?}");
            let options = PathOptions::new(now(), Purpose::Client);
            let anchors = std::slice::from_ref(&world.root);
            let path = verify_path(&leaf, last.intermediates(), anchors, &options);
            let path = path.unwrap_or_else(|refused| panic!("{kind:?} below {lot_keys:?}: {refused}"));
            assert_eq!(mfg::journey::read(&path, None).unwrap().hops.len(), HOPS);
            webpki_accepts(&world, &last, &leaf);
        }
    }
}

#[test]
fn a_lot_key_of_another_kind_than_the_terms_prescribe_is_refused() {
    let asked_for = lot(1);
    for prescribed in LOT_KEYS {
        let world = world_of(prescribed);
        let judge = |csr: &[u8]| gate(csr, world.order.lot_keys(), AskedFor::Lot(&asked_for)).map(|_| ());
        for other in LOT_KEYS {
            let judged = judge(&make_csr(key_of(other).as_ref(), "lot1").unwrap());
            let expected = if other == prescribed { None } else { Some("CSR_KEY_NOT_ALLOWED") };
            assert_eq!(judged.err().map(|refusal| refusal.reason()), expected, "{other:?}, prescribed {prescribed:?}");
        }
        assert_eq!(judge(&rsa_request(KeySize::Rsa3072)).unwrap_err().reason(), "CSR_KEY_NOT_ALLOWED");
        assert_eq!(judge(&p521_request()).unwrap_err().reason(), "CSR_KEY_NOT_ALLOWED");
    }
}

#[test]
fn a_device_key_on_p521_or_of_another_rsa_size_is_refused_although_it_proves_possession() {
    let refusal = |csr: &[u8]| gate(csr, &KeyPolicy::of(&DEVICE_KEYS), AskedFor::Device(&device("sn1"))).unwrap_err();
    assert_eq!(refusal(&p521_request()), CsrRefusal::KeyNotAllowed("P-521".to_owned()));
    assert_eq!(refusal(&rsa_request(KeySize::Rsa4096)), CsrRefusal::KeyNotAllowed("RSA-4096".to_owned()));
}

#[test]
fn no_key_is_made_or_held_here_that_is_none_of_p256_p384_ed25519() {
    let rsa = RsaPair::generate(KeySize::Rsa2048).unwrap();
    let refused = SoftwareKey::from_pkcs8(rsa.as_der().unwrap().as_ref()).unwrap_err();
    assert_eq!(refused.reason(), "KEY_ALGORITHM_UNSUPPORTED");
}

/// A modulus of 2048 bits that is 1, and so a power of 65537, modulo every prime that CVE-2017-15361 shows at.
fn modulus_with_fingerprint() -> [u8; 256] {
    let step =
        [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157_u128].iter().product::<u128>() * 2;
    let rest = (0..2047).fold(1, |power, _| power * 2 % step);
    let mut modulus = [0; 256];
    modulus[240..].copy_from_slice(&(step - rest + 1).to_be_bytes());
    modulus[0] = 0x80;
    modulus
}

#[test]
fn an_rsa_key_of_the_form_that_cve_2017_15361_breaks_is_weak() {
    let policy = KeyPolicy::of(&[D::Rsa2048]);
    let mut modulus = modulus_with_fingerprint();
    let refusal = policy.check(&rsa_key(&modulus, &[1, 0, 1])).unwrap_err();
    assert_eq!(refusal, CsrRefusal::KeyWeak("an rsa modulus of the form that CVE-2017-15361 breaks"));
    // 3 instead of 1 modulo all of them: the fingerprint is gone.
    modulus[255] += 2;
    assert_ne!(policy.check(&rsa_key(&modulus, &[1, 0, 1])), Err(refusal));
}

/// A request as OpenSSL makes it, with a fresh key.
fn openssl_csr(folder: &Path, genpkey: &[&str], req: &[&str]) -> Vec<u8> {
    let (key, csr) = (folder.join("key.pem"), folder.join("csr.der"));
    let run = |command: &mut Command| {
        let output = command.output().unwrap();
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    };
    let mut parameters = Vec::new();
    if genpkey.first() == Some(&"DSA") {
        let file = folder.join("dsa.pem");
        let options = ["-pkeyopt", "dsa_paramgen_bits:2048", "-pkeyopt", "dsa_paramgen_q_bits:256"];
        run(Command::new("openssl")
            .args(["genpkey", "-genparam", "-algorithm", "DSA"])
            .args(options)
            .arg("-out")
            .arg(&file));
        parameters.extend(["-paramfile".into(), file.into_os_string()]);
    } else {
        parameters.extend(["-algorithm".into(), genpkey[0].into()]);
        parameters.extend(genpkey[1..].iter().flat_map(|option| ["-pkeyopt".into(), option.into()]));
    }
    run(Command::new("openssl").arg("genpkey").args(parameters).arg("-out").arg(&key));
    let request = ["req", "-new", "-subj", "/CN=sn1", "-outform", "DER"];
    run(Command::new("openssl").args(request).args(req).arg("-key").arg(&key).arg("-out").arg(&csr));
    std::fs::read(csr).unwrap()
}

/// What OpenSSL is asked to make (algorithm, then options of the key), how the request is signed, and what the gate says.
type FromOpenssl = (&'static [&'static str], &'static [&'static str], Result<(), &'static str>);

const FROM_OPENSSL: &[FromOpenssl] = &[
    (&["EC", "ec_paramgen_curve:P-256"], &[], Ok(())),
    (&["EC", "ec_paramgen_curve:P-384"], &["-sha384"], Ok(())),
    (&["ED25519"], &[], Ok(())),
    (&["RSA", "rsa_keygen_bits:2048"], &[], Ok(())),
    (&["RSA", "rsa_keygen_bits:3072"], &["-sha512"], Ok(())),
    (&["RSA", "rsa_keygen_bits:2048"], &["-sha1"], Err("CSR_SIGNATURE_ALGORITHM")),
    (&["RSA", "rsa_keygen_bits:512"], &[], Err("CSR_KEY_WEAK")),
    (&["RSA", "rsa_keygen_bits:1024"], &[], Err("CSR_KEY_WEAK")),
    (&["RSA", "rsa_keygen_bits:2047"], &[], Err("CSR_KEY_WEAK")),
    (&["RSA", "rsa_keygen_bits:2048", "rsa_keygen_pubexp:3"], &[], Err("CSR_KEY_WEAK")),
    (&["RSA", "rsa_keygen_bits:2056"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["RSA", "rsa_keygen_bits:4096"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["RSA-PSS", "rsa_keygen_bits:2048"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["EC", "ec_paramgen_curve:P-521"], &["-sha512"], Err("CSR_KEY_NOT_ALLOWED")),
    (&["EC", "ec_paramgen_curve:P-224"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["EC", "ec_paramgen_curve:secp256k1"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["EC", "ec_paramgen_curve:brainpoolP256r1"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["EC", "ec_paramgen_curve:P-256", "ec_param_enc:explicit"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["ED448"], &[], Err("CSR_KEY_NOT_ALLOWED")),
    (&["DSA"], &[], Err("CSR_KEY_NOT_ALLOWED")),
];

#[test]
#[ignore = "needs openssl"]
fn requests_by_openssl_pass_or_are_refused_for_their_key() {
    let folder = tempfile::tempdir().unwrap();
    let policy = KeyPolicy::of(&DEVICE_KEYS);
    for (genpkey, req, expected) in FROM_OPENSSL {
        let csr = openssl_csr(folder.path(), genpkey, req);
        let judged = gate(&csr, &policy, AskedFor::Device(&device("sn1"))).map(|_| ());
        assert_eq!(judged.as_ref().map_err(CsrRefusal::reason).copied(), *expected, "{genpkey:?} {req:?}: {judged:?}");
    }
}
