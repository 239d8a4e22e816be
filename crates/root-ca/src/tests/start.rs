//! What a configuration must bring before the process starts.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};

use ::service::{config, config::ConfigDirectory, shell::Service as _};
use issuance::{KeyPolicy, RootMaker, SigningKey, SoftwareKey, Stage, profile::RootProfileDocument};
use mfg::{OrderCa, terms::HandoffKeyAlgorithm};
use pki::{Certificate, pem};
use tempfile::TempDir;

use super::{Brand, KEYS, Unrecorded, draft, key, maker, order_ca::order_ca, period, program, reason, serials};
use crate::{Config, RootCa, orders::DeviceRoot};

/// A brand's folder with everything that its configuration names.
struct Home(TempDir);

impl Home {
    fn new() -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.certificate("root.pem", &KEYS.anchor);
        home.key("root.key", &KEYS.root);
        home.key("identity.key", &KEYS.brand);
        for (name, key) in ["alice", "bob"].into_iter().zip(&KEYS.operators) {
            home.write(&format!("{name}.pub"), &pem::encode(pem::PUBLIC_KEY, key.public_key().spki()));
        }
        home
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path().join(name), text).unwrap();
    }

    fn certificate(&self, name: &str, certificate: &Certificate) {
        self.write(name, &pem::encode(pem::CERTIFICATE, certificate.der()));
    }

    fn key(&self, name: &str, key: &SoftwareKey) {
        self.write(name, &pem::encode(pem::PRIVATE_KEY, &key.to_pkcs8().unwrap()));
        fs::set_permissions(self.path().join(name), fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// What `--check-config` says of the sample with these lines in `[root]`.
    fn check(&self, mode: &str, root: &str) -> &'static str {
        let text = format!(
            r#"
manufacturer = "company-x"
mode = "{mode}"
identity = {{ certificate = "root-ca.pem", key = "root-ca.key" }}
listen = {{ grpc = "127.0.0.1:0", health = "127.0.0.1:0" }}
store = {{ directory = "store" }}
brand = {{ identity_key = "identity.key" }}
[root]
{root}
[terms]
devices = {{ not_before = "2026-01-01T00:00:00Z", not_after = "never" }}
cas = {{ not_before = "2026-01-01T00:00:00Z", not_after = "never" }}
handoff_key = "p256"
device_keys = ["p256"]
[approvals]
required = 2
operators = [{{ name = "alice", approval_key = "alice.pub" }}, {{ name = "bob", approval_key = "bob.pub" }}]
"#
        );
        let config: Config = config::parse(&text, &self.path().join("root-ca.toml")).unwrap();
        let checked = RootCa.check(&config, &ConfigDirectory::new(self.path()));
        assert!(!self.path().join("store").exists(), "a check creates nothing");
        checked.map_or_else(|refusal| refusal.reason(), |()| "OK")
    }
}

/// A root for real devices: without the development marker.
fn production_root() -> (Certificate, Arc<SoftwareKey>) {
    let key = Arc::new(key());
    let document = RootProfileDocument {
        organization: "Company X".to_owned(),
        common_name: "Company X Device Root".to_owned(),
        validity: period("2025-01-01T00:00:00Z"),
        stage: Stage::Production,
    };
    let signer = Arc::clone(&key) as Arc<dyn SigningKey>;
    let policy = KeyPolicy::ca(HandoffKeyAlgorithm::P256);
    let maker = RootMaker::<Unrecorded>::new(signer, &policy, document.check().unwrap()).unwrap();
    let draft = maker.draft(serials(11).next_serial().unwrap()).unwrap();
    let receipt = Unrecorded(draft.tbs_digest());
    (maker.sign(draft.recorded(receipt).unwrap()).unwrap().into_certificate().unwrap(), key)
}

const ROOT: &str = r#"anchor = "root.pem"
key = "root.key""#;
const ORDER_CA: &str = r#"anchor = "root.pem"
order_ca = "order-ca.pem"
key = "order-ca.key""#;

#[test]
fn production_refuses_a_development_anchor_and_development_takes_it() {
    let home = Home::new();
    assert_eq!(home.check("development", ROOT), "OK");
    assert_eq!(home.check("production", ROOT), "DEVELOPMENT_ANCHOR");
    // Neither does an order CA under it hide it.
    let (certificate, key) = order_ca("smart-widget.company-x.example", 5);
    home.certificate("order-ca.pem", &certificate);
    home.key("order-ca.key", &key);
    assert_eq!(home.check("production", ORDER_CA), "DEVELOPMENT_ANCHOR");
    let (certificate, key) = production_root();
    home.certificate("root.pem", &certificate);
    home.key("root.key", &key);
    assert_eq!(home.check("production", ROOT), "OK");
}

#[test]
fn an_order_ca_starts_with_its_own_key_under_its_own_root_and_nothing_else() {
    let home = Home::new();
    let (certificate, key) = order_ca("smart-widget.company-x.example", 5);
    assert_eq!(home.check("development", ORDER_CA), "FILE_MISSING");
    home.certificate("order-ca.pem", &certificate);
    home.key("order-ca.key", &KEYS.root);
    assert_eq!(home.check("development", ORDER_CA), "ISSUER_KEY_MISMATCH");
    home.key("order-ca.key", &key);
    assert_eq!(home.check("development", ORDER_CA), "OK");
    // The root's key is somewhere else: that is what the order CA is for.
    fs::remove_file(home.path().join("root.key")).unwrap();
    assert_eq!(home.check("development", ORDER_CA), "OK");
    assert_eq!(home.check("development", ROOT), "FILE_MISSING");
    // Under another root it is a stranger.
    home.certificate("root.pem", &production_root().0);
    assert_eq!(home.check("development", ORDER_CA), "UNKNOWN_ISSUER");
    // A file with more than the one certificate is not read as a chain.
    home.certificate("root.pem", &KEYS.anchor);
    let two = [&certificate, &KEYS.anchor].map(|c| pem::encode(pem::CERTIFICATE, c.der())).concat();
    home.write("order-ca.pem", &two);
    assert_eq!(home.check("development", ORDER_CA), "FILE_MALFORMED");
}

#[test]
fn production_takes_a_program_of_an_arc_of_its_own_and_no_other() {
    let (anchor, key) = production_root();
    let root = DeviceRoot { anchor, chain: Vec::new(), stage: Stage::Production, order_ca: OrderCa::Absent, key };
    let brand = Brand::empty().under(root);
    assert_eq!(reason(brand.orders.check_arc(&program("smart-widget"))), "DOCUMENTATION_ARC");
    let own = api::program::v1::Program { oid_arc: "1.3.6.1.4.1.99999".to_owned(), ..program("smart-widget") };
    brand.orders.check_arc(&own).unwrap();
    brand.register(100, own).unwrap();
    brand.register(101, maker(1)).unwrap();
    brand.open(1, &draft("po-1", 1));
    // A program of a development store is refused when an order is made of it.
    brand.register(102, program("toy")).unwrap();
    let mut toy = draft("po-2", 1);
    toy.program = "toy".to_owned();
    assert_eq!(reason(brand.create(4, &toy)), "DOCUMENTATION_ARC");
}
