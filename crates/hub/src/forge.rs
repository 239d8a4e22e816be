//! For tests: chains that can be bent in one place at a time, by whoever holds the right key.

use api::hub::v1::{ChainRules, FirstConnect, Verification};
use bytes::Bytes;
use mfg::{
    Acceptance, Bundle, Consignment, Handoff, Hop, IdentityKey, LotId, ManufacturerId, OidArc, OrderId, ProgramId,
    Quantity, Statement, subtree::handoff_common_name,
};
use pki::{Certificate, DnsName, PublicKey, Sha256, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints, PublicKeyData as _, SanType,
    SigningKey as _, date_time_ymd,
};

pub(crate) const BASE: &str = "smart-widget.company-x.example";
/// 2027-01-15.
pub(crate) const NOW: UnixTime = UnixTime::new(1_800_000_000);

/// Something with a key and a certificate to be.
pub(crate) struct Ca {
    pub(crate) key: KeyPair,
    pub(crate) identity: KeyPair,
    /// None for a CA without a handoff.
    pub(crate) consignment: Option<Consignment>,
    /// Who signs the acceptance, if not `identity`.
    pub(crate) accepted_by: Option<KeyPair>,
    /// What the acceptance is about, if not `consignment`.
    pub(crate) accepted: Option<Consignment>,
    pub(crate) permitted: Option<String>,
    pub(crate) organization: String,
    pub(crate) common_name: String,
    pub(crate) is_ca: IsCa,
    pub(crate) usages: Vec<KeyUsagePurpose>,
    pub(crate) names: Vec<SanType>,
    pub(crate) years: (i32, i32),
    pub(crate) window: Option<(i32, i32)>,
    pub(crate) handoff_critical: bool,
}

/// A leaf to be.
pub(crate) struct Leaf {
    pub(crate) key: KeyPair,
    pub(crate) common_names: Vec<String>,
    pub(crate) names: Vec<SanType>,
    pub(crate) is_ca: IsCa,
    pub(crate) usages: Vec<KeyUsagePurpose>,
    pub(crate) purposes: Vec<ExtendedKeyUsagePurpose>,
    pub(crate) extensions: Vec<CustomExtension>,
    pub(crate) years: (i32, i32),
}

/// A root, its CAs from the top down, and a leaf.
pub(crate) struct Forge {
    pub(crate) root_name: String,
    pub(crate) root_key: KeyPair,
    pub(crate) root_years: (i32, i32),
    pub(crate) root_path_length: BasicConstraints,
    pub(crate) root_extensions: Vec<CustomExtension>,
    pub(crate) cas: Vec<Ca>,
    pub(crate) leaf: Leaf,
}

/// Ed25519 signs the same octets the same way, so that a forge makes the same certificates each time.
pub(crate) fn key() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap()
}

/// What lots and devices have in the field. Its signatures differ each time.
pub(crate) fn p256() -> KeyPair {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap()
}

/// The same key once more: what a thief has.
pub(crate) fn copy(key: &KeyPair) -> KeyPair {
    KeyPair::try_from(key.serialized_der()).unwrap()
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().unwrap())
}

pub(crate) fn uri(name: &str) -> SanType {
    SanType::URI(name.try_into().unwrap())
}

pub(crate) fn extension(oid: &str, content: Vec<u8>) -> CustomExtension {
    let arcs: Vec<u64> = oid.split('.').map(|arc| arc.parse().unwrap()).collect();
    CustomExtension::from_oid_content(&arcs, content)
}

/// The extension that tells a leaf's generation.
pub(crate) fn generation(number: u8) -> CustomExtension {
    extension("1.3.6.1.4.1.32473.1.2", vec![2, 1, number])
}

impl Forge {
    /// company-x -> factory-y (b0032, 5000) -> technician-z (t7, 4980) -> sn0000001
    pub(crate) fn new() -> Self {
        let factory = handoff_ca(1, "company-x", "factory-y", "b0032", Quantity::of(5000).unwrap(), BASE);
        let parent = factory.permitted.clone().unwrap();
        let technician = handoff_ca(2, "factory-y", "technician-z", "t7", Quantity::of(4980).unwrap(), &parent);
        let mut forge = Self {
            root_name: "Company-X root".to_owned(),
            root_key: key(),
            root_years: (2020, 2060),
            root_path_length: BasicConstraints::Unconstrained,
            root_extensions: Vec::new(),
            cas: vec![factory, technician],
            leaf: leaf("sn0000001", ""),
        };
        forge.name_leaf("sn0000001");
        forge
    }

    /// As [`Forge::new`], with a third hop (q1, 100) before the device.
    pub(crate) fn of_three() -> Self {
        let mut forge = Self::new();
        let parent = forge.cas[1].permitted.clone().unwrap();
        forge.cas.push(handoff_ca(3, "technician-z", "tester-q", "q1", Quantity::of(100).unwrap(), &parent));
        forge.name_leaf("sn0000001");
        forge
    }

    /// Another makers' chain: a root, an intermediate without anything, a leaf with a common name alone.
    pub(crate) fn plain(id: &str) -> Self {
        let mut intermediate = handoff_ca(1, "a", "b", "c", Quantity::Unlimited, BASE);
        intermediate.consignment = None;
        intermediate.permitted = None;
        intermediate.window = None;
        intermediate.common_name = "Intermediate".to_owned();
        let mut forge = Self {
            root_name: "Company-X root".to_owned(),
            root_key: key(),
            root_years: (2020, 2060),
            root_path_length: BasicConstraints::Unconstrained,
            root_extensions: Vec::new(),
            cas: vec![intermediate],
            leaf: leaf(id, ""),
        };
        forge.leaf.names.clear();
        forge.leaf.extensions.clear();
        forge
    }

    /// Gives the leaf a fresh key, this id, and the name that belongs to it under the last CA.
    pub(crate) fn name_leaf(&mut self, id: &str) {
        let subtree = self.cas.last().unwrap().permitted.clone().unwrap();
        self.leaf = leaf(id, &subtree);
    }

    /// The identity keys of all receivers.
    pub(crate) fn bundle(&self) -> Bundle {
        let identity_keys = self.cas.iter().filter_map(|ca| {
            let manufacturer = ca.consignment.as_ref()?.to.clone();
            let public_key = PublicKey::parse(&ca.identity.subject_public_key_info()).unwrap();
            Some(IdentityKey { manufacturer, public_key })
        });
        Bundle { identity_keys: identity_keys.collect(), ..Bundle::default() }
    }

    pub(crate) fn root(&self) -> Certificate {
        parse(&self.root_params().self_signed(&self.root_key).unwrap())
    }

    /// Root first, without the root.
    pub(crate) fn ca_certificates(&self) -> Vec<Certificate> {
        self.certificates().0
    }

    /// What the device presents: leaf first, without the root.
    pub(crate) fn presented(&self) -> Vec<Bytes> {
        let (mut cas, leaf) = self.certificates();
        cas.push(leaf);
        cas.iter().rev().map(|certificate| Bytes::copy_from_slice(certificate.der())).collect()
    }

    fn certificates(&self) -> (Vec<Certificate>, Certificate) {
        let mut issuer = Issuer::new(self.root_params(), &self.root_key);
        let mut cas = Vec::new();
        for ca in &self.cas {
            let params = ca.params();
            cas.push(parse(&params.signed_by(&ca.key, &issuer).unwrap()));
            issuer = Issuer::new(params, &ca.key);
        }
        let leaf = parse(&self.leaf.params().signed_by(&self.leaf.key, &issuer).unwrap());
        (cas, leaf)
    }

    fn root_params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, self.root_name.as_str());
        params.is_ca = IsCa::Ca(self.root_path_length);
        params.custom_extensions.clone_from(&self.root_extensions);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        valid(&mut params, self.root_years);
        params
    }

    /// A certificate over a verification code, by the root's key or another.
    pub(crate) fn proof(&self, code: &str, by: &KeyPair) -> Bytes {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, code);
        valid(&mut params, (2026, 2028));
        let issuer = Issuer::new(self.root_params(), by);
        Bytes::copy_from_slice(params.signed_by(&key(), &issuer).unwrap().der())
    }
}

/// A CA that receives a lot.
pub(crate) fn handoff_ca(hop: u8, from: &str, to: &str, lot: &str, quantity: Quantity, parent: &str) -> Ca {
    let subtree = format!("{lot}.{to}.{parent}");
    let (lot, to) = (LotId::parse(lot).unwrap(), ManufacturerId::parse(to).unwrap());
    let common_name = handoff_common_name(&lot, &to, &DnsName::parse(&subtree).unwrap());
    let consignment = Consignment {
        program: ProgramId::parse("smart-widget").unwrap(),
        order: OrderId::parse("po-7").unwrap(),
        from: ManufacturerId::parse(from).unwrap(),
        to: to.clone(),
        lot,
        quantity,
        hop: Hop::of(hop).unwrap(),
        terms_digest: Sha256::of(b"terms"),
    };
    Ca {
        key: key(),
        identity: key(),
        consignment: Some(consignment),
        accepted_by: None,
        accepted: None,
        permitted: Some(subtree),
        organization: format!("{to} Ltd"),
        common_name,
        is_ca: IsCa::Ca(BasicConstraints::Constrained(4 - hop)),
        usages: vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
        names: Vec::new(),
        years: (2024, 2050),
        window: Some((2025, 2040 - i32::from(hop))),
        handoff_critical: false,
    }
}

fn leaf(id: &str, subtree: &str) -> Leaf {
    Leaf {
        key: key(),
        common_names: vec![id.to_owned()],
        names: if subtree.is_empty() { Vec::new() } else { vec![dns(&format!("{id}.{subtree}"))] },
        is_ca: IsCa::NoCa,
        usages: vec![KeyUsagePurpose::DigitalSignature],
        purposes: vec![ExtendedKeyUsagePurpose::ClientAuth],
        extensions: vec![generation(1)],
        years: (2025, 2045),
    }
}

impl Ca {
    /// SHA-256 of the CA's public key.
    pub(crate) fn key_sha256(&self) -> Sha256 {
        Sha256::of(&self.key.subject_public_key_info())
    }

    fn handoff(&self, consignment: &Consignment) -> Vec<u8> {
        let statement =
            Statement::acceptance(&self.key.subject_public_key_info(), self.accepted.as_ref().unwrap_or(consignment));
        let signer = self.accepted_by.as_ref().unwrap_or(&self.identity);
        let acceptance = Acceptance {
            identity_key_digest: Sha256::of(&signer.subject_public_key_info()),
            signature: signer.sign(statement.to_be_signed()).unwrap(),
        };
        Handoff { consignment: consignment.clone(), manifest_digest: None, acceptance }.to_der()
    }

    fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, self.organization.as_str());
        params.distinguished_name.push(DnType::CommonName, self.common_name.as_str());
        params.is_ca = self.is_ca;
        params.key_usages.clone_from(&self.usages);
        params.subject_alt_names.clone_from(&self.names);
        valid(&mut params, self.years);
        params.use_authority_key_identifier_extension = true;
        params.name_constraints = self.permitted.clone().map(|name| NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(name)],
            excluded_subtrees: Vec::new(),
        });
        if let Some((from, until)) = self.window {
            params.custom_extensions.push(extension("2.5.29.16", usage_period(from, until)));
        }
        if let Some(consignment) = &self.consignment {
            let oid = OidArc::documentation().handoff().to_string();
            let mut handoff = extension(&oid, self.handoff(consignment));
            handoff.set_criticality(self.handoff_critical);
            params.custom_extensions.push(handoff);
        }
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

fn parse(certificate: &rcgen::Certificate) -> Certificate {
    Certificate::parse(certificate.der()).unwrap()
}

fn valid(params: &mut CertificateParams, years: (i32, i32)) {
    params.not_before = date_time_ymd(years.0, 1, 1);
    params.not_after = date_time_ymd(years.1, 1, 1);
}

/// PrivateKeyUsagePeriod (RFC 3280 section 4.2.1.4).
fn usage_period(from: i32, until: i32) -> Vec<u8> {
    let time = |tag: u8, year: i32| [&[tag, 15][..], format!("{year}0101000000Z").as_bytes()].concat();
    let content = [time(0x80, from), time(0x81, until)].concat();
    [&[0x30, u8::try_from(content.len()).unwrap()][..], &content].concat()
}

/// A CA certificate as an operator registers it.
pub(crate) fn new_ca(name: &str, certificate: &Certificate, rules: ChainRules) -> crate::registry::NewCa {
    crate::registry::NewCa {
        name: name.to_owned(),
        certificate: Bytes::copy_from_slice(certificate.der()),
        rules,
        first_connect: FirstConnect::Refuse,
        verification: Verification::Verified,
    }
}

/// The same certificate with its ECDSA signature (P-256) written the other way: s and n - s are both good for the same octets.
pub(crate) fn other_signature(der: &[u8]) -> Bytes {
    const N: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad,
        0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let certificate = Certificate::parse(der).unwrap();
    let signature = certificate.signature();
    let r_end = 4 + usize::from(signature[3]);
    let s = &signature[r_end + 2..];
    let mut padded = [0; 33];
    padded[33 - s.len()..].copy_from_slice(s);
    let (mut other, mut borrow) = ([0; 33], 0_i16);
    for at in (1..33).rev() {
        let difference = i16::from(N[at - 1]) - i16::from(padded[at]) - borrow;
        borrow = i16::from(difference < 0);
        other[at] = u8::try_from(difference.rem_euclid(256)).unwrap();
    }
    let zeros = other.iter().take_while(|octet| **octet == 0).count();
    // One zero stays in front of a number that would be negative without it.
    let first = if other[zeros] >= 0x80 { zeros - 1 } else { zeros };
    let with_header = |tag: u8, parts: &[&[u8]]| {
        let content = parts.concat();
        let length = match content.len() {
            short @ 0..=127 => vec![u8::try_from(short).unwrap()],
            long => [&[0x82][..], &u16::try_from(long).unwrap().to_be_bytes()].concat(),
        };
        [&[tag][..], &length, &content].concat()
    };
    let signature = with_header(0x30, &[&signature[2..r_end], &with_header(0x02, &[&other[first..]])]);
    let algorithm = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let certificate = [certificate.tbs(), &algorithm, &with_header(0x03, &[&[0], &signature])];
    Bytes::from(with_header(0x30, &certificate))
}
