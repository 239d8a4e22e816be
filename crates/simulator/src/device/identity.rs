//! What a device presents: its chain and the key of the first certificate.

use p12_keystore::{KeyStore, Pkcs12ImportPolicy};
use pki::{Certificate, pem};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// A chain, leaf first, and the leaf's key.
#[derive(Debug)]
pub struct DeviceIdentity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
    name: String,
}

/// Why chain and key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The pfx does not open.
    #[error("the pfx does not open: {0}")]
    Pfx(String),
    /// There is no private key, or more than one.
    #[error("want one private key")]
    Key,
    /// There is no certificate that can be read.
    #[error("want certificates, the device's first")]
    Chain,
    /// TLS cannot use them.
    #[error("chain and key do not fit: {0}")]
    Unfit(String),
}

impl IdentityError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Pfx(_) => "PASSPHRASE_WRONG",
            Self::Key | Self::Chain | Self::Unfit(_) => "FILE_MALFORMED",
        }
    }
}

impl DeviceIdentity {
    /// Opens a pfx. Its first key with a chain is taken.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn from_pfx(octets: &[u8], password: &str) -> Result<Self, IdentityError> {
        let store = KeyStore::from_pkcs12(octets, password, Pkcs12ImportPolicy::Relaxed)
            .map_err(|error| IdentityError::Pfx(error.to_string()))?;
        let (_, entry) = store.private_key_chain().ok_or(IdentityError::Key)?;
        let chain = entry.certs().iter().map(|certificate| certificate.as_der().to_vec()).collect();
        Self::new(chain, entry.key().as_der().to_vec())
    }

    /// Reads PEM: a chain with the device's certificate first, and an unencrypted key.
    ///
    /// # Errors
    /// [`IdentityError`]
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, IdentityError> {
        let certificates = pem::certificates(chain).map_err(|_| IdentityError::Chain)?;
        let chain = certificates.iter().map(|certificate| certificate.der().to_vec()).collect();
        let blocks = pem::blocks(key).map_err(|_| IdentityError::Key)?;
        let mut keys = blocks.iter().filter(|block| block.label().ends_with("PRIVATE KEY"));
        match (keys.next(), keys.next()) {
            (Some(key), None) => Self::new(chain, key.der().to_vec()),
            (None | Some(_), _) => Err(IdentityError::Key),
        }
    }

    fn new(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Result<Self, IdentityError> {
        let leaf = chain.first().and_then(|der| Certificate::parse(der).ok()).ok_or(IdentityError::Chain)?;
        let name = leaf.subject().common_names().into_iter().next().unwrap_or_default();
        let key = PrivateKeyDer::try_from(key).map_err(|_| IdentityError::Key)?;
        Ok(Self { chain: chain.into_iter().map(CertificateDer::from).collect(), key, name })
    }

    /// The common name of the device's certificate: its device id.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many certificates it presents.
    #[must_use]
    pub fn certificates(&self) -> usize {
        self.chain.len()
    }
}
