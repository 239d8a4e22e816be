//! Ceremonies over real files: what they make, what they refuse, and how they go on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use ceremony::{Ceremony, CeremonyRefusal, Evidence, keys};
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use mfg::oid;
use pki::{
    Certificate, Sha256, UnixTime,
    path::{PathOptions, Purpose, verify_path},
    pem,
};
use tempfile::TempDir;
use zeroize::Zeroizing;

const PASSPHRASE: &str = "correct horse battery";

fn now() -> UnixTime {
    UnixTime::parse("2026-06-01T12:00:00Z").unwrap()
}

fn sample(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../deploy/ceremony/{name}.toml"));
    fs::read_to_string(path).unwrap()
}

/// A folder with the files of ceremonies in it.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn hold(&self, name: &str) -> Result<Evidence, CeremonyRefusal> {
        self.hold_and_answer(name, &mut |prompt| panic!("asked: {prompt}"))
    }

    fn hold_and_answer(&self, name: &str, ask: &mut keys::Ask<'_>) -> Result<Evidence, CeremonyRefusal> {
        Ceremony::read(&self.path(name))?.hold(now(), ask)
    }

    fn refused(&self, name: &str) -> &'static str {
        let before = self.listing();
        let reason = self.hold(name).unwrap_err().reason();
        assert_eq!(self.listing(), before, "{reason} left something");
        reason
    }

    fn listing(&self) -> Vec<(PathBuf, Sha256)> {
        let mut found = Vec::new();
        let mut waiting = vec![self.0.path().to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    waiting.push(path);
                } else {
                    found.push((path.clone(), Sha256::of(&fs::read(path).unwrap())));
                }
            }
        }
        found.sort();
        found
    }

    fn certificate(&self, name: &str) -> Certificate {
        pem::certificates(&fs::read_to_string(self.path(name)).unwrap()).unwrap().remove(0)
    }
}

/// The root sample with its key under a passphrase in a file.
fn offline_root(place: &Place) {
    let text = sample("root").replace("\"file-mode\"", "\"passphrase\"").replace("#passphrase_file", "passphrase_file");
    place.write("root.toml", &text);
    place.write("root.passphrase", &format!("{PASSPHRASE}\n"));
    place.hold("root.toml").unwrap();
}

#[test]
fn the_root_of_the_sample_is_made_with_evidence() {
    let place = Place::new();
    place.write("root.toml", &sample("root"));
    let evidence = place.hold("root.toml").unwrap();

    let root = place.certificate("root.pem");
    assert!(root.is_ca() && oid::is_development_anchor(&root));
    assert_eq!(evidence.certificate.sha256, root.sha256().to_string());
    assert_eq!(evidence.certificate.tbs_sha256, Sha256::of(root.tbs()).to_string());
    assert_eq!(fs::read(place.path("root-ceremony/tbs.der")).unwrap(), root.tbs());
    assert_eq!(fs::read_to_string(place.path("root-ceremony/input.toml")).unwrap(), sample("root"));
    assert_eq!(evidence.input.sha256, Sha256::of(sample("root").as_bytes()).to_string());
    let written = fs::read_to_string(place.path("root-ceremony/evidence.json")).unwrap();
    assert!(written.contains(&evidence.certificate.sha256) && written.contains("\"Alice Example\""));

    let key = keys::read(&place.path("root.key"), None, &mut |_| unreachable!()).unwrap();
    assert_eq!(key.public_key(), root.public_key());
    assert_eq!(fs::metadata(place.path("root.key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_production_root_has_no_marker_and_other_kinds_of_keys_are_made() {
    for algorithm in ["p384", "ed25519"] {
        let place = Place::new();
        let text = sample("root")
            .replace("algorithm = \"p256\"", &format!("algorithm = \"{algorithm}\""))
            .replace("stage = \"development\"", "stage = \"production\"");
        place.write("root.toml", &text);
        let evidence = place.hold("root.toml").unwrap();
        assert_eq!((evidence.certificate.stage, evidence.key.algorithm), ("production", algorithm));
        assert!(!oid::is_development_anchor(&place.certificate("root.pem")));
    }
}

#[test]
fn an_order_ca_is_certified_by_an_offline_root_and_verifies_below_it() {
    let place = Place::new();
    offline_root(&place);
    let text = sample("order-ca").replacen("#passphrase_file", "passphrase_file", 1);
    place.write("order-ca.toml", &text);
    let evidence = place.hold("order-ca.toml").unwrap();
    let (root, order_ca) = (place.certificate("root.pem"), place.certificate("order-ca.pem"));
    assert_eq!(evidence.issuer.unwrap().sha256, root.sha256().to_string());
    assert_eq!((evidence.kind, evidence.certificate.stage), ("order-ca", "development"));
    verify_path(&order_ca, &[], &[root], &PathOptions::new(now(), Purpose::Any)).unwrap();
    let key = keys::read(&place.path("order-ca.key"), None, &mut |_| unreachable!()).unwrap();
    assert_eq!(key.public_key(), order_ca.public_key());
}

#[test]
fn an_order_ca_whose_key_stays_elsewhere_is_certified_from_a_csr() {
    let place = Place::new();
    offline_root(&place);
    let key = SoftwareKey::generate(KeyKind::P256).unwrap();
    let csr = make_csr(&key, "order-ca").unwrap();
    fs::write(place.path("order-ca.csr"), pem::encode(pem::CERTIFICATE_REQUEST, &csr)).unwrap();
    let text = sample("order-ca")
        .replacen("#passphrase_file", "passphrase_file", 1)
        .replace("file = \"order-ca.key\"", "csr = \"order-ca.csr\"")
        .replace("protection = \"file-mode\"", "");
    place.write("order-ca.toml", &text);
    let evidence = place.hold("order-ca.toml").unwrap();
    assert_eq!(place.certificate("order-ca.pem").public_key(), key.public_key());
    assert!(evidence.key.attributes.contains(&Sha256::of(&csr).to_string()), "{}", evidence.key.attributes);
    assert!(evidence.key.file.is_none() && !place.path("order-ca.key").exists());

    // The CSR must prove what the file says.
    let other = SoftwareKey::generate(KeyKind::P384).unwrap();
    fs::write(place.path("order-ca.csr"), make_csr(&other, "order-ca").unwrap()).unwrap();
    let again = text.replace("order-ca-ceremony", "other-ceremony").replace("order-ca.pem", "other.pem");
    place.write("other.toml", &again);
    assert_eq!(place.refused("other.toml"), "CSR_KEY_NOT_ALLOWED");
}

#[test]
fn a_passphrase_that_is_asked_for_is_typed_twice_and_opens_the_key() {
    let place = Place::new();
    place.write("root.toml", &sample("root").replace("\"file-mode\"", "\"passphrase\""));
    let mut typed = vec!["one", "another"].into_iter();
    let refusal =
        place.hold_and_answer("root.toml", &mut |_| Ok(Zeroizing::new(typed.next().unwrap().to_owned()))).unwrap_err();
    assert_eq!(refusal.reason(), "PASSPHRASES_DIFFER");
    // Nothing but the copy of the file was made: the same ceremony goes on.
    let mut prompts = 0;
    let mut answer = |_: &str| {
        prompts += 1;
        Ok(Zeroizing::new(PASSPHRASE.to_owned()))
    };
    place.hold_and_answer("root.toml", &mut answer).unwrap();
    assert_eq!(prompts, 2);
    let text = fs::read_to_string(place.path("root.key")).unwrap();
    assert!(text.contains(pem::ENCRYPTED_PRIVATE_KEY));
    keys::read(&place.path("root.key"), None, &mut |_| Ok(Zeroizing::new(PASSPHRASE.to_owned()))).unwrap();
    let wrong = keys::read(&place.path("root.key"), None, &mut |_| Ok(Zeroizing::new("wrong".to_owned())));
    assert!(["PASSPHRASE_WRONG", "KEY_MALFORMED"].contains(&wrong.unwrap_err().reason()));
}

#[test]
fn nothing_is_overwritten() {
    for output in ["root.key", "root.pem", "root-ceremony"] {
        let place = Place::new();
        place.write("root.toml", &sample("root"));
        match output {
            "root-ceremony" => {
                fs::create_dir(place.path(output)).unwrap();
                fs::write(place.path("root-ceremony/theirs"), "x").unwrap();
            }
            _ => place.write(output, "theirs"),
        }
        assert_eq!(place.refused("root.toml"), "OUTPUT_EXISTS", "{output}");
    }
    let place = Place::new();
    place.write("root.toml", &sample("root"));
    place.hold("root.toml").unwrap();
    assert_eq!(place.refused("root.toml"), "CEREMONY_HELD");
    place.write("root.toml", &sample("root").replace("Development Device Root", "Other Root"));
    assert_eq!(place.refused("root.toml"), "CEREMONY_DIFFERS");
}

/// Whatever was on disk when it was interrupted, the same key and the same TBS are used, and a made certificate is kept.
#[test]
fn an_interrupted_ceremony_goes_on_where_it_stopped() {
    let steps = ["evidence.json", "../root.pem", "tbs.der", "../root.key"];
    for interrupted_before in 1..=steps.len() {
        let place = Place::new();
        place.write("root.toml", &sample("root"));
        let first = place.hold("root.toml").unwrap();
        for missing in &steps[..interrupted_before] {
            fs::remove_file(place.path("root-ceremony").join(missing)).unwrap();
        }
        let again = place.hold("root.toml").unwrap();
        let same = |a: &str, b: &str| a == b;
        assert_eq!(same(&again.key.spki_sha256, &first.key.spki_sha256), interrupted_before < 4);
        assert_eq!(same(&again.certificate.tbs_sha256, &first.certificate.tbs_sha256), interrupted_before < 3);
        assert_eq!(same(&again.certificate.sha256, &first.certificate.sha256), interrupted_before < 2);
        let root = place.certificate("root.pem");
        verify_path(&root, &[], std::slice::from_ref(&root), &PathOptions::new(now(), Purpose::Any)).unwrap();
    }
}

#[test]
fn a_record_that_is_of_another_key_or_another_certificate_is_not_signed() {
    let (place, other) = (Place::new(), Place::new());
    for place in [&place, &other] {
        place.write("root.toml", &sample("root"));
        place.hold("root.toml").unwrap();
        fs::remove_file(place.path("root-ceremony/evidence.json")).unwrap();
    }
    fs::copy(other.path("root-ceremony/tbs.der"), place.path("root-ceremony/tbs.der")).unwrap();
    assert_eq!(place.refused("root.toml"), "OUTPUT_EXISTS");
    fs::remove_file(place.path("root.pem")).unwrap();
    assert_eq!(place.refused("root.toml"), "ISSUER_MISMATCH");
}

#[test]
fn a_check_makes_nothing_and_finds_what_holding_would_find() {
    let place = Place::new();
    place.write("root.toml", &sample("root"));
    let before = place.listing();
    let outline = Ceremony::read(&place.path("root.toml")).unwrap().check(now(), &mut |_| unreachable!()).unwrap();
    assert_eq!(outline.outputs, [place.path("root.pem"), place.path("root.key")]);
    assert_eq!(place.listing(), before);
    let held = place.hold("root.toml").unwrap();
    assert_eq!(held.certificate.profile_sha256, outline.profile.to_string());
    let again = Ceremony::read(&place.path("root.toml")).unwrap().check(now(), &mut |_| unreachable!());
    assert_eq!(again.unwrap_err().reason(), "CEREMONY_HELD");
}

#[test]
fn a_file_that_does_not_fit_together_is_refused_by_name() {
    let cases = [
        ("version = 1", "version = 2", "CONFIG_INVALID"),
        ("title = ", "unheard_of = ", "CONFIG_INVALID"),
        ("organization = \"Company-X\"", "organization = \" \"", "PROFILE_NAME_INVALID"),
        ("not_after = \"never\"", "not_after = \"2025-01-01T00:00:00Z\"", "PERIOD_NOT_ORDERED"),
        ("protection = \"file-mode\"", "", "CONFIG_INVALID"),
        ("protection = \"file-mode\"", "protection = \"file-mode\"\ncsr = \"x\"", "CONFIG_INVALID"),
        ("#passphrase_file", "passphrase_file", "CONFIG_INVALID"),
        ("[key]", "[issuer]\ncertificate = \"a\"\nkey = \"b\"\n[key]", "CONFIG_INVALID"),
    ];
    for (from, to, reason) in cases {
        let place = Place::new();
        let changed = sample("root").replacen(from, to, 1);
        assert_ne!(changed, sample("root"), "{from}");
        place.write("root.toml", &changed);
        assert_eq!(place.refused("root.toml"), reason, "{to}");
    }
    assert_eq!(Place::new().refused("root.toml"), "FILE_MISSING");
}

#[test]
fn an_order_ca_that_its_root_cannot_sign_is_refused_before_anything_is_made() {
    let place = Place::new();
    offline_root(&place);
    let order_ca = sample("order-ca").replacen("#passphrase_file", "passphrase_file", 1);
    let cases = [
        ("path_length = 5", "path_length = 6", "CHAIN_TOO_DEEP"),
        ("base_name = \"smart-widget.company-x.example\"", "base_name = \"-\"", "BASE_NAME_INVALID"),
        (
            "not_before = \"2026-01-01T00:00:00Z\", not_after = \"never\"",
            "not_before = \"2020-01-01T00:00:00Z\", not_after = \"never\"",
            "VALIDITY_NOT_NESTED",
        ),
        ("passphrase_file = \"root.passphrase\"", "passphrase_file = \"wrong.passphrase\"", "PASSPHRASE_WRONG"),
        ("certificate = \"root.pem\"", "certificate = \"none.pem\"", "FILE_MISSING"),
    ];
    place.write("wrong.passphrase", "wrong\n");
    for (from, to, reason) in cases {
        let changed = order_ca.replacen(from, to, 1);
        assert_ne!(changed, order_ca, "{from}");
        place.write("order-ca.toml", &changed);
        let found = place.refused("order-ca.toml");
        // A wrong key leaves valid padding by chance once in 256; then the content is no key.
        assert!(found == reason || (reason == "PASSPHRASE_WRONG" && found == "KEY_MALFORMED"), "{to}: {found}");
    }
}

#[test]
fn an_exposed_passphrase_or_key_is_refused() {
    let place = Place::new();
    offline_root(&place);
    fs::set_permissions(place.path("root.passphrase"), fs::Permissions::from_mode(0o644)).unwrap();
    place.write("order-ca.toml", &sample("order-ca").replacen("#passphrase_file", "passphrase_file", 1));
    assert_eq!(place.refused("order-ca.toml"), "KEY_FILE_EXPOSED");
}
