//! A development CA for the services' own TLS, separate from the device PKI.
//!
//! For `init`, the demo and tests; organisations bring their own CA in production. It certifies processes, not
//! devices, so nothing here is recorded and no handoff exists; lose it, and make another.

use core::net::IpAddr;
use std::sync::Arc;

use pki::{Certificate, CertificateSerial, PublicKey, Sha256};
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};

use crate::cycle::{CycleRefusal, Kind};
use crate::encode::{self, EncodeRefusal};
use crate::extension;
use crate::key::SigningKey;
use crate::profile::{Period, ProfileRefusal, ca_params, check_name, name, params};
use crate::signatory::Signatory;

/// Why a service certificate was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ServicePkiRefusal {
    /// Not a SPIFFE id of a process.
    #[error("{0:?} is not a spiffe id with a path")]
    SpiffeId(String),
    /// Not a DNS name.
    #[error("{0:?} is no dns name")]
    HostName(String),
    /// The organisation's name does not fit a subject.
    #[error("the organisation's name does not fit a subject")]
    Name(#[from] ProfileRefusal),
    /// The validity ends before it begins, or outlives the CA's.
    #[error("the validity does not lie inside the service ca's")]
    ValidityNotNested,
    /// The certificate is not the key's.
    #[error("the key does not belong to the service ca's certificate")]
    KeyMismatch,
    /// The encoder failed.
    #[error("the service certificate could not be encoded")]
    Encode(#[from] EncodeRefusal),
    /// The key failed.
    #[error("the service certificate could not be signed")]
    Sign(#[from] CycleRefusal),
    /// What was made does not parse.
    #[error("the service certificate does not read back")]
    ReadBack(#[from] pki::ParseError),
}

impl ServicePkiRefusal {
    /// The published reason.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::SpiffeId(_) => "SPIFFE_ID_INVALID",
            Self::HostName(_) => "PROFILE_NAME_INVALID",
            Self::Name(cause) => cause.reason(),
            Self::ValidityNotNested => "VALIDITY_NOT_NESTED",
            Self::KeyMismatch => "ISSUER_KEY_MISMATCH",
            Self::Encode(cause) => cause.reason(),
            Self::Sign(cause) => cause.reason(),
            Self::ReadBack(cause) => cause.reason(),
        }
    }
}

/// One organisation's development CA for service certificates.
pub struct ServiceCa {
    signatory: Signatory,
    organization: String,
    certificate: Certificate,
}

impl ServiceCa {
    /// Makes a self-signed CA: pathLen 0, no names of its own. `common_name` tells it from the organisation's other CAs.
    ///
    /// # Errors
    /// `PROFILE_NAME_INVALID`, `VALIDITY_NOT_NESTED`, or when the key fails.
    pub fn create(
        key: Arc<dyn SigningKey>,
        organization: &str,
        common_name: &str,
        validity: &Period,
        serial: CertificateSerial,
    ) -> Result<Self, ServicePkiRefusal> {
        check_name("organization", organization)?;
        check_name("common name", common_name)?;
        if !validity.is_ordered() {
            return Err(ServicePkiRefusal::ValidityNotNested);
        }
        let public_key = key.public_key().clone();
        let subject = name(Some(organization), common_name);
        let own_name = encode::name(&subject)?;
        let signatory = Signatory::new(key, own_name, extension::key_id(&public_key));
        let params = ca_params(subject, validity, Some(0), &public_key);
        let certificate = issue(&signatory, params, &public_key, serial, Kind::Ca)?;
        Ok(Self { signatory, organization: organization.to_owned(), certificate })
    }

    /// Takes a CA made before into use.
    ///
    /// # Errors
    /// `ISSUER_KEY_MISMATCH`.
    pub fn load(key: Arc<dyn SigningKey>, certificate: Certificate) -> Result<Self, ServicePkiRefusal> {
        if certificate.public_key() != key.public_key() || !certificate.is_ca() {
            return Err(ServicePkiRefusal::KeyMismatch);
        }
        let organization = certificate.subject().organization().unwrap_or_default();
        check_name("organization", &organization)?;
        let key_id = certificate.subject_key_id().unwrap_or_default().to_vec();
        let signatory = Signatory::new(key, certificate.subject().der().to_vec(), key_id);
        Ok(Self { signatory, organization, certificate })
    }

    /// The CA's certificate: what peers configure.
    #[must_use]
    pub fn certificate(&self) -> &Certificate {
        &self.certificate
    }

    /// A certificate for one service or person: exactly one URI SAN, for both ends of mTLS.
    ///
    /// # Errors
    /// `SPIFFE_ID_INVALID`, `VALIDITY_NOT_NESTED`, or when the key fails.
    pub fn issue(
        &self,
        key: &PublicKey,
        spiffe_id: &str,
        validity: &Period,
        serial: CertificateSerial,
    ) -> Result<Certificate, ServicePkiRefusal> {
        self.issue_for_hosts(key, spiffe_id, &[], validity, serial)
    }

    /// The same with addresses beside the URI, for clients that know servers by their host only (most gRPC tools).
    ///
    /// # Errors
    /// As [`issue`](Self::issue).
    pub fn issue_for_hosts(
        &self,
        key: &PublicKey,
        spiffe_id: &str,
        hosts: &[IpAddr],
        validity: &Period,
        serial: CertificateSerial,
    ) -> Result<Certificate, ServicePkiRefusal> {
        let path = check_spiffe_id(spiffe_id)?;
        self.check_validity(validity)?;
        // The CN is for people; RFC 5280 appendix A.1 leaves it 64 characters.
        let common_name: String = path.chars().take(64).collect();
        let mut params = params(name(Some(&self.organization), &common_name), validity);
        let uri = Ia5String::try_from(spiffe_id).map_err(|_| ServicePkiRefusal::SpiffeId(spiffe_id.to_owned()))?;
        params.subject_alt_names = vec![SanType::URI(uri)];
        params.subject_alt_names.extend(hosts.iter().map(|host| SanType::IpAddress(*host)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions = vec![extension::subject_key_id(key), self.signatory.authority_key_id()];
        issue(&self.signatory, params, key, serial, Kind::EndEntity)
    }

    /// A certificate for a server that its clients know by its host alone, such as a hub towards devices: DNS names and addresses, and
    /// nothing that a service would take for an identity.
    ///
    /// # Errors
    /// `PROFILE_NAME_INVALID`, `VALIDITY_NOT_NESTED`, or when the key fails.
    pub fn issue_server(
        &self,
        key: &PublicKey,
        dns_name: &str,
        hosts: &[IpAddr],
        validity: &Period,
        serial: CertificateSerial,
    ) -> Result<Certificate, ServicePkiRefusal> {
        check_name("common name", dns_name)?;
        self.check_validity(validity)?;
        let mut params = params(name(Some(&self.organization), dns_name), validity);
        let host = Ia5String::try_from(dns_name).map_err(|_| ServicePkiRefusal::HostName(dns_name.to_owned()))?;
        params.subject_alt_names = vec![SanType::DnsName(host)];
        params.subject_alt_names.extend(hosts.iter().map(|host| SanType::IpAddress(*host)));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.custom_extensions = vec![extension::subject_key_id(key), self.signatory.authority_key_id()];
        issue(&self.signatory, params, key, serial, Kind::EndEntity)
    }

    fn check_validity(&self, validity: &Period) -> Result<(), ServicePkiRefusal> {
        let own = &self.certificate;
        let nested = own.not_before() <= validity.not_before.0 && validity.not_after.0 <= own.not_after();
        if validity.is_ordered() && nested { Ok(()) } else { Err(ServicePkiRefusal::ValidityNotNested) }
    }
}

impl std::fmt::Debug for ServiceCa {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ServiceCa").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

fn issue(
    signatory: &Signatory,
    params: CertificateParams,
    key: &PublicKey,
    serial: CertificateSerial,
    kind: Kind,
) -> Result<Certificate, ServicePkiRefusal> {
    let draft = signatory.draft(params, key, serial, Sha256::of(b"countersign/profile/service/v1"), kind)?;
    Ok(signatory.sign_unrecorded(draft)?.into_certificate()?)
}

/// SPIFFE-ID section 2: scheme, trust domain of lower-case letters, digits, dots, dashes and underscores, then path
/// segments of letters, digits and the same; at most 2048 octets. Gives the path without its first slash.
fn check_spiffe_id(id: &str) -> Result<&str, ServicePkiRefusal> {
    let refusal = || ServicePkiRefusal::SpiffeId(id.chars().take(120).collect());
    let (domain, path) = id.strip_prefix("spiffe://").and_then(|rest| rest.split_once('/')).ok_or_else(refusal)?;
    let punctuation = |letter: char| matches!(letter, '.' | '-' | '_');
    let domain_fits = !domain.is_empty()
        && domain.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || punctuation(letter));
    let segment_fits = |segment: &str| {
        !matches!(segment, "" | "." | "..")
            && segment.chars().all(|letter| letter.is_ascii_alphanumeric() || punctuation(letter))
    };
    if id.len() <= 2048 && domain_fits && path.split('/').all(segment_fits) { Ok(path) } else { Err(refusal()) }
}
