//! A pfx in words: what is in it, and what a hub would miss.

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use pki::Certificate;
use serde_json::json;
use simulator::DEMO_PASSWORD;

use super::{Finding, Kind, certificate};
use crate::{
    args::InspectArgs,
    failure::{Failure, read_file},
};

/// Opens a PKCS#12 file; what is none is nothing that is known here.
pub(super) fn open(args: &InspectArgs, octets: &[u8]) -> Result<Finding, Failure> {
    let password = match &args.password_file {
        Some(path) => {
            String::from_utf8(read_file(path)?).map_err(|e| Failure::malformed(path, e))?.trim_end().to_owned()
        }
        None => DEMO_PASSWORD.to_owned(),
    };
    // PFX ::= SEQUENCE { version INTEGER {v3(3)}, ... } (RFC 7292 section 4).
    let is_pfx = octets.first() == Some(&0x30) && octets.windows(3).take(8).any(|w| w == [0x02, 0x01, 0x03]);
    if !is_pfx {
        return Err(Failure::malformed(&args.file, "is nothing that is known here"));
    }
    let store = KeyStore::from_pkcs12(octets, &password, Pkcs12ImportPolicy::Relaxed).map_err(|e| {
        Failure::named("PASSPHRASE_WRONG", format!("{}: the pfx does not open: {e}", args.file.display()))
    })?;
    let Some((_, entry)) = store.private_key_chain() else {
        return Err(Failure::malformed(&args.file, "a pfx without a private key"));
    };
    let chain = entry
        .certs()
        .iter()
        .map(|c| Certificate::parse(c.as_der()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| Failure::malformed(&args.file, e))?;
    let belongs = issuance::SoftwareKey::from_pkcs8(entry.key().as_der())
        .ok()
        .zip(chain.first())
        .is_some_and(|(key, leaf)| issuance::SigningKey::public_key(&key) == leaf.public_key());
    let mut finding = certificate::chain(&chain);
    finding.kind = Kind::Pfx;
    finding.what = match chain.len() {
        0 | 1 => "a pfx that holds only the leaf: a hub that knows the root alone will refuse it".to_owned(),
        _ => format!("a pfx: {} and its private key", finding.what),
    };
    let key = if belongs { "belongs to the first certificate" } else { "does not belong to the first certificate" };
    finding.facts.push(vec![("private key", json!(key))]);
    Ok(finding)
}
