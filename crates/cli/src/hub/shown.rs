//! CA certificates and devices in words and in JSON.

use std::fmt::Write as _;

use api::{
    custody::v1::quantity::Amount,
    hub::v1::{
        Binding, CaCertificate, ChainRules, Connection, Device, DeviceOrigin, DeviceStatus, FirstConnect, JourneyHop,
        Property, Verification, authentication,
    },
};
use pki::{UnixTime, hex};
use prost_types::Timestamp;
use serde_json::{Map, Value, json};

/// A moment as RFC 3339; empty when there is none.
pub(super) fn moment(at: Option<&Timestamp>) -> String {
    at.map(|at| UnixTime::new(at.seconds).to_string()).unwrap_or_default()
}

/// Properties as a JSON object, in their order.
pub(super) fn properties(properties: &[Property]) -> Value {
    let pairs = properties.iter().map(|property| (property.name.clone(), Value::from(property.value.clone())));
    Value::Object(pairs.collect::<Map<_, _>>())
}

pub(super) fn ca_line(ca: &CaCertificate) -> String {
    let disabled = if ca.disabled { ", disabled" } else { "" };
    let until = moment(ca.expires_at.as_ref());
    format!("{:<24} {}{disabled}, {}, until {until}: {}", ca.name, verification(ca), rules(ca), ca.subject)
}

pub(super) fn ca_words(ca: &CaCertificate) -> String {
    let mut words = String::new();
    let _ = writeln!(words, "{}: {}", ca.name, ca.subject);
    let _ = writeln!(words, "  {}{}", verification(ca), if ca.disabled { ", its key is disabled" } else { "" });
    if let Some(code) = &ca.verification_code {
        let _ = writeln!(words, "  verification code {code}");
        let _ =
            writeln!(words, "    sign a certificate with this as its common name by the CA's key, then: hub ca verify");
    }
    let _ = writeln!(words, "  valid until {}", moment(ca.expires_at.as_ref()));
    let _ = writeln!(words, "  rules {}, unknown devices are {}", rules(ca), first_connect(ca));
    let _ = writeln!(words, "  thumbprint SHA-1   {}", hex::encode(&ca.thumbprint_sha1));
    let _ = writeln!(words, "  thumbprint SHA-256 {}", hex::encode(&ca.thumbprint_sha256));
    let _ = writeln!(words, "  key SHA-256        {}", hex::encode(&ca.key_sha256));
    let created = moment(ca.created_at.as_ref());
    let _ = writeln!(words, "  created {created}, updated {}, etag {}", moment(ca.updated_at.as_ref()), ca.etag);
    words
}

pub(super) fn ca_json(ca: &CaCertificate) -> Value {
    json!({
        "name": ca.name,
        "subject": ca.subject,
        "verification": verification(ca),
        "disabled": ca.disabled,
        "rules": rules(ca),
        "first_connect": match ca.first_connect() {
            FirstConnect::Register => "register",
            FirstConnect::Unspecified | FirstConnect::Refuse => "refuse",
        },
        "verification_code": ca.verification_code,
        "expires_at": moment(ca.expires_at.as_ref()),
        "thumbprint_sha1": hex::encode(&ca.thumbprint_sha1),
        "thumbprint_sha256": hex::encode(&ca.thumbprint_sha256),
        "key_sha256": hex::encode(&ca.key_sha256),
        "created_at": moment(ca.created_at.as_ref()),
        "updated_at": moment(ca.updated_at.as_ref()),
        "etag": ca.etag,
    })
}

fn verification(ca: &CaCertificate) -> &'static str {
    match ca.verification() {
        Verification::Verified => "verified",
        Verification::Unspecified | Verification::Unverified => "unverified",
    }
}

fn rules(ca: &CaCertificate) -> &'static str {
    match ca.rules() {
        ChainRules::Plain => "plain",
        ChainRules::Unspecified | ChainRules::Countersign => "countersign",
    }
}

fn first_connect(ca: &CaCertificate) -> &'static str {
    match ca.first_connect() {
        FirstConnect::Register => "registered on first connect",
        FirstConnect::Unspecified | FirstConnect::Refuse => "refused",
    }
}

fn status(device: &Device) -> &'static str {
    match device.status() {
        DeviceStatus::Enabled => "enabled",
        DeviceStatus::Disabled | DeviceStatus::Unspecified => "disabled",
        DeviceStatus::Scrapped => "scrapped",
    }
}

fn origin(device: &Device) -> &'static str {
    match device.origin() {
        DeviceOrigin::Operator => "operator",
        DeviceOrigin::Line => "line",
        DeviceOrigin::FirstConnect => "first connect",
        DeviceOrigin::Unspecified => "unknown",
    }
}

pub(super) fn device_line(device: &Device) -> String {
    let lot = device.binding.as_ref().filter(|bound| !bound.lot.is_empty());
    let lot = lot.map_or(String::new(), |bound| format!(", lot {}", bound.lot));
    let why = if device.status_reason.is_empty() { String::new() } else { format!(" ({})", device.status_reason) };
    format!("{:<24} {}{why}, known from {}{lot}", device.device_id, status(device), origin(device))
}

pub(super) fn device_words(device: &Device, connection: &Connection) -> String {
    let mut words = format!("{}\n", device_line(device));
    let _ = writeln!(words, "  {}", connection_words(connection));
    if connection.cloud_to_device_messages > 0 {
        let _ = writeln!(words, "  {} messages wait for it", connection.cloud_to_device_messages);
    }
    if let Some(authentication::Kind::Thumbprints(known)) =
        device.authentication.as_ref().and_then(|known| known.kind.as_ref())
    {
        for thumbprint in [&known.primary, &known.secondary].into_iter().filter(|octets| !octets.is_empty()) {
            let _ = writeln!(words, "  thumbprint {}", hex::encode(thumbprint));
        }
    }
    if let Some(bound) = &device.binding {
        let by = if bound.registered_by_line { "its line registered it" } else { "its first connection" };
        let certificate = hex::encode(&bound.certificate_sha256);
        let _ = writeln!(words, "  certificate {certificate}, since {} ({by})", moment(bound.bound_at.as_ref()));
        let _ = writeln!(words, "  by the key  {}", hex::encode(&bound.issuer_key_sha256));
        for hop in &bound.hops {
            let _ = writeln!(words, "  {}", hop_words(hop));
        }
        if !bound.dns_name.is_empty() {
            let _ = writeln!(words, "  named {}, generation {}", bound.dns_name, bound.generation);
        }
    }
    words
}

fn connection_words(connection: &Connection) -> String {
    let seen = moment(connection.last_seen_at.as_ref());
    match (connection.connected, seen.as_str()) {
        (true, _) => format!("connected by {} from {}, last seen {seen}", connection.protocol, connection.from),
        (false, "") => "not connected, and not seen as far as the hub remembers".to_owned(),
        (false, _) => format!("not connected; last seen {seen} by {} from {}", connection.protocol, connection.from),
    }
}

fn hop_words(hop: &JourneyHop) -> String {
    let accepted = if hop.acceptance_proven { "accepted" } else { "acceptance not checked" };
    format!("{} handed lot {} ({}) to {}: {accepted}", hop.from, hop.lot, quantity(hop), hop.to)
}

fn quantity(hop: &JourneyHop) -> String {
    match hop.quantity.as_ref().and_then(|quantity| quantity.amount.as_ref()) {
        Some(Amount::Units(units)) => format!("{units} units"),
        Some(Amount::Unlimited(_)) | None => "unlimited".to_owned(),
    }
}

pub(super) fn device_json(device: &Device, connection: Option<&Connection>) -> Value {
    json!({
        "device_id": device.device_id,
        "status": status(device),
        "status_reason": device.status_reason,
        "origin": origin(device),
        "authentication": match device.authentication.as_ref().and_then(|known| known.kind.as_ref()) {
            Some(authentication::Kind::Thumbprints(known)) => json!({
                "kind": "thumbprint",
                "primary": hex::encode(&known.primary),
                "secondary": hex::encode(&known.secondary),
            }),
            Some(authentication::Kind::CaSigned(_)) | None => json!({ "kind": "ca_signed" }),
        },
        "binding": device.binding.as_ref().map(binding_json),
        "connection": connection.map(|connection| json!({
            "connected": connection.connected,
            "changed_at": moment(connection.changed_at.as_ref()),
            "last_seen_at": moment(connection.last_seen_at.as_ref()),
            "protocol": connection.protocol,
            "from": connection.from,
            "cloud_to_device_messages": connection.cloud_to_device_messages,
        })),
        "created_at": moment(device.created_at.as_ref()),
        "etag": device.etag,
    })
}

fn binding_json(bound: &Binding) -> Value {
    let hop = |hop: &JourneyHop| {
        json!({
            "from": hop.from,
            "to": hop.to,
            "lot": hop.lot,
            "quantity": quantity(hop),
            "subtree": hop.subtree,
            "accepted": if hop.acceptance_proven { "proven" } else { "not checked" },
        })
    };
    json!({
        "certificate_sha256": hex::encode(&bound.certificate_sha256),
        "issuer_key_sha256": hex::encode(&bound.issuer_key_sha256),
        "dns_name": bound.dns_name,
        "generation": bound.generation,
        "lot": bound.lot,
        "manufacturer": bound.manufacturer,
        "order": bound.order,
        "hops": bound.hops.iter().map(hop).collect::<Vec<_>>(),
        "bound_at": moment(bound.bound_at.as_ref()),
        "registered_by_line": bound.registered_by_line,
    })
}
