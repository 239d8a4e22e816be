//! A device's files, as a station would write them to the device and keep them for its test.

use anyhow::Context as _;
use p12_keystore::{KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
use pki::{Certificate, pem};

use crate::folder::Folder;

/// The password of every demo pfx.
pub const DEMO_PASSWORD: &str = "1234";

/// What a device gets.
pub(crate) struct DeviceFiles<'a> {
    /// Device id.
    pub(crate) device_id: &'a str,
    /// The device certificate first, then every intermediate, no root.
    pub(crate) chain: &'a [Certificate],
    /// The trust anchor.
    pub(crate) root: &'a Certificate,
    /// PKCS#8.
    pub(crate) key: &'a [u8],
}

impl DeviceFiles<'_> {
    /// Writes device.pem, chain.pem, fullchain.pem, key.pem and device.pfx. Files that are there with the same content stay.
    ///
    /// # Errors
    /// What the file system says; when the pfx cannot be made.
    pub(crate) fn write(&self, folder: &Folder) -> anyhow::Result<()> {
        let leaf = self.chain.first().context("an empty chain")?;
        write_if_other(folder, "device.pem", &pem::encode_certificates([leaf]))?;
        write_if_other(folder, "chain.pem", &pem::encode_certificates(self.chain))?;
        write_if_other(folder, "fullchain.pem", &pem::encode_certificates(self.chain.iter().chain([self.root])))?;
        if !folder.has("key.pem") {
            folder.write_secret("key.pem", pem::encode("PRIVATE KEY", self.key).as_bytes())?;
        }
        // A pfx has a fresh salt each time, so it is made once.
        if !folder.has("device.pfx") {
            folder.write_secret("device.pfx", &self.pfx()?)?;
        }
        Ok(())
    }

    /// Leaf, all intermediates and the key: what tools that want one file want.
    fn pfx(&self) -> anyhow::Result<Vec<u8>> {
        let certificates = self
            .chain
            .iter()
            .map(|c| p12_keystore::Certificate::from_der(c.der()))
            .collect::<Result<Vec<_>, _>>()
            .context("a certificate cannot go into the pfx")?;
        let key = PrivateKey::from_der(self.key).context("the key cannot go into the pfx")?;
        let entry = PrivateKeyChain::new(self.device_id.as_bytes(), key, certificates);
        let mut store = KeyStore::new();
        store.add_entry(self.device_id, KeyStoreEntry::PrivateKeyChain(entry));
        store.writer(DEMO_PASSWORD).write().context("the pfx cannot be written")
    }
}

fn write_if_other(folder: &Folder, name: &str, content: &str) -> anyhow::Result<()> {
    if !folder.has(name) || folder.read(name)? != content.as_bytes() {
        folder.write(name, content.as_bytes())?;
    }
    Ok(())
}
