//! Where chains and keys of provisioned devices go: one folder for each device.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use pki::{Certificate, pem};

use crate::{
    failure::Failure,
    files::{self, certificates},
};

const CHAIN: &str = "chain.pem";
const LEAF: &str = "device.pem";
const KEY: &str = "key.pem";

/// The folder.
pub(super) struct DeviceFolder(PathBuf);

impl DeviceFolder {
    /// Makes it, private to its owner: keys may lie in it.
    pub(super) fn make(path: &Path) -> Result<Self, Failure> {
        make(path)?;
        Ok(Self(path.to_owned()))
    }

    /// Writes a device's key, if there is one, and then its chain: where a chain is, its key is.
    ///
    /// # Errors
    /// What the file system says.
    pub(super) fn write(&self, device_id: &str, chain: &[Certificate], key: Option<&[u8]>) -> Result<(), Failure> {
        let folder = self.0.join(device_id);
        make(&folder)?;
        if let Some(key) = key {
            write_secret(&folder.join(KEY), zeroize::Zeroizing::new(pem::encode(pem::PRIVATE_KEY, key)).as_bytes())?;
        }
        files::replace(&folder.join(CHAIN), pem::encode_certificates(chain).as_bytes())?;
        files::replace(&folder.join(LEAF), pem::encode_certificates(chain.first()).as_bytes())
    }

    /// Whether the device's key lies here.
    pub(super) fn has_key(&self, device_id: &str) -> bool {
        self.0.join(device_id).join(KEY).exists()
    }

    /// The device certificate as it is on disk now.
    ///
    /// # Errors
    /// When it is not there or no certificate.
    pub(super) fn read_back(&self, device_id: &str) -> Result<Certificate, Failure> {
        let path = self.0.join(device_id).join(LEAF);
        certificates(&path)?.into_iter().next().ok_or_else(|| Failure::malformed(&path, "holds no certificate"))
    }
}

fn make(path: &Path) -> Result<(), Failure> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| Failure::file(path, &e))
}

fn write_secret(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let half = path.with_file_name(".key.pem.new");
    let written = (|| {
        let _ = fs::remove_file(&half);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&half, path)?;
        // The line destroys its copy once this one is confirmed: the names on the way to it have to last as well.
        path.ancestors().skip(1).take(2).try_for_each(|folder| fs::File::open(folder)?.sync_all())
    })();
    written.map_err(|e| Failure::file(path, &e))
}
