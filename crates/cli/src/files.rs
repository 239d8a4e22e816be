//! Reading what people have on disk: PEM or DER, one certificate or many.

use std::path::Path;

use mfg::Bundle;
use pki::{Certificate, RevocationList, pem};

use crate::failure::{Failure, read_file};

/// Every certificate of a PEM file, or the one of a DER file, in the order of the file.
pub(crate) fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let octets = read_file(path)?;
    let found = match as_pem(&octets) {
        Some(text) => pem::certificates(text).map_err(|e| Failure::malformed(path, e))?,
        None => vec![Certificate::parse(&octets).map_err(|e| Failure::malformed(path, e))?],
    };
    if found.is_empty() {
        return Err(Failure::malformed(path, "holds no certificate"));
    }
    Ok(found)
}

/// A trust file: bundle.json, or certificates that become anchors.
pub(crate) fn trust(path: &Path) -> Result<Bundle, Failure> {
    let octets = read_file(path)?;
    if octets.iter().find(|c| !c.is_ascii_whitespace()) == Some(&b'{') {
        return Bundle::parse(&octets).map_err(|e| Failure::malformed(path, e));
    }
    Ok(Bundle { anchors: certificates(path)?, ..Bundle::default() })
}

/// A revocation list, PEM or DER.
pub(crate) fn revocation_list(path: &Path) -> Result<RevocationList, Failure> {
    let octets = read_file(path)?;
    let der = match as_pem(&octets) {
        Some(text) => pem::single(text, "X509 CRL").map_err(|e| Failure::malformed(path, e))?.der().to_vec(),
        None => octets,
    };
    RevocationList::parse(&der).map_err(|e| Failure::malformed(path, e))
}

/// The text of a PEM file; none for anything else. A bundle.json has PEM inside its strings and is no PEM file.
pub(crate) fn as_pem(octets: &[u8]) -> Option<&str> {
    std::str::from_utf8(octets).ok().filter(|text| !text.trim_start().starts_with('{') && text.contains("-----BEGIN "))
}
