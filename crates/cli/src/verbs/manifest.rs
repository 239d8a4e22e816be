//! Manifests: the device ids that an order permits, as a list in a file.

use std::path::Path;

use api::manifest::v1::{GetManifestRequest, PutManifestRequest, manifest_service_client::ManifestServiceClient};
use mfg::{DeviceId, Manifest};
use pki::hex;
use serde_json::json;

use super::{answer::Answer, care, session::Session, table::Given};
use crate::{failure::Failure, files, reach};

/// Octets of one part on the wire.
const PART: usize = 64 * 1024;

/// `put-manifest`: a list of ids, a line each, in any order and case; sent in its one canonical form.
pub(super) fn put(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let path = Path::new(given.required("FILE")?);
    let manifest = canonical(path)?;
    let (digest, devices) = (manifest.digest(), manifest.len());
    let facts = json!({ "sha256": digest.to_string(), "devices": devices });
    if given.is_dry_run() {
        let words = format!("Would put a manifest of {devices} devices with sha256 {digest}");
        return Ok(care::would(words, facts));
    }
    let parts: Vec<_> = manifest
        .as_bytes()
        .chunks(PART)
        .map(|part| PutManifestRequest { octets: bytes::Bytes::copy_from_slice(part) })
        .collect();
    let mut client = ManifestServiceClient::new(session.channel()?);
    let kept = session.runtime().block_on(client.put_manifest(tokio_stream::iter(parts)));
    let kept = kept.map_err(|status| reach::failure(&status))?.into_inner();
    if kept.sha256 != digest.as_bytes().as_slice() {
        let words = format!("the service kept a manifest with sha256 {}, not {digest}", hex::encode(&kept.sha256));
        return Err(Failure::named("INTERNAL", words));
    }
    Ok(Answer::new(
        facts,
        format!("{devices} devices, sha256 {digest}: countersign order create --manifest-sha256 {digest}"),
    ))
}

/// `handoff manifest`: the manifest of a lot at its sender, for a receiver without a wire.
pub(super) fn get(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let lot = given.required("LOT")?;
    let out = Path::new(given.required("out")?);
    let mut client = ManifestServiceClient::new(session.channel()?);
    let octets = session.runtime().block_on(async {
        let mut parts = client.get_manifest(GetManifestRequest { lot: lot.to_owned() }).await?.into_inner();
        let mut octets = Vec::new();
        while let Some(part) = parts.message().await? {
            octets.extend_from_slice(&part.octets);
            // What is longer is no manifest; whether the rest is one is judged below.
            if octets.len() > mfg::manifest::MAX_LENGTH {
                break;
            }
        }
        Ok(octets)
    });
    let octets = octets.map_err(|status| reach::failure(&status))?;
    let manifest = Manifest::parse(&octets).map_err(|e| Failure::by_reason(e.reason(), &e))?;
    files::write_new(out, &octets)?;
    let (digest, devices) = (manifest.digest(), manifest.len());
    let words = format!("Wrote {devices} devices, sha256 {digest}, to {}", out.display());
    Ok(Answer::new(json!({ "file": out, "sha256": digest.to_string(), "devices": devices }), words))
}

/// A device id a line, in any order and case; empty lines and lines that begin with `#` are skipped.
fn canonical(path: &Path) -> Result<Manifest, Failure> {
    let text = files::text(path)?;
    let mut ids = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let id = line.trim();
        if !id.is_empty() && !id.starts_with('#') {
            ids.push(DeviceId::parse(id).map_err(|e| Failure::malformed(path, format!("line {number}: {id:?}: {e}")))?);
        }
    }
    let listed = ids.len();
    let manifest = Manifest::of(ids).map_err(|e| Failure::by_reason(e.reason(), &e))?;
    if manifest.len() == listed {
        Ok(manifest)
    } else {
        // One device twice is a mistake in the list, and would permit one unit less than its reader counts.
        let twice = listed.saturating_sub(manifest.len());
        Err(Failure::malformed(path, format!("{twice} of its {listed} lines repeat another one")))
    }
}
