//! A small world for tests: a brand, up to six manufacturers in a row, keys for all.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code, unreachable_pub)]

use std::sync::Arc;

use issuance::profile::{OrderCaProfileDocument, Period, RootProfileDocument};
use issuance::{
    AskedFor, DeviceRequest, Draft, HandoffRequest, Instance, IssueRefusal, Issuer, KeyKind, KeyPolicy, LoadOptions,
    OrderCaRequest, OrderProfiles, Receipt, RootMaker, SelfCheck, SerialSource, SigningKey, SoftwareKey, Stage,
    SubjectKey, SystemEntropy, gate, make_csr,
};
use mfg::terms::{
    Build, DeviceKeyAlgorithm, Edge, HandoffKeyAlgorithm, NameConstraintsProfile, Party, Program, TermsDocument,
    TermsTime, UnlimitedLots, Validity,
};
use mfg::{
    Acceptance, Consignment, DeviceId, Generation, Handoff, Hop, LotId, ManufacturerId, OidArc, OrderId, ProgramId,
    Quantity, Statement, Terms,
};
use pki::{Certificate, CertificateSerial, DnsName, Sha256, UnixTime};

pub const BASE: &str = "smart-widget.company-x.example";

/// The record of tests: covers what it was made for.
#[derive(Debug)]
pub struct TestReceipt(pub Sha256);

impl Receipt for TestReceipt {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.0 == *tbs_digest
    }
}

pub type TestIssuer = Issuer<TestReceipt>;

pub fn time(text: &str) -> UnixTime {
    UnixTime::parse(text).unwrap()
}

pub fn now() -> UnixTime {
    time("2026-06-01T00:00:00Z")
}

pub fn period(from: &str, to: &str) -> Period {
    let to = if to == "never" { UnixTime::NEVER } else { time(to) };
    Period { not_before: TermsTime(time(from)), not_after: TermsTime(to) }
}

pub fn maker(number: usize) -> ManufacturerId {
    ManufacturerId::parse(&format!("maker-{number}")).unwrap()
}

pub fn lot(number: usize) -> LotId {
    LotId::parse(&format!("lot{number}")).unwrap()
}

pub fn serial() -> CertificateSerial {
    SerialSource::new(Instance::ONLY, Arc::new(SystemEntropy)).next_serial().unwrap()
}

pub fn device(text: &str) -> DeviceId {
    DeviceId::parse(text).unwrap()
}

pub fn brand() -> ManufacturerId {
    ManufacturerId::parse("company-x").unwrap()
}

pub fn new_key() -> Arc<SoftwareKey> {
    Arc::new(SoftwareKey::generate(KeyKind::P256).unwrap())
}

pub fn key_of(algorithm: HandoffKeyAlgorithm) -> Arc<SoftwareKey> {
    let kind = match algorithm {
        HandoffKeyAlgorithm::P256 => KeyKind::P256,
        HandoffKeyAlgorithm::P384 => KeyKind::P384,
        HandoffKeyAlgorithm::Ed25519 => KeyKind::Ed25519,
    };
    Arc::new(SoftwareKey::generate(kind).unwrap())
}

pub struct World {
    pub hops: usize,
    pub terms: Arc<Terms>,
    pub order: OrderProfiles,
    pub identities: Vec<Arc<SoftwareKey>>,
    pub root_key: Arc<SoftwareKey>,
    pub root: Certificate,
}

pub fn root_document() -> RootProfileDocument {
    RootProfileDocument {
        organization: "Company X".to_owned(),
        common_name: "Company X Device Root".to_owned(),
        validity: period("2025-01-01T00:00:00Z", "never"),
        stage: Stage::Development,
    }
}

pub fn order_ca_document() -> OrderCaProfileDocument {
    OrderCaProfileDocument {
        organization: "Company X".to_owned(),
        common_name: "Company X Order CA".to_owned(),
        base_name: BASE.to_owned(),
        path_length: 5,
        validity: period("2026-01-01T00:00:00Z", "never"),
        signing_window: period("2026-01-01T00:00:00Z", "2029-01-01T00:00:00Z"),
        name_constraints: NameConstraintsProfile::Critical,
        oid_arc: OidArc::documentation(),
    }
}

pub fn terms_document(hops: usize, identities: &[Arc<SoftwareKey>]) -> TermsDocument {
    let names: Vec<_> = std::iter::once(brand()).chain((1..=hops).map(maker)).collect();
    let graph = names.windows(2).map(|pair| Edge { from: pair[0].clone(), to: pair[1].clone() }).collect();
    let parties = (1..=hops).map(|number| Party {
        manufacturer: maker(number),
        name: format!("Maker {number} Ltd."),
        identity_keys: vec![identities[number].public_key().spki().to_vec()],
    });
    TermsDocument {
        version: 1,
        order: OrderId::parse("po-1").unwrap(),
        order_version: 1,
        brand: brand(),
        program: Program {
            id: ProgramId::parse("smart-widget").unwrap(),
            base_name: DnsName::parse(BASE).unwrap(),
            oid_arc: OidArc::documentation(),
            max_device_id_length: 24,
            max_lot_id_length: 8,
        },
        quantity: Build { units: Quantity::of(1000).unwrap(), yield_allowance: 50 },
        graph,
        parties: parties.collect(),
        device_issuers: vec![maker(hops)],
        handoff_key: HandoffKeyAlgorithm::P256,
        device_keys: vec![DeviceKeyAlgorithm::P256, DeviceKeyAlgorithm::P384, DeviceKeyAlgorithm::Ed25519],
        validity: Validity {
            devices: period("2026-01-01T00:00:00Z", "never"),
            cas: period("2026-01-01T00:00:00Z", "never"),
        },
        signing_window: period("2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z"),
        rework_cap: 2,
        replacement_cap: 2,
        manifest_digest: None,
        unlimited_lots: UnlimitedLots::Refused,
        name_constraints: NameConstraintsProfile::Critical,
    }
}

/// One CA of the route with its key.
pub struct Ca {
    pub issuer: TestIssuer,
    pub key: Arc<SoftwareKey>,
}

impl World {
    pub fn new(hops: usize) -> Self {
        Self::with(hops, |_| {})
    }

    pub fn with(hops: usize, change: impl FnOnce(&mut TermsDocument)) -> Self {
        let identities: Vec<_> = (0..=hops).map(|_| new_key()).collect();
        let mut document = terms_document(hops, &identities);
        change(&mut document);
        let terms = Arc::new(document.check().unwrap());
        let order = OrderProfiles::new(Arc::clone(&terms), Stage::Development).unwrap();
        let root_key = new_key();
        let root = make_root(&root_key, root_document());
        Self { hops, terms, order, identities, root_key, root }
    }

    pub fn options(&self) -> LoadOptions {
        LoadOptions { stage: Stage::Development, oid_arc: OidArc::documentation(), now: now() }
    }

    pub fn load(&self, chain: Vec<Certificate>, key: &Arc<SoftwareKey>) -> TestIssuer {
        let key: Arc<dyn SigningKey> = Arc::clone(key) as Arc<dyn SigningKey>;
        Issuer::load(chain, key, &self.options()).unwrap()
    }

    pub fn root_issuer(&self) -> TestIssuer {
        self.load(vec![self.root.clone()], &self.root_key)
    }

    pub fn consignment(&self, hop: usize) -> Consignment {
        Consignment {
            program: self.terms.document().program.id.clone(),
            order: self.terms.document().order.clone(),
            from: if hop == 1 { brand() } else { maker(hop - 1) },
            to: maker(hop),
            lot: lot(hop),
            quantity: Quantity::of(1000 - 10 * hop as u64).unwrap(),
            hop: Hop::of(hop as u8).unwrap(),
            terms_digest: self.terms.digest(),
        }
    }

    /// The receiver's side: accepts what is offered for this key.
    pub fn accept(&self, consignment: Consignment, key: &SoftwareKey) -> Handoff {
        let identity = &self.identities[usize::from(consignment.hop.get()) % self.identities.len()];
        let statement = Statement::acceptance(key.public_key().spki(), &consignment);
        let acceptance = Acceptance {
            identity_key_digest: identity.public_key().sha256(),
            signature: identity.sign(statement.to_be_signed()).unwrap(),
        };
        Handoff { consignment, manifest_digest: None, acceptance }
    }

    /// A key as the terms prescribe lot keys.
    pub fn new_lot_key(&self) -> Arc<SoftwareKey> {
        key_of(self.terms.document().handoff_key)
    }

    pub fn lot_key(&self, key: &SoftwareKey, hop: usize) -> SubjectKey {
        let csr = make_csr(key, lot(hop).as_str()).unwrap();
        gate(&csr, self.order.lot_keys(), AskedFor::Lot(&lot(hop))).unwrap()
    }

    /// Drafts handoff `hop` below `issuer`, after `change` spoiled it; the acceptance is of what was spoiled.
    pub fn draft_handoff(
        &self,
        issuer: &TestIssuer,
        hop: usize,
        change: impl FnOnce(&mut Consignment),
    ) -> Result<Draft, IssueRefusal> {
        let key = self.new_lot_key();
        let mut consignment = self.consignment(hop);
        change(&mut consignment);
        let handoff = self.accept(consignment, &key);
        let key = self.lot_key(&key, hop);
        let request = HandoffRequest { key: &key, handoff: &handoff, serial: serial(), now: now() };
        issuer.draft_handoff(&self.order, request)
    }

    pub fn hand_over(&self, above: &TestIssuer, hop: usize) -> Ca {
        let key = self.new_lot_key();
        let handoff = self.accept(self.consignment(hop), &key);
        let subject = self.lot_key(&key, hop);
        let request = HandoffRequest { key: &subject, handoff: &handoff, serial: serial(), now: now() };
        let certificate = finish(above, above.draft_handoff(&self.order, request).unwrap());
        let chain = below(above, certificate);
        Ca { issuer: self.load(chain, &key), key }
    }

    pub fn order_ca(&self) -> Ca {
        let key = new_key();
        let subject = SubjectKey::held(key.as_ref(), &KeyPolicy::ca(HandoffKeyAlgorithm::P256)).unwrap();
        let profile = order_ca_document().check(Stage::Development).unwrap();
        let root = self.root_issuer();
        let request = OrderCaRequest { key: &subject, profile: &profile, serial: serial(), now: now() };
        let certificate = finish(&root, root.draft_order_ca(request).unwrap());
        Ca { issuer: self.load(below(&root, certificate), &key), key }
    }

    /// The last lot's issuer, all handoffs made below `first`.
    pub fn route(&self, first: TestIssuer) -> TestIssuer {
        (1..=self.hops).fold(first, |issuer, hop| self.hand_over(&issuer, hop).issuer)
    }

    pub fn device_key(&self, key: &SoftwareKey, id: &DeviceId) -> SubjectKey {
        let csr = make_csr(key, id.as_str()).unwrap();
        gate(&csr, self.order.device_keys(), AskedFor::Device(id)).unwrap()
    }

    pub fn draft_device(&self, issuer: &TestIssuer, id: &str, now: UnixTime) -> Result<Draft, IssueRefusal> {
        let (key, id) = (new_key(), device(id));
        let key = self.device_key(&key, &id);
        let request = DeviceRequest { key: &key, device: &id, generation: Generation::FIRST, serial: serial(), now };
        issuer.draft_device(&self.order, request)
    }

    pub fn provision(&self, issuer: &TestIssuer, id: &str) -> Certificate {
        finish(issuer, self.draft_device(issuer, id, now()).unwrap())
    }
}

pub fn below(above: &TestIssuer, certificate: Certificate) -> Vec<Certificate> {
    let mut chain = vec![certificate];
    chain.extend(above.intermediates().iter().cloned());
    chain.push(above.anchor().unwrap().clone());
    chain
}

pub fn make_root(key: &Arc<SoftwareKey>, document: RootProfileDocument) -> Certificate {
    make_root_of(HandoffKeyAlgorithm::P256, key, document)
}

pub fn make_root_of(
    algorithm: HandoffKeyAlgorithm,
    key: &Arc<SoftwareKey>,
    document: RootProfileDocument,
) -> Certificate {
    let profile = document.check().unwrap();
    let signer: Arc<dyn SigningKey> = Arc::clone(key) as Arc<dyn SigningKey>;
    let maker = RootMaker::<TestReceipt>::new(signer, &KeyPolicy::ca(algorithm), profile).unwrap();
    let draft = maker.draft(serial()).unwrap();
    let receipt = TestReceipt(draft.tbs_digest());
    maker.sign(draft.recorded(receipt).unwrap()).unwrap().into_certificate().unwrap()
}

pub fn finish(issuer: &TestIssuer, draft: Draft) -> Certificate {
    let receipt = TestReceipt(draft.tbs_digest());
    let recorded = draft.recorded(receipt).unwrap();
    issuer.sign(recorded, SelfCheck::Verify).unwrap().into_certificate().unwrap()
}
