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

/// The whole text of a file.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read_file(path)?).map_err(|_| Failure::malformed(path, "is not UTF-8"))
}

/// Writes a file where nothing was, whole or not at all.
pub(crate) fn write_new(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let exists = || Failure::named("OUTPUT_EXISTS", format!("{} is there already", path.display()));
    let half = path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    let written = (|| {
        let mut file = std::fs::File::create(&half)?;
        file.write_all(content)?;
        file.sync_all()?;
        // Unlike a rename, a link never takes the place of another file.
        let linked = std::fs::hard_link(&half, path);
        std::fs::remove_file(&half)?;
        linked
    })();
    let is_there = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AlreadyExists;
    written.map_err(|error| if is_there(&error) { exists() } else { Failure::file(path, &error) })
}

/// Writes a file, whole or not at all, in the place of an older one.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), Failure> {
    use std::io::Write as _;
    let half = path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()));
    let written = (|| {
        let mut file = std::fs::File::create(&half)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&half, path)
    })();
    written.map_err(|error| Failure::file(path, &error))
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
