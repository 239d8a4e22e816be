//! Every reader of strangers' octets, as a function of octets. It must neither panic nor believe what it should not: what it does
//! accept is looked at. `fuzz/` drives the same functions with coverage, the test beside this file with a bounded share.

use std::path::Path;

use api::{custody, handoff, issuance as issuing, journal, lot, manufacturer, order, program, provisioning};
use bytes::{Bytes, BytesMut};
use device_wire::{amqp, bag, mqtt, topic};
use issuance::{AskedFor, KeyPolicy, Passphrase, SoftwareKey, gate};
use mfg::{
    Bundle, DeviceId, Handoff, LotId, Manifest, Terms,
    terms::{DeviceKeyAlgorithm, HandoffKeyAlgorithm},
};
use pki::{
    Certificate, CertificateRequest, RevocationList, UnixTime,
    path::{PathOptions, Purpose, verify_path},
    pem,
};
use prost::Message;
use service::config::{self, ConfigError, ServiceConfig};
use store::StoreIdentity;

/// A reader by its name.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("csr", csr),
    ("certificate_path", certificate_path),
    ("revocation_list", revocation_list),
    ("terms", terms),
    ("handoff_extension", handoff_extension),
    ("bundle", bundle),
    ("manifest", manifest),
    ("journal", journal_segment),
    ("page_token", page_token),
    ("grpc_bodies", grpc_bodies),
    ("private_key", private_key),
    ("configuration", configuration),
    ("property_bag", property_bag),
    ("mqtt_packets", mqtt_packets),
    ("amqp_frames", amqp_frames),
    ("mqtt_session", mqtt_session),
    ("amqp_connection", amqp_connection),
];

/// A request for a device and for a lot. What passes has proved possession of a key that the policy allows.
pub fn csr(octets: &[u8]) {
    let (device, lot) = (DeviceId::parse("sn1").unwrap(), LotId::parse("t7").unwrap());
    let devices = KeyPolicy::of(&[DeviceKeyAlgorithm::P256]);
    let lots = KeyPolicy::ca(HandoffKeyAlgorithm::P256);
    for (policy, asked) in [(&devices, AskedFor::Device(&device)), (&lots, AskedFor::Lot(&lot))] {
        if let Ok(key) = gate(octets, policy, asked) {
            let request = CertificateRequest::parse(octets).expect("the gate passed what does not parse");
            assert_eq!(request.public_key().sha256(), key.public_key().sha256(), "another key than the request's");
        }
    }
}

/// Certificates in PEM or DER: the first is judged with all of them as candidates, and as anchors.
pub fn certificate_path(octets: &[u8]) {
    let text = std::str::from_utf8(octets).ok().and_then(|text| pem::certificates(text).ok());
    let certificates = text.or_else(|| Certificate::parse(octets).ok().map(|one| vec![one])).unwrap_or_default();
    let Some((leaf, others)) = certificates.split_first() else { return };
    let options = PathOptions::new(UnixTime::new(1_780_000_000), Purpose::Any);
    let _ = verify_path(leaf, others, &[], &options);
    if let Ok(path) = verify_path(leaf, others, &certificates, &options) {
        let _ = mfg::journey::read(&path, None).map(|journey| format!("{journey:?}"));
        let _ = mfg::journey::read_issuer(&path, Some(&Bundle::default()));
    }
}

/// A revocation list.
pub fn revocation_list(octets: &[u8]) {
    let _ = RevocationList::parse(octets).map(|list| format!("{list:?}"));
}

/// The terms of an order. There is one spelling of each.
pub fn terms(octets: &[u8]) {
    if let Ok(terms) = Terms::parse(octets) {
        assert_eq!(terms.bytes().as_bytes(), octets, "terms have two spellings");
    }
}

/// The handoff extension. DER has one spelling of each.
pub fn handoff_extension(octets: &[u8]) {
    if let Ok(handoff) = Handoff::from_der(octets) {
        assert_eq!(handoff.to_der(), octets, "a handoff has two spellings");
    }
}

/// What verifiers trust.
pub fn bundle(octets: &[u8]) {
    if let Ok(bundle) = Bundle::parse(octets) {
        let json = bundle.to_json().expect("what was read can be written");
        assert!(Bundle::parse(json.as_bytes()).is_ok(), "what was written cannot be read");
    }
}

/// A list of device ids. There is one spelling of each.
pub fn manifest(octets: &[u8]) {
    if let Ok(manifest) = Manifest::parse(octets) {
        assert_eq!(manifest.as_bytes(), octets, "a manifest has two spellings");
    }
}

/// The store that journals are put into.
pub fn identity() -> StoreIdentity {
    StoreIdentity::new("intermediate-ca", "factory-y", [7; 16]).unwrap()
}

/// A journal's first segment, header included, as it is, and with checksums that fit. What a start takes can be read.
pub fn journal_segment(octets: &[u8]) {
    thread_local! {
        static FOLDER: tempfile::TempDir = folder();
    }
    let identity = identity();
    for octets in [octets, &store::hostile::mended(&identity, octets)] {
        match FOLDER.with(|folder| store::hostile::journal(folder.path(), &identity, octets)) {
            Ok(records) => records.iter().for_each(|record| drop(records::read(record))),
            Err(refusal) => assert!(!refusal.reason().is_empty()),
        }
    }
}

/// In memory, where the system has such a place: a journal is synced before it is believed.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let place = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    tempfile::Builder::new().prefix("countersign-hostile-").tempdir_in(place).unwrap()
}

/// A page token of a list; only what this list gave out is taken.
pub fn page_token(octets: &[u8]) {
    let token = String::from_utf8_lossy(octets);
    if let Ok(page) = records::page::Page::read("lots", 10, &token)
        && let Some(after) = page.after()
    {
        assert_eq!(records::page::token("lots", Some(after.to_owned())), token, "a token that was never given out");
    }
}

/// Bodies of every service's requests, and what is read from them at the edge.
pub fn grpc_bodies(octets: &[u8]) {
    macro_rules! decode {
        ($($message:ty),* $(,)?) => { $(let _ = <$message>::decode(octets);)* };
    }
    decode!(
        program::v1::CreateProgramRequest,
        program::v1::GetBundleRequest,
        manufacturer::v1::RegisterManufacturerRequest,
        manufacturer::v1::RotateIdentityKeyRequest,
        order::v1::CreateOrderRequest,
        order::v1::ApproveOrderRequest,
        order::v1::AmendOrderRequest,
        handoff::v1::OfferHandoffRequest,
        handoff::v1::AcceptHandoffRequest,
        handoff::v1::ReportTallyRequest,
        lot::v1::ReceiveLotRequest,
        lot::v1::OpenLotRequest,
        lot::v1::ReinstateUnitsRequest,
        issuing::v1::IssueDevicesRequest,
        issuing::v1::ConfirmDevicesRequest,
        provisioning::v1::ProvisionStreamRequest,
        provisioning::v1::ConfirmWrittenRequest,
        journal::v1::Record,
    );
    if let Ok(facts) = custody::v1::HandoffFacts::decode(octets) {
        let _ = records::wire::read_facts("facts", Some(&facts));
    }
    if let Ok(tally) = custody::v1::Tally::decode(octets) {
        let _ = records::wire::read_tally("tally", Some(&tally));
    }
    if let Ok(acceptance) = custody::v1::Acceptance::decode(octets) {
        let _ = records::wire::read_acceptance("acceptance", Some(&acceptance));
    }
    if let Ok(request) = issuing::v1::DeviceRequest::decode(octets) {
        let _ = api::RequestId::parse(&request.request_id);
        let _ = DeviceId::parse(&request.device_id);
        csr(&request.csr);
    }
}

/// A private key file, plain or encrypted. What is read can be written.
pub fn private_key(octets: &[u8]) {
    for key in [SoftwareKey::from_pkcs8(octets), SoftwareKey::from_file(octets)].into_iter().flatten() {
        assert!(key.to_pkcs8().is_ok());
    }
    let _ = SoftwareKey::from_encrypted_pkcs8(octets, &Passphrase::new("1234"));
}

/// A file that somebody wrote: each service's configuration, and what a ceremony is to make. What is refused is refused by its line or
/// its field; what is taken would not be with a section that nobody knows.
pub fn configuration(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else { return };
    fn service<C: ServiceConfig>(text: &str, file: &Path) -> Result<(), ConfigError> {
        config::parse::<C>(text, file).map(|config| {
            let limits = config.limits();
            assert!(limits.message_bytes() > 0 && !limits.handshake_timeout().is_zero(), "no limit at all");
            assert!(config.peers().iter().all(|peer| !peer.roles.is_empty()), "a peer that could do nothing");
        })
    }
    let ceremony = |text: &str, file: &Path| config::parse_document::<ceremony::Input>(text, file).map(|_| ());
    let readers = [
        service::<root_ca::Config>,
        service::<intermediate_ca::Config>,
        service::<provisioner::Config>,
        service::<hub::Config>,
        ceremony,
    ];
    for read in readers {
        match read(text, Path::new("a.toml")) {
            Ok(()) => {
                let refused =
                    read(&format!("{text}\n[unheard_of]\n"), Path::new("a.toml")).expect_err("strange section");
                assert!(refused.to_string().contains("unheard_of"), "{refused}");
            }
            Err(ConfigError::Malformed { line, .. }) => {
                assert!((1..=text.lines().count() + 1).contains(&line), "line {line}")
            }
            Err(ConfigError::Field { field, .. }) => assert!(!field.is_empty(), "a field without a name"),
            Err(refused @ (ConfigError::Missing { .. } | ConfigError::Unreadable { .. })) => panic!("{refused}"),
        }
    }
}

/// A topic with its property bag. What is read can be written and is then the same.
pub fn property_bag(octets: &[u8]) {
    let text = String::from_utf8_lossy(octets);
    let _ = topic::Up::parse(&text, "d1");
    let _ = topic::Subscription::parse(&text, "d1");
    if let Ok(properties) = bag::decode(&text) {
        let written = bag::encode(properties.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        // Encoding can only grow a bag, so the bound is the one thing that may refuse it.
        assert!(written.len() > bag::MAX_OCTETS || bag::decode(&written) == Ok(properties), "a bag reads differently");
    }
}

/// Most octets of a packet or frame.
const LIMIT: usize = 64 * 1024;

/// MQTT packets as a connection brings them: in pieces whose size the first octet says.
pub fn mqtt_packets(octets: &[u8]) {
    let Some((size, octets)) = octets.split_first() else { return };
    let mut arrived = BytesMut::new();
    for piece in octets.chunks(usize::from(*size).max(1)) {
        arrived.extend_from_slice(piece);
        loop {
            match mqtt::decode(&mut arrived, LIMIT) {
                Ok(Some(packet)) => {
                    let mut written = BytesMut::new();
                    mqtt::encode(&packet, &mut written);
                    assert_eq!(mqtt::decode(&mut written, LIMIT), Ok(Some(packet)), "a packet reads differently");
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// AMQP frames and messages.
pub fn amqp_frames(octets: &[u8]) {
    let _ = amqp::message::Message::decode(Bytes::copy_from_slice(octets));
    let mut arrived = BytesMut::from(octets);
    while let Ok(Some(read)) = amqp::frame::decode(&mut arrived, LIMIT) {
        let Some(performative) = &read.performative else { continue };
        let mut written = BytesMut::new();
        amqp::frame::encode(read.channel, performative, &read.payload, &mut written);
        // What a compact encoding said may need more room in ours.
        if written.len() <= LIMIT {
            let again = amqp::frame::decode(&mut written, LIMIT);
            let same =
                matches!(again, Ok(Some(again)) if again.channel == read.channel && again.payload == read.payload);
            assert!(same, "a frame reads differently");
        }
    }
}

/// A hub's MQTT session of a device that was let in, and what it says from its CONNECT on.
pub fn mqtt_session(octets: &[u8]) {
    let ended = hub::hostile::mqtt_session(octets).expect("a session can be driven");
    assert_eq!(ended.sessions, 0, "a session outlived its connection");
}

/// The same over AMQP.
pub fn amqp_connection(octets: &[u8]) {
    let ended = hub::hostile::amqp_connection(octets).expect("a connection can be driven");
    assert_eq!(ended.sessions, 0, "a session outlived its connection");
}
