//! A device's TBSCertificate, written around what is the same in all of them.
//!
//! rcgen says how such a certificate looks: the constant parts are cut out of what it writes for a sample, once for each profile. What
//! differs from device to device is then put between them. Tests compare the octets with rcgen's.

use der::{Decode as _, Header, Reader as _, SliceReader, Tag};
use mfg::{DeviceId, Generation};
use pki::{CertificateSerial, DnsName, PublicKey, oid};

use super::sample::sample_signatory;
use super::{DeviceProfileDocument, ProfileRefusal};
use crate::encode::{self, object_identifier, tlv, utf8_string};
use crate::extension;
use crate::key::{KeyKind, SigningKey as _, SoftwareKey};
use crate::signatory::Signatory;

/// What differs from device to device.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Device<'a> {
    pub(crate) id: &'a DeviceId,
    pub(crate) dns_name: &'a DnsName,
    pub(crate) generation: Generation,
    pub(crate) key: &'a PublicKey,
    pub(crate) serial: &'a CertificateSerial,
}

/// The constant parts of one profile's certificates, DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DeviceTemplate {
    version: Vec<u8>,
    validity: Vec<u8>,
    /// keyUsage, then extKeyUsage.
    usages: Vec<u8>,
    generation: Vec<u8>,
}

impl DeviceTemplate {
    /// The template of a profile.
    pub(super) fn of(document: &DeviceProfileDocument) -> Result<Self, ProfileRefusal> {
        let wrong = |cause: String| ProfileRefusal::Sample(cause);
        let id = DeviceId::parse("sample").map_err(|cause| wrong(cause.to_string()))?;
        let dns_name = DnsName::parse("sample.lot.maker.example").map_err(|cause| wrong(cause.to_string()))?;
        let serial = CertificateSerial::from_bytes(&[1]).ok_or_else(|| wrong("1 is no serial".to_owned()))?;
        let key = SoftwareKey::generate(KeyKind::P256).map_err(|cause| wrong(cause.to_string()))?;
        let sample = Device {
            id: &id,
            dns_name: &dns_name,
            generation: Generation::FIRST,
            key: key.public_key(),
            serial: &serial,
        };
        let issuer = sample_signatory()?;
        let written = issuer.tbs(document.params(&sample, &issuer)?, sample.key, &serial)?;
        let generation = object_identifier(document.oid_arc.generation());
        Self::cut(&written, generation).map_err(|cause| wrong(cause.to_string()))
    }

    /// Takes the constant parts out of a TBSCertificate (RFC 5280 section 4.1).
    fn cut(tbs: &[u8], generation: Vec<u8>) -> der::Result<Self> {
        let mut reader = SliceReader::new(tbs)?;
        Header::decode(&mut reader)?.tag().assert_eq(Tag::Sequence)?;
        let version = reader.tlv_bytes()?.to_vec();
        let (_serial, _algorithm, _issuer) = (reader.tlv_bytes()?, reader.tlv_bytes()?, reader.tlv_bytes()?);
        let validity = reader.tlv_bytes()?.to_vec();
        let (_subject, _key) = (reader.tlv_bytes()?, reader.tlv_bytes()?);
        // extensions [3] EXPLICIT SEQUENCE
        let (_tag, _list) = (Header::decode(&mut reader)?, Header::decode(&mut reader)?);
        let _names = reader.tlv_bytes()?;
        let usages = [reader.tlv_bytes()?, reader.tlv_bytes()?].concat();
        Ok(Self { version, validity, usages, generation })
    }

    /// The TBSCertificate of a device.
    pub(super) fn tbs(&self, device: &Device<'_>, issuer: &Signatory) -> Vec<u8> {
        let common_name = tlv(0x30, &[b"\x06\x03\x55\x04\x03", &utf8_string(device.id.as_str())]);
        let names = tlv(0x30, &[&tlv(0x82, &[device.dns_name.as_str().as_bytes()])]);
        let extensions = tlv(
            0x30,
            &[
                &plain(&object_identifier(oid::SUBJECT_ALT_NAME), &names),
                &self.usages,
                &plain(&object_identifier(oid::SUBJECT_KEY_ID), &extension::subject_key_id_value(device.key)),
                &plain(&object_identifier(oid::AUTHORITY_KEY_ID), &issuer.authority_key_id_value()),
                &plain(&self.generation, &extension::generation_value(device.generation)),
            ],
        );
        let octets = issuer.octets();
        tlv(
            0x30,
            &[
                &self.version,
                &encode::positive_integer(device.serial.as_bytes()),
                octets.algorithm.identifier_der(),
                &octets.name,
                &self.validity,
                &tlv(0x30, &[&tlv(0x31, &[&common_name])]),
                device.key.spki(),
                &tlv(0xa3, &[&extensions]),
            ],
        )
    }
}

/// An extension that is not critical.
fn plain(oid: &[u8], value: &[u8]) -> Vec<u8> {
    tlv(0x30, &[oid, &tlv(0x04, &[value])])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use mfg::OidArc;
    use mfg::terms::{Period, TermsTime};
    use pki::UnixTime;

    use super::*;

    fn periods() -> [Period; 3] {
        // UTCTime on both sides, UTCTime and GeneralizedTime, the IDevID profile (RFC 5280 section 4.1.2.5).
        [(0, 2_000_000_000), (1_000_000_000, 2_524_608_000), (1_700_000_000, UnixTime::NEVER.as_secs())].map(
            |(not_before, not_after)| Period {
                not_before: TermsTime(UnixTime::new(not_before)),
                not_after: TermsTime(UnixTime::new(not_after)),
            },
        )
    }

    fn issuers() -> Vec<Signatory> {
        let issuer = |kind, name: &str, key_id: &[u8]| {
            let common_name = tlv(0x30, &[b"\x06\x03\x55\x04\x03", &utf8_string(name)]);
            let name = tlv(0x30, &[&tlv(0x31, &[&common_name])]);
            Signatory::new(Arc::new(SoftwareKey::generate(kind).unwrap()), name, key_id.to_vec())
        };
        vec![
            issuer(KeyKind::P256, "b0032.factory-y 0123456789ab", &[7; 20]),
            issuer(KeyKind::P384, "x", &[0xff; 32]),
            issuer(KeyKind::Ed25519, &"n".repeat(64), &[0]),
        ]
    }

    fn names() -> Vec<(DeviceId, DnsName)> {
        let longest = "d".repeat(63);
        let name = |(id, above): (&str, usize)| {
            let dns_name = format!("{id}.{}b0032.factory-y.smart-widget.company-x.example", "l.".repeat(above));
            (DeviceId::parse(id).unwrap(), DnsName::parse(&dns_name).unwrap())
        };
        [("s", 0), ("sn0000001", 20), (longest.as_str(), 60)].map(name).into()
    }

    #[test]
    fn the_octets_are_those_that_rcgen_writes() {
        let serials = [&[1][..], &[0x7f; 17], &[0x01; 20]].map(|octets| CertificateSerial::from_bytes(octets).unwrap());
        let generations = [1, 127, 128, 65_536].map(|number| Generation::of(number).unwrap());
        let keys = [KeyKind::P256, KeyKind::P384, KeyKind::Ed25519].map(|kind| SoftwareKey::generate(kind).unwrap());
        let names = names();
        let mut devices = Vec::new();
        for (id, dns_name) in &names {
            for key in keys.iter().map(SoftwareKey::public_key) {
                for generation in generations {
                    devices.extend(serials.iter().map(|serial| Device { id, dns_name, generation, key, serial }));
                }
            }
        }
        for validity in periods() {
            for arc in ["1.3.6.1.4.1.32473", "1.3.6.1.4.1.2147483647.5"] {
                let document = DeviceProfileDocument { validity, oid_arc: OidArc::parse(arc).unwrap() };
                let template = DeviceTemplate::of(&document).unwrap();
                for issuer in issuers() {
                    for device in &devices {
                        let params = document.params(device, &issuer).unwrap();
                        let reference = issuer.tbs(params, device.key, device.serial).unwrap();
                        assert_eq!(template.tbs(device, &issuer), reference, "{device:?}");
                    }
                }
            }
        }
    }
}
