//! The demo checks its own work: every chain by our verifier, and by OpenSSL where it is installed.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use mfg::{Accepted, Bundle, journey};
use pki::path::{PathOptions, Purpose, verify_path};
use service::{Clock as _, SystemClock};
use simulator::Manifest;

use crate::{
    failure::{Failure, read_file},
    files,
};

/// What was verified.
pub(super) struct Verified {
    pub(super) chains: usize,
    /// How many OpenSSL accepts; none where it is not installed.
    pub(super) by_openssl: Option<usize>,
    /// The path of one chain, relative to the folder.
    pub(super) example: String,
}

/// Verifies every chain of a manifest.
///
/// # Errors
/// The first chain that does not verify, with its named reason.
pub(super) fn verify_all(out: &Path, manifest: &Manifest) -> Result<Verified, Failure> {
    let trust = out.join("trust");
    let bundle_file = trust.join("bundle.json");
    let bundle = Bundle::parse(&read_file(&bundle_file)?).map_err(|e| Failure::malformed(&bundle_file, e))?;
    for device in &manifest.devices {
        verify(&out.join(&device.chain), &bundle, &device.device_id)?;
    }
    let by_openssl = openssl_is_here().then(|| {
        let accepted = |chain: &String| openssl_accepts(&trust.join("root.pem"), &out.join(chain));
        manifest.devices.iter().filter(|device| accepted(&device.chain)).count()
    });
    if by_openssl.is_some_and(|count| count != manifest.devices.len()) {
        return Err(Failure::named("REFUSED_BY_OPENSSL", "openssl does not accept every chain"));
    }
    let example = manifest.devices.first().map(|d| d.chain.clone()).unwrap_or_default();
    Ok(Verified { chains: manifest.devices.len(), by_openssl, example })
}

fn verify(chain: &Path, bundle: &Bundle, device_id: &str) -> Result<(), Failure> {
    let certificates = files::certificates(chain)?;
    let Some((leaf, candidates)) = certificates.split_first() else {
        return Err(Failure::malformed(chain, "holds no certificate"));
    };
    let options = PathOptions::new(SystemClock.now(), Purpose::Client);
    let path = verify_path(leaf, candidates, &bundle.anchors, &options)
        .map_err(|e| Failure::named(e.reason(), format!("{}: {e}", chain.display())))?;
    let journey = journey::read(&path, Some(bundle))
        .map_err(|e| Failure::named(e.reason(), format!("{}: {e}", chain.display())))?;
    let proven = journey.hops.iter().all(|hop| hop.accepted == Accepted::Proven);
    if journey.device_id.as_str() != device_id || !proven {
        return Err(Failure::named("OFFER_MISMATCH", format!("{}: not the journey that was made", chain.display())));
    }
    Ok(())
}

fn openssl_is_here() -> bool {
    let version = Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// Most chains are small; OpenSSL reads the leaf from the file and the rest as untrusted candidates from the same one.
fn openssl_accepts(root: &Path, chain: &Path) -> bool {
    Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-CAfile"])
        .arg(root)
        .arg("-untrusted")
        .arg(chain)
        .arg(chain)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
