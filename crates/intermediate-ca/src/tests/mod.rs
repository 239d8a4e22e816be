//! Receiving lots from a sender that may lie, and coming back after every kind of failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod answers;
mod closing;
mod offers;
mod possession;
mod repetition;
mod sender;
mod steps;

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};

use api::{
    Refusal, RequestId,
    handoff::v1::{AcceptHandoffResponse, GetOfferResponse},
    lot::v1::{Lot, LotState},
};
use authority::{Authority, Seams};
use issuance::{
    Instance, KeyKind, KeyPolicy, RootMaker, SeededEntropy, SerialSource, SigningKey, SoftwareKey, Stage,
    profile::RootProfileDocument,
};
use mfg::{
    Bundle, IdentityKey, LotId, ManufacturerId, OidArc, OrderId, ProgramId, Quantity, Terms, TermsDocument,
    terms::{
        Build, DeviceKeyAlgorithm, Edge, HandoffKeyAlgorithm, NameConstraintsProfile, Party, Period, Program,
        TermsTime, UnlimitedLots, Validity,
    },
};
use pki::{Certificate, DnsName, Sha256, UnixTime};
use records::{Act, Caller, keys};
use service::{ManualClock, Workers, identity::Role, secret::SecretDirectory};
use store::{FaultPlan, MemoryStore, Store as _, StoreIdentity};

use crate::{
    lots,
    receive::{Receiver, Upstream, Upstreams},
};
use sender::Sender;

pub(super) const LOT: &str = "b0032";

/// Allows certificates to be signed that no journal knows: the lying sender's, and the root's.
#[derive(Debug)]
struct Unrecorded(Sha256);

impl issuance::Receipt for Unrecorded {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.0 == *tbs_digest
    }
}

fn key() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

fn copy(key: &SoftwareKey) -> SoftwareKey {
    SoftwareKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap()
}

fn time(text: &str) -> UnixTime {
    UnixTime::parse(text).unwrap()
}

fn from(text: &str) -> Period {
    Period { not_before: TermsTime(time(text)), not_after: TermsTime::never() }
}

fn maker(id: &str) -> ManufacturerId {
    ManufacturerId::parse(id).unwrap()
}

fn lot(id: &str) -> LotId {
    LotId::parse(id).unwrap()
}

fn serials(seed: u64) -> SerialSource {
    SerialSource::new(Instance::ONLY, Arc::new(SeededEntropy::new(seed)))
}

/// The keys of the whole route, and a root of somebody else's.
struct Keys {
    root: Arc<SoftwareKey>,
    anchor: Certificate,
    brand: SoftwareKey,
    factory: SoftwareKey,
    technician: SoftwareKey,
    stranger_anchor: Certificate,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let (root, stranger) = (Arc::new(key()), Arc::new(key()));
    let (anchor, stranger_anchor) = (make_root(&root, "Company X"), make_root(&stranger, "Stranger"));
    Keys { root, anchor, brand: key(), factory: key(), technician: key(), stranger_anchor }
});

fn make_root(key: &Arc<SoftwareKey>, organization: &str) -> Certificate {
    let document = RootProfileDocument {
        organization: organization.to_owned(),
        common_name: format!("{organization} Device Root"),
        validity: from("2025-01-01T00:00:00Z"),
        stage: Stage::Development,
    };
    let signer = Arc::clone(key) as Arc<dyn SigningKey>;
    let policy = KeyPolicy::ca(HandoffKeyAlgorithm::P256);
    let maker = RootMaker::<Unrecorded>::new(signer, &policy, document.check().unwrap()).unwrap();
    let draft = maker.draft(serials(1).next_serial().unwrap()).unwrap();
    let receipt = Unrecorded(draft.tbs_digest());
    maker.sign(draft.recorded(receipt).unwrap()).unwrap().into_certificate().unwrap()
}

/// company-x -> factory-y -> technician-z, 1000 units.
fn document(order: &str) -> TermsDocument {
    let party = |id: &str, key: &SoftwareKey| Party {
        manufacturer: maker(id),
        name: format!("{id} Ltd."),
        identity_keys: vec![key.public_key().spki().to_vec()],
    };
    TermsDocument {
        version: 1,
        order: OrderId::parse(order).unwrap(),
        order_version: 1,
        brand: maker("company-x"),
        program: Program {
            id: ProgramId::parse("smart-widget").unwrap(),
            base_name: DnsName::parse("smart-widget.company-x.example").unwrap(),
            oid_arc: OidArc::documentation(),
            max_device_id_length: 24,
            max_lot_id_length: 8,
        },
        quantity: Build { units: Quantity::of(1000).unwrap(), yield_allowance: 0 },
        graph: [("company-x", "factory-y"), ("factory-y", "technician-z")]
            .map(|(from, to)| Edge { from: maker(from), to: maker(to) })
            .to_vec(),
        device_issuers: vec![maker("technician-z")],
        parties: vec![party("factory-y", &KEYS.factory), party("technician-z", &KEYS.technician)],
        handoff_key: HandoffKeyAlgorithm::P256,
        device_keys: vec![DeviceKeyAlgorithm::P256],
        validity: Validity { devices: from("2026-01-01T00:00:00Z"), cas: from("2026-01-01T00:00:00Z") },
        signing_window: Period {
            not_before: TermsTime(time("2026-01-01T00:00:00Z")),
            not_after: TermsTime(time("2028-01-01T00:00:00Z")),
        },
        rework_cap: 1,
        replacement_cap: 1,
        manifest_digest: None,
        unlimited_lots: UnlimitedLots::Refused,
        name_constraints: NameConstraintsProfile::Critical,
    }
}

/// Terms with the brand's signature.
fn signed(document: TermsDocument) -> (Terms, Vec<u8>) {
    let terms = document.check().unwrap();
    let signature = KEYS.brand.sign(terms.approval().to_be_signed()).unwrap();
    (terms, signature)
}

fn bundle() -> Bundle {
    let key =
        |id: &str, key: &SoftwareKey| IdentityKey { manufacturer: maker(id), public_key: key.public_key().clone() };
    Bundle {
        anchors: vec![KEYS.anchor.clone()],
        identity_keys: vec![
            key("company-x", &KEYS.brand),
            key("factory-y", &KEYS.factory),
            key("technician-z", &KEYS.technician),
        ],
        ..Bundle::default()
    }
}

/// factory-y, which receives from a company-x that a test may make lie.
struct Factory {
    sender: Sender,
    store: Arc<MemoryStore>,
    faults: FaultPlan,
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
    receiver: Arc<Receiver>,
}

impl Factory {
    fn new() -> Self {
        let faults = FaultPlan::default();
        let identity = StoreIdentity::new("intermediate-ca", "factory-y", [1; 16]).unwrap();
        let store = Arc::new(MemoryStore::new(&identity, faults.clone()));
        let clock = Arc::new(ManualClock::new(time("2026-06-01T00:00:00Z")));
        let folder = tempfile::tempdir().unwrap();
        let sender = Sender::start();
        let receiver = receiver(&store, &clock, &folder, &sender);
        Self { sender, store, faults, clock, folder, receiver }
    }

    /// The process ends and comes back, with what the store and the key folder kept.
    fn start_again(&mut self) -> lots::AtStart {
        self.faults.clear();
        self.store.power_cut();
        self.receiver = receiver(&self.store, &self.clock, &self.folder, &self.sender);
        lots::note_all(&self.receiver).unwrap()
    }

    fn act(&self, request: u8) -> Act {
        let by = "spiffe://factory-y.example/factory-y/operator/ada".to_owned();
        let caller = Caller { manufacturer: "factory-y".to_owned(), by };
        self.receiver.authority.act(caller, RequestId::from_octets([request; 16]))
    }

    async fn receive(&self, request: u8, id: &str) -> Result<(), Refusal> {
        self.receiver.receive(self.act(request), maker("company-x"), lot(id)).await
    }

    /// The lot as the operators read it.
    fn lot(&self, id: &str) -> Option<Lot> {
        let record = self.store.get(&keys::lot(id)).unwrap()?;
        Some(
            lots::to_wire(
                &self.receiver.authority,
                &lots::LotOnRecord::from_record(self.receiver.authority.store(), &record).unwrap(),
            )
            .unwrap(),
        )
    }

    fn is_open(&self, id: &str) -> bool {
        let open = self.lot(id).is_some_and(|lot| lot.state() == LotState::Open);
        assert_eq!(self.store.tally(&keys::lot(id)).unwrap().is_some(), open);
        assert_eq!(self.receiver.authority.lots.get(id).is_ok_and(|lot| lot.issuer().is_ok()), open);
        open
    }

    /// The lot keys on disk.
    fn key_files(&self) -> Vec<std::path::PathBuf> {
        let files = std::fs::read_dir(self.folder.path().join("lot-keys")).unwrap();
        files.map(|file| file.unwrap().path()).collect()
    }
}

fn receiver(
    store: &Arc<MemoryStore>,
    clock: &Arc<ManualClock>,
    folder: &tempfile::TempDir,
    sender: &Sender,
) -> Arc<Receiver> {
    let seams = Seams {
        store: Arc::clone(store) as Arc<dyn store::Store>,
        clock: Arc::clone(clock) as Arc<dyn service::Clock>,
        entropy: Arc::new(SeededEntropy::new(2)),
        workers: Workers::Inline,
    };
    let authority = Authority::new(maker("factory-y"), Arc::new(copy(&KEYS.factory)), seams, serials(3));
    authority.know(bundle());
    Arc::new(Receiver {
        authority: Arc::new(authority),
        lot_keys: SecretDirectory::create(&folder.path().join("lot-keys")).unwrap(),
        stage: Stage::Development,
        upstreams: Upstreams(BTreeMap::from([(
            maker("company-x"),
            Upstream { channel: sender.channel().into(), role: Role::RootCa },
        )])),
        reports: Arc::default(),
    })
}

/// The name of a refusal.
fn reason<T>(outcome: Result<T, Refusal>) -> &'static str {
    outcome.map(|_| ()).unwrap_err().reason()
}

/// What a sender may do to its answers.
type OfferLie = fn(&mut GetOfferResponse);
type AnswerLie = fn(&mut AcceptHandoffResponse);
