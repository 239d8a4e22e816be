//! Octets that the readers accept: what mutations start from.

use std::{fs, path::Path};

use api::{custody::v1 as custody, issuance::v1 as issuing};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use mfg::{
    Acceptance, Bundle, Consignment, DeviceId, Handoff, Hop, IdentityKey, LotId, Manifest, ManufacturerId, Movement,
    OidArc, OrderId, ProgramId, Quantity, Statement, TermsDocument,
    terms::{
        Build, DeviceKeyAlgorithm, Edge, HandoffKeyAlgorithm, NameConstraintsProfile, Party, Period, Program,
        TermsTime, UnlimitedLots, Validity,
    },
};
use pki::{DnsName, Sha256, UnixTime, pem};
use prost::Message as _;
use records::{Act, Caller, keys, wire};
use serde_json::Value;
use store::{EmbeddedStore, Options, Store as _, TallyMove, Unit};

use crate::{devices, targets};

/// As the device SDKs write them, and at the edges.
const PROPERTY_BAGS: &[&str] = &[
    "%24.mid=id-0&%24.ct=application%2Fjson&%24.ce=utf-8&temperatureAlert=true",
    "devices/d1/messages/events/%24.ct=application%2Fjson&a=%C3%A4%20b&empty=&alone",
    "devices/d1/messages/devicebound/#",
    "$iothub/methods/res/200/?$rid=1",
    "$iothub/twin/PATCH/properties/reported/?$rid=7",
    "",
];

/// The seeds of a target.
pub(crate) fn of(target: &str) -> Vec<Vec<u8>> {
    match target {
        "csr" => vec![make_csr(&key(), "sn1").unwrap(), make_csr(&key(), "t7").unwrap()],
        "certificate_path" => chains(),
        "revocation_list" => revocation_lists(),
        "terms" => vec![terms()],
        "handoff_extension" => vec![handoff().to_der()],
        "bundle" => vec![bundle()],
        "manifest" => {
            let ids = ["sn1", "sn2", "sn3"].map(|id| DeviceId::parse(id).unwrap());
            vec![Manifest::of(ids).unwrap().as_bytes().to_vec()]
        }
        "journal" => vec![journal()],
        "page_token" => vec![records::page::token("lots", Some("b0032".to_owned())).into_bytes()],
        "grpc_bodies" => bodies(),
        "private_key" => {
            let pkcs8 = key().to_pkcs8().unwrap();
            vec![pkcs8.to_vec(), pem::encode("PRIVATE KEY", &pkcs8).into_bytes()]
        }
        "configuration" => configurations(),
        "property_bag" => PROPERTY_BAGS.iter().map(|text| text.as_bytes().to_vec()).collect(),
        "mqtt_packets" => {
            devices::mqtt_packets().into_iter().map(|packet| [&[3], packet.as_slice()].concat()).collect()
        }
        "mqtt_session" => vec![devices::mqtt_packets().concat()],
        "amqp_frames" => vec![devices::amqp_connection()],
        "amqp_connection" => vec![devices::amqp_connection()],
        other => panic!("no seeds for {other}"),
    }
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

fn published_vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors/limbo.json");
    let vectors: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    vectors["testcases"].as_array().unwrap().clone()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// The samples that are shipped.
fn configurations() -> Vec<Vec<u8>> {
    let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy");
    let samples =
        ["dev/root-ca", "dev/intermediate-ca", "dev/provisioner", "dev/hub", "ceremony/root", "ceremony/order-ca"];
    samples.map(|sample| fs::read(deploy.join(sample).with_extension("toml")).unwrap()).to_vec()
}

/// Chains of other makers, the leaf first, the anchors last.
fn chains() -> Vec<Vec<u8>> {
    let chain = |case: &Value| {
        let lists = [&case["untrusted_intermediates"], &case["trusted_certs"]];
        let others = lists.into_iter().filter_map(Value::as_array).flatten().map(text_of);
        std::iter::once(text_of(&case["peer_certificate"])).chain(others).collect::<Vec<_>>().join("\n").into_bytes()
    };
    published_vectors().iter().step_by(25).map(chain).filter(|chain| chain.len() < 16_384).collect()
}

fn revocation_lists() -> Vec<Vec<u8>> {
    let lists = published_vectors();
    let lists = lists.iter().filter_map(|case| case["crls"].as_array()?.first());
    let der = lists.filter_map(|list| Some(pem::blocks(text_of(list)).ok()?.first()?.der().to_vec()));
    der.take(5).collect()
}

fn maker(id: &str) -> ManufacturerId {
    ManufacturerId::parse(id).unwrap()
}

fn period() -> Period {
    Period { not_before: TermsTime(UnixTime::new(1_767_225_600)), not_after: TermsTime::never() }
}

fn terms() -> Vec<u8> {
    let document = TermsDocument {
        version: 1,
        order: OrderId::parse("po-1").unwrap(),
        order_version: 1,
        brand: maker("company-x"),
        program: Program {
            id: ProgramId::parse("smart-widget").unwrap(),
            base_name: DnsName::parse("smart-widget.company-x.example").unwrap(),
            oid_arc: OidArc::documentation(),
            max_device_id_length: 24,
            max_lot_id_length: 8,
        },
        quantity: Build { units: Quantity::of(1000).unwrap(), yield_allowance: 10 },
        graph: vec![Edge { from: maker("company-x"), to: maker("factory-y") }],
        device_issuers: vec![maker("factory-y")],
        parties: vec![Party {
            manufacturer: maker("factory-y"),
            name: "Factory-Y".to_owned(),
            identity_keys: vec![key().public_key().spki().to_vec()],
        }],
        handoff_key: HandoffKeyAlgorithm::P256,
        device_keys: vec![DeviceKeyAlgorithm::P256],
        validity: Validity { devices: period(), cas: period() },
        signing_window: period(),
        rework_cap: 1,
        replacement_cap: 1,
        manifest_digest: None,
        unlimited_lots: UnlimitedLots::Refused,
        name_constraints: NameConstraintsProfile::Critical,
    };
    document.check().unwrap().bytes().as_bytes().to_vec()
}

fn consignment() -> Consignment {
    Consignment {
        program: ProgramId::parse("smart-widget").unwrap(),
        order: OrderId::parse("po-1").unwrap(),
        from: maker("company-x"),
        to: maker("factory-y"),
        lot: LotId::parse("b0032").unwrap(),
        quantity: Quantity::of(5000).unwrap(),
        hop: Hop::FIRST,
        terms_digest: Sha256::of(b"terms"),
    }
}

fn handoff() -> Handoff {
    let (identity, lot_key) = (key(), key());
    let statement = Statement::acceptance(lot_key.public_key().spki(), &consignment());
    let acceptance = Acceptance {
        identity_key_digest: identity.public_key().sha256(),
        signature: identity.sign(statement.to_be_signed()).unwrap(),
    };
    Handoff { consignment: consignment(), manifest_digest: Some(Sha256::of(b"manifest")), acceptance }
}

fn bundle() -> Vec<u8> {
    let identity = IdentityKey { manufacturer: maker("factory-y"), public_key: key().public_key().clone() };
    let bundle = Bundle { identity_keys: vec![identity], ..Bundle::default() };
    bundle.to_json().unwrap().into_bytes()
}

/// A journal with a lot, a device's intent and its result.
fn journal() -> Vec<u8> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    EmbeddedStore::init(&path, &targets::identity()).unwrap();
    let store = EmbeddedStore::open(&path, Options { reserve_bytes: 0, ..Options::default() }).unwrap();
    let act = Act { at: UnixTime::new(1_780_000_000), caller: Caller::service("factory-y"), request: None };
    let moved = |movement| vec![TallyMove { lot: keys::lot("b0032"), movement }];
    let received = act.unit(api::journal::v1::record::Fact::LotReceived(api::journal::v1::LotReceived::default()));
    let opened = Unit { moves: moved(Movement::Open(Quantity::of(5).unwrap())), ..received };
    let intent = api::journal::v1::DeviceIntent { lot: "b0032".to_owned(), ..Default::default() };
    let intended = Unit {
        moves: moved(Movement::Provision),
        intent: Some(Sha256::of(b"tbs")),
        ..act.unit(api::journal::v1::record::Fact::DeviceIntent(intent))
    };
    store.commit(vec![opened, intended]).unwrap();
    drop(store);
    fs::read(path.join("journal/0000000000.segment")).unwrap()
}

fn bodies() -> Vec<Vec<u8>> {
    let request = issuing::DeviceRequest {
        request_id: "2f1c6a52-9c4f-4c0e-8a39-51d6c1f0f5b2".to_owned(),
        lot: "b0032".to_owned(),
        device_id: "sn1".to_owned(),
        csr: Bytes::from(make_csr(&key(), "sn1").unwrap()),
        ..issuing::DeviceRequest::default()
    };
    let facts = wire::Facts {
        consignment: consignment(),
        manifest_digest: None,
        subtree: DnsName::parse("b0032.factory-y.smart-widget.company-x.example").unwrap(),
    };
    let tally = custody::Tally { provisioned: 3, ..custody::Tally::default() };
    vec![
        request.encode_to_vec(),
        issuing::IssueDevicesRequest { request: Some(request), ..Default::default() }.encode_to_vec(),
        wire::facts(&facts).encode_to_vec(),
        wire::acceptance(&handoff().acceptance).encode_to_vec(),
        tally.encode_to_vec(),
    ]
}
