//! What exists before the first record: keys, the brand's terms, the root's certificate and the one of factory-y's lot.

use std::sync::{Arc, LazyLock};

use issuance::{
    AskedFor, Draft, HandoffRequest, Instance, Issuer, KeyKind, KeyPolicy, LoadOptions, OrderProfiles, RootMaker,
    SeededEntropy, SelfCheck, SerialSource, SigningKey, SoftwareKey, Stage, gate, make_csr,
    profile::RootProfileDocument,
};
use mfg::{
    Acceptance, Bundle, Consignment, Handoff, Hop, IdentityKey, LotId, ManufacturerId, OidArc, OrderId, ProgramId,
    Quantity, SignedTerms, Statement, TermsDocument,
    terms::{
        Build, DeviceKeyAlgorithm, Edge, HandoffKeyAlgorithm, NameConstraintsProfile, Party, Period, Program,
        TermsTime, UnlimitedLots, Validity,
    },
};
use pki::{Certificate, DnsName, Sha256, UnixTime};

pub(crate) const ORDER: &str = "po-1";
pub(crate) const LOT: &str = "b0032";
/// Replacements of a certificate, and reworks of a device, that the terms allow.
pub(crate) const CAP: u32 = 2;

/// Allows a certificate to be signed that no journal knows.
#[derive(Debug)]
struct Unrecorded(Sha256);

impl issuance::Receipt for Unrecorded {
    fn covers(&self, tbs_digest: &Sha256) -> bool {
        self.0 == *tbs_digest
    }
}

pub(crate) struct Paper {
    pub(crate) root: Arc<SoftwareKey>,
    pub(crate) anchor: Certificate,
    pub(crate) brand: Arc<SoftwareKey>,
    pub(crate) factory: Arc<SoftwareKey>,
    pub(crate) technician: Arc<SoftwareKey>,
    pub(crate) terms: Arc<SignedTerms>,
    /// factory-y's lot: its key and certificate.
    pub(crate) lot_key: Arc<SoftwareKey>,
    pub(crate) lot_ca: Certificate,
}

pub(crate) fn key() -> SoftwareKey {
    SoftwareKey::generate(KeyKind::P256).unwrap()
}

fn from(text: &str) -> Period {
    Period { not_before: TermsTime(UnixTime::parse(text).unwrap()), not_after: TermsTime::never() }
}

pub(crate) fn now() -> UnixTime {
    UnixTime::parse("2026-06-01T00:00:00Z").unwrap()
}

pub(crate) fn maker(id: &str) -> ManufacturerId {
    ManufacturerId::parse(id).unwrap()
}

pub(crate) fn serials(seed: u64) -> SerialSource {
    SerialSource::new(Instance::ONLY, Arc::new(SeededEntropy::new(seed)))
}

pub(crate) static PAPER: LazyLock<Paper> = LazyLock::new(|| {
    let [root, brand, factory, technician, lot_key] = std::array::from_fn(|_| Arc::new(key()));
    let document = RootProfileDocument {
        organization: "Company X".to_owned(),
        common_name: "Company X Device Root".to_owned(),
        validity: from("2025-01-01T00:00:00Z"),
        stage: Stage::Development,
    };
    let policy = KeyPolicy::ca(HandoffKeyAlgorithm::P256);
    let signer = Arc::clone(&root) as Arc<dyn SigningKey>;
    let maker_of_roots = RootMaker::<Unrecorded>::new(signer, &policy, document.check().unwrap()).unwrap();
    let draft = maker_of_roots.draft(serials(1).next_serial().unwrap()).unwrap();
    let receipt = Unrecorded(draft.tbs_digest());
    let anchor = maker_of_roots.sign(draft.recorded(receipt).unwrap()).unwrap().into_certificate().unwrap();

    let terms = terms_document(&factory, &technician).check().unwrap();
    let signature = brand.sign(terms.approval().to_be_signed()).unwrap();
    let brand_key = IdentityKey { manufacturer: maker("company-x"), public_key: brand.public_key().clone() };
    let bundle = Bundle { identity_keys: vec![brand_key], ..Bundle::default() };
    let terms = Arc::new(SignedTerms::verify(terms.bytes().as_bytes(), &signature, &bundle).unwrap());

    let issuer = load::<Unrecorded>(vec![anchor.clone()], Arc::clone(&root) as Arc<dyn SigningKey>);
    let draft = draft_handoff(&issuer, &profiles(&terms), &factory, &lot_key, LOT, 1000, terms.digest());
    let receipt = Unrecorded(draft.tbs_digest());
    let lot_ca = issuer.sign(draft.recorded(receipt).unwrap(), SelfCheck::Verify).unwrap().into_certificate().unwrap();
    Paper { root, anchor, brand, factory, technician, terms, lot_key, lot_ca }
});

fn terms_document(factory: &SoftwareKey, technician: &SoftwareKey) -> TermsDocument {
    TermsDocument {
        version: 1,
        order: OrderId::parse(ORDER).unwrap(),
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
        graph: vec![
            Edge { from: maker("company-x"), to: maker("factory-y") },
            Edge { from: maker("factory-y"), to: maker("technician-z") },
        ],
        device_issuers: vec![maker("factory-y"), maker("technician-z")],
        parties: vec![
            party("factory-y", "Factory Y Ltd.", factory),
            party("technician-z", "Technician Z GmbH", technician),
        ],
        handoff_key: HandoffKeyAlgorithm::P256,
        device_keys: vec![DeviceKeyAlgorithm::P256],
        validity: Validity { devices: from("2026-01-01T00:00:00Z"), cas: from("2026-01-01T00:00:00Z") },
        signing_window: Period {
            not_before: TermsTime(UnixTime::parse("2026-01-01T00:00:00Z").unwrap()),
            not_after: TermsTime(UnixTime::parse("2028-01-01T00:00:00Z").unwrap()),
        },
        rework_cap: CAP,
        replacement_cap: CAP,
        manifest_digest: None,
        unlimited_lots: UnlimitedLots::Refused,
        name_constraints: NameConstraintsProfile::Critical,
    }
}

fn party(id: &str, name: &str, identity: &SoftwareKey) -> Party {
    let identity_keys = vec![identity.public_key().spki().to_vec()];
    Party { manufacturer: maker(id), name: name.to_owned(), identity_keys }
}

pub(crate) fn profiles(terms: &SignedTerms) -> OrderProfiles {
    OrderProfiles::new(Arc::new(terms.terms().clone()), Stage::Development).unwrap()
}

pub(crate) fn load<R: issuance::Receipt>(chain: Vec<Certificate>, key: Arc<dyn SigningKey>) -> Issuer<R> {
    let options = LoadOptions { stage: Stage::Development, oid_arc: OidArc::documentation(), now: now() };
    Issuer::load(chain, key, &options).unwrap()
}

pub(crate) fn consignment(lot: &str, units: u64, terms: Sha256) -> Consignment {
    Consignment {
        program: ProgramId::parse("smart-widget").unwrap(),
        order: OrderId::parse(ORDER).unwrap(),
        from: maker("company-x"),
        to: maker("factory-y"),
        lot: LotId::parse(lot).unwrap(),
        quantity: Quantity::of(units).unwrap(),
        hop: Hop::FIRST,
        terms_digest: terms,
    }
}

pub(crate) fn draft_handoff<R: issuance::Receipt>(
    issuer: &Issuer<R>,
    profiles: &OrderProfiles,
    identity: &SoftwareKey,
    lot_key: &SoftwareKey,
    lot: &str,
    units: u64,
    terms: Sha256,
) -> Draft {
    let consignment = consignment(lot, units, terms);
    let csr = make_csr(lot_key, lot).unwrap();
    let key = gate(&csr, profiles.lot_keys(), AskedFor::Lot(&consignment.lot)).unwrap();
    let statement = Statement::acceptance(lot_key.public_key().spki(), &consignment);
    let acceptance = Acceptance {
        identity_key_digest: identity.public_key().sha256(),
        signature: identity.sign(statement.to_be_signed()).unwrap(),
    };
    let handoff = Handoff { consignment, manifest_digest: None, acceptance };
    let serial = serials(7).next_serial().unwrap();
    issuer.draft_handoff(profiles, HandoffRequest { key: &key, handoff: &handoff, serial, now: now() }).unwrap()
}

pub(crate) fn terms_digest() -> Sha256 {
    PAPER.terms.digest()
}
