//! CA certificates and devices as the usual tools write them.

use api::{
    Refusal,
    hub::v1::{
        Authentication, CaCertificate, CaSigned, Connection, Device, DeviceStatus, Thumbprints, Verification,
        authentication,
    },
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use pki::hex;
use prost_types::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339, macros::format_description};

/// A CA certificate.
pub(super) fn certificate(ca: &CaCertificate) -> Value {
    let mut properties = json!({
        "subject": ca.subject,
        "expiry": rfc1123(ca.expires_at.as_ref()),
        "thumbprint": hex::encode(&ca.thumbprint_sha1).to_uppercase(),
        "thumbprintSha256": hex::encode(&ca.thumbprint_sha256).to_uppercase(),
        "isVerified": ca.verification() == Verification::Verified,
        "created": rfc1123(ca.created_at.as_ref()),
        "updated": rfc1123(ca.updated_at.as_ref()),
        "certificate": STANDARD.encode(&ca.certificate),
    });
    if let (Some(code), Some(properties)) = (&ca.verification_code, properties.as_object_mut()) {
        properties.insert("verificationCode".to_owned(), Value::from(code.to_uppercase()));
    }
    json!({
        "id": format!("/certificates/{}", ca.name),
        "name": ca.name,
        "type": "Microsoft.Devices/IotHubs/Certificates",
        "etag": ca.etag,
        "properties": properties,
    })
}

/// An uploaded certificate: the base64 of DER, of PEM, or PEM itself.
pub(super) fn uploaded(text: &str) -> Result<Bytes, Refusal> {
    if text.contains("-----BEGIN ") {
        return Ok(Bytes::copy_from_slice(text.as_bytes()));
    }
    let compact: String = text.split_whitespace().collect();
    let octets = STANDARD.decode(compact);
    octets.map(Bytes::from).map_err(|_| Refusal::malformed("certificate", "is neither PEM nor base64"))
}

/// A device with its connection.
pub(super) fn device(device: &Device, connection: &Connection) -> Value {
    let status = match device.status() {
        DeviceStatus::Enabled => "enabled",
        DeviceStatus::Unspecified | DeviceStatus::Disabled | DeviceStatus::Scrapped => "disabled",
    };
    json!({
        "deviceId": device.device_id,
        "generationId": device.created_at.as_ref().map(|at| at.seconds.to_string()),
        "etag": STANDARD.encode(&device.etag),
        "connectionState": if connection.connected { "Connected" } else { "Disconnected" },
        "connectionStateUpdatedTime": rfc3339(connection.changed_at.as_ref()),
        "lastActivityTime": rfc3339(connection.last_seen_at.as_ref()),
        "status": status,
        "statusReason": device.status_reason,
        "statusUpdatedTime": rfc3339(device.status_updated_at.as_ref()),
        "cloudToDeviceMessageCount": connection.cloud_to_device_messages,
        "authentication": shown_authentication(device.authentication.as_ref()),
        "capabilities": { "iotEdge": false },
    })
}

/// The etag of a device as it was before it went through [`device`].
pub(super) fn device_etag(shown: &str) -> String {
    let decoded = STANDARD.decode(shown).ok().and_then(|octets| String::from_utf8(octets).ok());
    decoded.unwrap_or_else(|| shown.to_owned())
}

/// A device as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AskedDevice {
    #[serde(alias = "id")]
    pub(super) device_id: String,
    pub(super) status: Option<String>,
    pub(super) status_reason: Option<String>,
    pub(super) authentication: Option<AskedAuthentication>,
    pub(super) import_mode: Option<String>,
    #[serde(alias = "eTag")]
    pub(super) etag: Option<String>,
}

/// How it is to prove who it is.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AskedAuthentication {
    #[serde(rename = "type")]
    kind: Option<String>,
    x509_thumbprint: Option<AskedThumbprints>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct AskedThumbprints {
    primary_thumbprint: Option<String>,
    secondary_thumbprint: Option<String>,
}

impl AskedDevice {
    /// The status that is asked for.
    pub(super) fn status(&self) -> Result<DeviceStatus, Refusal> {
        match self.status.as_deref() {
            None => Ok(DeviceStatus::Enabled),
            Some(status) if status.eq_ignore_ascii_case("enabled") => Ok(DeviceStatus::Enabled),
            Some(status) if status.eq_ignore_ascii_case("disabled") => Ok(DeviceStatus::Disabled),
            Some(_) => Err(Refusal::malformed("status", "is neither enabled nor disabled")),
        }
    }

    /// The authentication that is asked for; keys that two parties share are none.
    pub(super) fn authentication(&self) -> Result<Authentication, Refusal> {
        let asked = self.authentication.as_ref();
        let kind = match asked.and_then(|asked| asked.kind.as_deref()) {
            None | Some("certificateAuthority") => authentication::Kind::CaSigned(CaSigned {}),
            Some("selfSigned") => {
                let given = asked.and_then(|asked| asked.x509_thumbprint.as_ref());
                let read = |text: Option<&String>| text.map_or(Ok(Bytes::new()), |text| thumbprint(text));
                authentication::Kind::Thumbprints(Thumbprints {
                    primary: read(given.and_then(|given| given.primary_thumbprint.as_ref()))?,
                    secondary: read(given.and_then(|given| given.secondary_thumbprint.as_ref()))?,
                })
            }
            Some(_) => {
                let what = "is neither certificateAuthority nor selfSigned; this hub knows no shared keys";
                return Err(Refusal::malformed("authentication.type", what));
            }
        };
        Ok(Authentication { kind: Some(kind) })
    }
}

/// A thumbprint in hexadecimal digits, with colons or without.
fn thumbprint(text: &str) -> Result<Bytes, Refusal> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | ' ')).collect::<String>().to_lowercase();
    hex::decode(&digits)
        .map(Bytes::from)
        .map_err(|_| Refusal::malformed("authentication.x509Thumbprint", "is not in hexadecimal digits"))
}

fn shown_authentication(authentication: Option<&Authentication>) -> Value {
    let none = json!({ "primaryKey": null, "secondaryKey": null });
    match authentication.and_then(|known| known.kind.as_ref()) {
        Some(authentication::Kind::Thumbprints(thumbprints)) => {
            let shown = |octets: &Bytes| (!octets.is_empty()).then(|| hex::encode(octets).to_uppercase());
            json!({
                "type": "selfSigned",
                "symmetricKey": none,
                "x509Thumbprint": {
                    "primaryThumbprint": shown(&thumbprints.primary),
                    "secondaryThumbprint": shown(&thumbprints.secondary),
                },
            })
        }
        Some(authentication::Kind::CaSigned(_)) | None => json!({
            "type": "certificateAuthority",
            "symmetricKey": none,
            "x509Thumbprint": { "primaryThumbprint": null, "secondaryThumbprint": null },
        }),
    }
}

fn moment(at: Option<&Timestamp>) -> Option<OffsetDateTime> {
    OffsetDateTime::from_unix_timestamp(at?.seconds).ok()
}

fn rfc1123(at: Option<&Timestamp>) -> Option<String> {
    let form =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    moment(at)?.format(&form).ok()
}

/// The usual tools write a moment that never was as the year 1.
fn rfc3339(at: Option<&Timestamp>) -> String {
    moment(at).and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| "0001-01-01T00:00:00Z".to_owned())
}
