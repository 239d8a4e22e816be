//! A chain that can be bent in one place at a time.

use std::{collections::HashSet, sync::LazyLock};

use pki::{Certificate, DnsName, Sha256};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData, SanType, SigningKey,
    date_time_ymd,
};

use crate::bundle::{Bundle, BundleProgram, IdentityKey};
use crate::handoff::{Acceptance, Consignment, Handoff, Hop};
use crate::id::{LotId, ManufacturerId, OrderId, ProgramId};
use crate::journey::{Journey, JourneyRefusal, Witness, read_certificates};
use crate::oid::OidArc;
use crate::quantity::Quantity;
use crate::statement::Statement;
use crate::subtree::handoff_common_name;

pub(super) const BASE: &str = "smart-widget.company-x.example";

/// One CA certificate to be: what it says, each part on its own.
pub(super) struct Ca {
    pub(super) key: KeyPair,
    pub(super) identity: KeyPair,
    /// The handoff, or none for an order CA.
    pub(super) consignment: Option<Consignment>,
    pub(super) manifest: Option<Sha256>,
    /// What the receiver signs for; as stated when none.
    pub(super) accepts: Option<Consignment>,
    /// For which lot key it signs; its own when none.
    pub(super) accepts_key: Option<Vec<u8>>,
    pub(super) arc: OidArc,
    /// In place of the handoff's DER.
    pub(super) raw: Option<Vec<u8>>,
    pub(super) critical: bool,
    pub(super) extra: Vec<CustomExtension>,
    pub(super) permitted: Vec<String>,
    pub(super) excluded: Vec<String>,
    pub(super) organization: Option<String>,
    pub(super) common_name: String,
    pub(super) names: Vec<SanType>,
    pub(super) path_length: BasicConstraints,
    pub(super) years: (i32, i32),
    pub(super) window: Option<(i32, i32)>,
}

pub(super) struct Leaf {
    pub(super) key: KeyPair,
    pub(super) common_names: Vec<String>,
    pub(super) names: Vec<SanType>,
    pub(super) is_ca: IsCa,
    pub(super) usages: Vec<KeyUsagePurpose>,
    pub(super) purposes: Vec<ExtendedKeyUsagePurpose>,
    pub(super) extensions: Vec<CustomExtension>,
    pub(super) years: (i32, i32),
}

pub(super) struct World {
    pub(super) root: KeyPair,
    pub(super) cas: Vec<Ca>,
    pub(super) leaf: Leaf,
    pub(super) bundle: Option<Bundle>,
}

pub(super) struct Chain {
    pub(super) root: Certificate,
    pub(super) cas: Vec<Certificate>,
    pub(super) leaf: Certificate,
}

pub(super) fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

pub(super) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub(super) fn extension(oid: &str, content: Vec<u8>) -> CustomExtension {
    let arcs: Vec<u64> = oid.split('.').map(|arc| arc.parse().unwrap()).collect();
    CustomExtension::from_oid_content(&arcs, content)
}

impl World {
    /// company-x -> factory-y (b0032, 5000) -> technician-z (t7, 4980) -> sn0000001
    pub(super) fn new() -> Self {
        let factory = handoff_ca(1, "company-x", "factory-y", "b0032", 5000, BASE);
        let technician = handoff_ca(2, "factory-y", "technician-z", "t7", 4980, &factory.permitted[0]);
        let device = format!("sn0000001.{}", technician.permitted[0]);
        let leaf = Leaf {
            key: key(),
            common_names: vec!["sn0000001".into()],
            names: vec![dns(&device)],
            is_ca: IsCa::NoCa,
            usages: vec![KeyUsagePurpose::DigitalSignature],
            purposes: vec![ExtendedKeyUsagePurpose::ClientAuth],
            extensions: vec![extension("1.3.6.1.4.1.32473.1.2", vec![2, 1, 1])],
            years: (2025, 2045),
        };
        let mut world = Self { root: key(), cas: vec![factory, technician], leaf, bundle: None };
        world.bundle = Some(world.full_bundle());
        world
    }

    pub(super) fn full_bundle(&self) -> Bundle {
        let identity = |ca: &Ca| IdentityKey {
            manufacturer: ca.consignment.as_ref().unwrap().to.clone(),
            public_key: pki::PublicKey::parse(&ca.identity.subject_public_key_info()).unwrap(),
        };
        let program = BundleProgram {
            id: ProgramId::parse("smart-widget").unwrap(),
            base_name: DnsName::parse(BASE).unwrap(),
            oid_arc: OidArc::documentation(),
        };
        Bundle {
            anchors: Vec::new(),
            identity_keys: self.cas.iter().filter(|ca| ca.consignment.is_some()).map(identity).collect(),
            programs: vec![program],
            manufacturers: Vec::new(),
        }
    }

    pub(super) fn insert_order_ca(&mut self) {
        let mut order_ca = handoff_ca(1, "company-x", "order-ca", "none", 1, BASE);
        order_ca.consignment = None;
        order_ca.permitted = vec![BASE.into()];
        order_ca.window = None;
        order_ca.path_length = BasicConstraints::Constrained(5);
        self.cas.insert(0, order_ca);
    }

    pub(super) fn chain(&self) -> Chain {
        let root = root_params();
        let root_certificate = parse(&root.self_signed(&self.root).unwrap());
        let mut issuer = Issuer::new(root, &self.root);
        let mut cas = Vec::new();
        for ca in &self.cas {
            let params = ca.params();
            cas.push(parse(&params.signed_by(&ca.key, &issuer).unwrap()));
            issuer = Issuer::new(params, &ca.key);
        }
        let leaf = parse(&self.leaf.params().signed_by(&self.leaf.key, &issuer).unwrap());
        Chain { root: root_certificate, cas, leaf }
    }

    /// The bundle, and nothing that it proved before.
    pub(super) fn witness(&self) -> Witness<'_> {
        static NOTHING: LazyLock<HashSet<Sha256>> = LazyLock::new(HashSet::new);
        Witness { bundle: self.bundle.as_ref(), proven: &NOTHING }
    }

    pub(super) fn read(&self) -> Result<Journey, JourneyRefusal> {
        let chain = self.chain();
        let cas: Vec<_> = chain.cas.iter().collect();
        read_certificates(&chain.leaf, &cas, &chain.root, &self.witness())
    }
}

fn parse(certificate: &rcgen::Certificate) -> Certificate {
    Certificate::parse(certificate.der()).unwrap()
}

fn handoff_ca(hop: u8, from: &str, to: &str, lot: &str, quantity: u64, parent: &str) -> Ca {
    let subtree = format!("{lot}.{to}.{parent}");
    let (lot, to) = (LotId::parse(lot).unwrap(), ManufacturerId::parse(to).unwrap());
    let common_name = handoff_common_name(&lot, &to, &DnsName::parse(&subtree).unwrap());
    let organization = Some(format!("{to} Ltd"));
    let consignment = Consignment {
        program: ProgramId::parse("smart-widget").unwrap(),
        order: OrderId::parse("po-7").unwrap(),
        from: ManufacturerId::parse(from).unwrap(),
        to,
        lot,
        quantity: Quantity::of(quantity).unwrap(),
        hop: Hop::of(hop).unwrap(),
        terms_digest: Sha256::of(b"terms"),
    };
    Ca {
        key: key(),
        identity: key(),
        consignment: Some(consignment),
        manifest: None,
        accepts: None,
        accepts_key: None,
        arc: OidArc::documentation(),
        raw: None,
        critical: false,
        extra: Vec::new(),
        permitted: vec![subtree],
        excluded: Vec::new(),
        organization,
        common_name,
        names: Vec::new(),
        path_length: BasicConstraints::Constrained(4 - hop),
        years: (2024, 2050),
        window: Some((2025, 2030 - i32::from(hop))),
    }
}

impl Ca {
    fn handoff(&self, consignment: &Consignment) -> Vec<u8> {
        let accepted = self.accepts.as_ref().unwrap_or(consignment);
        let lot_key = self.accepts_key.clone().unwrap_or_else(|| self.key.subject_public_key_info());
        let statement = Statement::acceptance(&lot_key, accepted);
        let acceptance = Acceptance {
            identity_key_digest: Sha256::of(&self.identity.subject_public_key_info()),
            signature: self.identity.sign(statement.to_be_signed()).unwrap(),
        };
        Handoff { consignment: consignment.clone(), manifest_digest: self.manifest, acceptance }.to_der()
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        if let Some(organization) = &self.organization {
            params.distinguished_name.push(DnType::OrganizationName, organization.as_str());
        }
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.is_ca = IsCa::Ca(self.path_length);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.subject_alt_names.clone_from(&self.names);
        valid(&mut params, self.years);
        params.use_authority_key_identifier_extension = true;
        let subtrees = |names: &[String]| names.iter().cloned().map(GeneralSubtree::DnsName).collect();
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: subtrees(&self.permitted),
            excluded_subtrees: subtrees(&self.excluded),
        });
        if let Some((from, until)) = self.window {
            params.custom_extensions.push(extension("2.5.29.16", usage_period(from, until)));
        }
        if let Some(consignment) = &self.consignment {
            let value = self.raw.clone().unwrap_or_else(|| self.handoff(consignment));
            let mut handoff = extension(&self.arc.handoff().to_string(), value);
            handoff.set_criticality(self.critical);
            params.custom_extensions.push(handoff);
        }
        params.custom_extensions.extend(self.extra.iter().cloned());
        params
    }
}

impl Leaf {
    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for name in &self.common_names {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.subject_alt_names.clone_from(&self.names);
        params.is_ca = self.is_ca;
        params.key_usages.clone_from(&self.usages);
        params.extended_key_usages.clone_from(&self.purposes);
        params.custom_extensions.clone_from(&self.extensions);
        params.use_authority_key_identifier_extension = true;
        valid(&mut params, self.years);
        params
    }
}

fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Company-X root");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid(&mut params, (2020, 2060));
    params
}

fn valid(params: &mut CertificateParams, years: (i32, i32)) {
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
}

/// PrivateKeyUsagePeriod ::= SEQUENCE { notBefore [0] GeneralizedTime, notAfter [1] GeneralizedTime } (RFC 3280
/// section 4.2.1.4).
fn usage_period(from: i32, until: i32) -> Vec<u8> {
    let mut content = Vec::new();
    crate::encode::element(&mut content, 0x80, format!("{from}0101000000Z").as_bytes());
    crate::encode::element(&mut content, 0x81, format!("{until}0101000000Z").as_bytes());
    crate::encode::sequence(&content)
}
