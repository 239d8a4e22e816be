//! A manufacturer with one lot in memory. Its lot key is Ed25519, whose signatures repeat themselves.

use std::sync::Arc;

use api::{
    RequestId,
    journal::v1::{LotReceived, record::Fact},
};
use bytes::Bytes;
use issuance::{
    AskedFor, HandoffRequest, Instance, Issuer, KeyKind, KeyPolicy, LoadOptions, OrderProfiles, RootMaker,
    SeededEntropy, SelfCheck, SerialSource, SigningKey as _, SoftwareKey, Stage, gate, make_csr,
    profile::{Period, RootProfileDocument},
};
use mfg::{
    Acceptance, Bundle, Consignment, DeviceId, Handoff, Hop, IdentityKey, LotId, ManufacturerId, Movement, OidArc,
    OrderId, ProgramId, Quantity, SignedTerms, Statement,
    terms::{
        Build, DeviceKeyAlgorithm, Edge, HandoffKeyAlgorithm, NameConstraintsProfile, Party, Program, TermsDocument,
        TermsTime, UnlimitedLots, Validity,
    },
};
use pki::{Certificate, DnsName, Sha256, UnixTime};
use records::{Act, Caller, keys};
use service::{ManualClock, Workers};
use store::{FaultPlan, Key, MemoryStore, Receipt, Store as _, StoreIdentity, TallyMove, Unit};

use crate::{Authority, DeviceOrder, Lot, LotIssuer, Occasion, Seams};

pub(super) const UNITS: u32 = 24;
pub(super) const SEED: u64 = 5;
const NOW: &str = "2026-06-01T00:00:00Z";

/// What stands for the record of the CA certificates here.
struct OnPaper(Sha256);

impl issuance::Receipt for OnPaper {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.0 == *tbs_digest
    }
}

pub(super) struct World {
    pub(super) tally: Key,
    terms: SignedTerms,
    chain: Vec<Certificate>,
    lot_key: Arc<SoftwareKey>,
    identity: Arc<SoftwareKey>,
    csrs: Vec<Bytes>,
}

fn now() -> UnixTime {
    UnixTime::parse(NOW).unwrap()
}

fn key(kind: KeyKind) -> Arc<SoftwareKey> {
    Arc::new(SoftwareKey::generate(kind).unwrap())
}

fn period(from: &str) -> Period {
    Period { not_before: TermsTime(UnixTime::parse(from).unwrap()), not_after: TermsTime::never() }
}

fn brand() -> ManufacturerId {
    ManufacturerId::parse("company-x").unwrap()
}

fn maker() -> ManufacturerId {
    ManufacturerId::parse("factory-y").unwrap()
}

fn lot() -> LotId {
    LotId::parse("b0032").unwrap()
}

fn options() -> LoadOptions {
    LoadOptions { stage: Stage::Development, oid_arc: OidArc::documentation(), now: now() }
}

impl World {
    pub(super) fn new() -> Self {
        let (brand_key, identity, root_key) = (key(KeyKind::P256), key(KeyKind::P256), key(KeyKind::P256));
        let terms = terms(&brand_key, &identity);
        let root = root(&root_key);
        let lot_key = key(KeyKind::Ed25519);
        let lot_ca = lot_ca(&terms, &root, &root_key, &identity, &lot_key);
        let csr = |number| Bytes::from(make_csr(key(KeyKind::P256).as_ref(), &name(number)).unwrap());
        let csrs = (0..UNITS).map(csr).collect();
        Self { tally: keys::lot(lot().as_str()), terms, chain: vec![lot_ca, root], lot_key, identity, csrs }
    }

    /// An authority with the lot and nothing issued; the same every time.
    pub(super) fn authority(&self, workers: Workers, faults: FaultPlan) -> Arc<Authority> {
        let identity = StoreIdentity::new("intermediate-ca", "factory-y", [7; 16]).unwrap();
        let store = MemoryStore::new(&identity, faults);
        let moves =
            vec![TallyMove { lot: self.tally, movement: Movement::Open(Quantity::of(u64::from(UNITS)).unwrap()) }];
        let act = Act { at: now(), caller: Caller::service("factory-y"), request: None };
        let unit = Unit { moves, ..act.unit(Fact::LotReceived(LotReceived::default())) };
        store.commit(vec![unit]).unwrap().pop().unwrap().unwrap();
        let seams = Seams {
            store: Arc::new(store),
            clock: Arc::new(ManualClock::new(now())),
            entropy: Arc::new(SeededEntropy::new(SEED)),
            workers,
        };
        let serials = SerialSource::new(Instance::ONLY, Arc::clone(&seams.entropy));
        let authority = Authority::new(maker(), Arc::clone(&self.identity) as _, seams, serials);
        self.find_the_key(&authority);
        Arc::new(authority)
    }

    /// The request for device `number`; the same every time.
    pub(super) fn order(&self, authority: &Authority, number: u32) -> DeviceOrder {
        let caller = Caller { manufacturer: "factory-y".to_owned(), by: "line-1".to_owned() };
        let mut octets = [7; 16];
        octets[..4].copy_from_slice(&number.to_be_bytes());
        DeviceOrder {
            act: authority.act(caller, RequestId::from_octets(octets)),
            lot: lot().to_string(),
            device_id: self.device(number),
            csr: self.csrs[number as usize].clone(),
            occasion: Occasion::First,
        }
    }

    /// The request for device `number` on another occasion, under its own request id, for a key of its own.
    pub(super) fn again(&self, authority: &Authority, number: u32, occasion: Occasion, try_: u8) -> DeviceOrder {
        let caller = Caller { manufacturer: "factory-y".to_owned(), by: "line-1".to_owned() };
        let csr = make_csr(key(KeyKind::P256).as_ref(), &name(number)).unwrap();
        DeviceOrder {
            act: authority.act(caller, RequestId::from_octets([try_; 16])),
            csr: Bytes::from(csr),
            occasion,
            ..self.order(authority, number)
        }
    }

    /// An operator's act under a request id of its own.
    pub(super) fn operator(&self, authority: &Authority, try_: u8) -> Act {
        let caller = Caller { manufacturer: "factory-y".to_owned(), by: "operator".to_owned() };
        authority.act(caller, RequestId::from_octets([try_; 16]))
    }

    /// The lot without the key that signs for it.
    pub(super) fn lose_the_key(&self, authority: &Authority) {
        authority.lots.put(self.lot(LotIssuer::Gone("its key is lost".to_owned())));
    }

    /// The lot with its key again.
    pub(super) fn find_the_key(&self, authority: &Authority) {
        authority.lots.put(self.lot(LotIssuer::Loaded(Box::new(self.issuer()))));
    }

    fn issuer(&self) -> Issuer<Receipt> {
        Issuer::load(self.chain.clone(), self.lot_key.clone(), &options()).unwrap()
    }

    fn lot(&self, issuer: LotIssuer) -> Lot {
        Lot {
            id: lot().to_string(),
            tally: self.tally,
            profiles: OrderProfiles::new(Arc::new(self.terms.terms().clone()), Stage::Development).unwrap(),
            terms: Arc::new(self.terms.clone()),
            subtree: self.issuer().subtree().unwrap().clone(),
            hops: 1,
            chain: vec![Bytes::copy_from_slice(self.chain[0].der())],
            issuer,
        }
    }

    pub(super) fn device(&self, number: u32) -> DeviceId {
        DeviceId::parse(&name(number)).unwrap()
    }
}

fn name(number: u32) -> String {
    format!("sn{number:07}")
}

fn terms(brand_key: &SoftwareKey, identity: &SoftwareKey) -> SignedTerms {
    let document = TermsDocument {
        version: 1,
        order: OrderId::parse("po-1").unwrap(),
        order_version: 1,
        brand: brand(),
        program: Program {
            id: ProgramId::parse("smart-widget").unwrap(),
            base_name: DnsName::parse("smart-widget.company-x.example").unwrap(),
            oid_arc: OidArc::documentation(),
            max_device_id_length: 24,
            max_lot_id_length: 8,
        },
        quantity: Build { units: Quantity::of(1000).unwrap(), yield_allowance: 0 },
        graph: vec![Edge { from: brand(), to: maker() }],
        parties: vec![Party {
            manufacturer: maker(),
            name: "Factory-Y Boards Ltd".to_owned(),
            identity_keys: vec![identity.public_key().spki().to_vec()],
        }],
        device_issuers: vec![maker()],
        handoff_key: HandoffKeyAlgorithm::Ed25519,
        device_keys: vec![DeviceKeyAlgorithm::P256],
        validity: Validity { devices: period("2026-01-01T00:00:00Z"), cas: period("2026-01-01T00:00:00Z") },
        signing_window: period("2026-01-01T00:00:00Z"),
        rework_cap: 1,
        replacement_cap: 1,
        manifest_digest: None,
        unlimited_lots: UnlimitedLots::Refused,
        name_constraints: NameConstraintsProfile::Critical,
    };
    let terms = document.check().unwrap();
    let signature = brand_key.sign(terms.approval().to_be_signed()).unwrap();
    let bundle = Bundle {
        anchors: Vec::new(),
        identity_keys: vec![IdentityKey { manufacturer: brand(), public_key: brand_key.public_key().clone() }],
        ..Bundle::default()
    };
    SignedTerms::verify(terms.bytes().as_bytes(), &signature, &bundle).unwrap()
}

fn serial() -> pki::CertificateSerial {
    SerialSource::new(Instance::ONLY, Arc::new(issuance::SystemEntropy)).next_serial().unwrap()
}

fn root(key: &Arc<SoftwareKey>) -> Certificate {
    let profile = RootProfileDocument {
        organization: "Company-X".to_owned(),
        common_name: "Company-X Device Root".to_owned(),
        validity: period("2026-01-01T00:00:00Z"),
        stage: Stage::Development,
    };
    let policy = KeyPolicy::ca(HandoffKeyAlgorithm::P256);
    let maker = RootMaker::<OnPaper>::new(key.clone(), &policy, profile.check().unwrap()).unwrap();
    let draft = maker.draft(serial()).unwrap();
    let receipt = OnPaper(draft.tbs_digest());
    maker.sign(draft.recorded(receipt).unwrap()).unwrap().into_certificate().unwrap()
}

fn lot_ca(
    terms: &SignedTerms,
    root: &Certificate,
    root_key: &Arc<SoftwareKey>,
    identity: &SoftwareKey,
    lot_key: &SoftwareKey,
) -> Certificate {
    let order = OrderProfiles::new(Arc::new(terms.terms().clone()), Stage::Development).unwrap();
    let issuer = Issuer::<OnPaper>::load(vec![root.clone()], root_key.clone(), &options()).unwrap();
    let consignment = Consignment {
        program: ProgramId::parse("smart-widget").unwrap(),
        order: OrderId::parse("po-1").unwrap(),
        from: brand(),
        to: maker(),
        lot: lot(),
        quantity: Quantity::of(u64::from(UNITS)).unwrap(),
        hop: Hop::of(1).unwrap(),
        terms_digest: terms.digest(),
    };
    let statement = Statement::acceptance(lot_key.public_key().spki(), &consignment);
    let acceptance = Acceptance {
        identity_key_digest: identity.public_key().sha256(),
        signature: identity.sign(statement.to_be_signed()).unwrap(),
    };
    let handoff = Handoff { consignment, manifest_digest: None, acceptance };
    let csr = make_csr(lot_key, lot().as_str()).unwrap();
    let key = gate(&csr, order.lot_keys(), AskedFor::Lot(&lot())).unwrap();
    let request = HandoffRequest { key: &key, handoff: &handoff, serial: serial(), now: now() };
    let draft = issuer.draft_handoff(&order, request).unwrap();
    let receipt = OnPaper(draft.tbs_digest());
    let signed = issuer.sign(draft.recorded(receipt).unwrap(), SelfCheck::Verify).unwrap();
    signed.into_certificate().unwrap()
}
