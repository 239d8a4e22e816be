//! TLS towards devices: 1.2 and 1.3, and a handshake that finishes with any client certificate or none.
//!
//! Whoever presents a certificate proves that it holds its key: the handshake's signature is checked. Whether the chain is worth
//! anything is judged afterwards, where the answer can be a word of the device's own protocol.
//!
//! Invariant: no session is resumed, so the chain is presented anew with every connection.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use api::Refusal;
use bytes::Bytes;
use pki::Sha256;
use rustls::{
    Error, ServerConfig, ServerConnection,
    crypto::aws_lc_rs,
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use service::{
    files::{self, FileError, FromFiles, MAX_CERTIFICATE_FILE_OCTETS, Reload},
    secret::{KeyFile, ReadKey, SecretError},
    tls::{Clients, server_config},
};

/// Why the hub's certificate towards devices cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DeviceTlsError {
    /// The certificate file is not there or cannot be read.
    #[error("the certificate for devices cannot be read")]
    File(#[from] FileError),
    /// The key file is refused.
    #[error("the key of the certificate for devices is refused")]
    Key(#[from] SecretError),
    /// The certificate file does not hold what it should.
    #[error("{}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The key file does not hold what it should.
    #[error("{}: {problem}", file.display())]
    KeyMalformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Key and certificate do not belong together.
    #[error("{}: the key does not belong to the certificate", file.display())]
    KeyMismatch {
        /// The key file.
        file: PathBuf,
    },
}

impl DeviceTlsError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Key(error) => error.reason(),
            Self::Malformed { .. } => "FILE_MALFORMED",
            Self::KeyMalformed { .. } => "KEY_FILE_MALFORMED",
            Self::KeyMismatch { .. } => "OWN_KEY_MISMATCH",
        }
    }
}

/// The hub's certificate and key towards devices. New connections use what is current.
pub struct DeviceTls {
    certificate: PathBuf,
    key: KeyFile,
    current: RwLock<Judged>,
}

/// The octets of both files, and the passphrase's.
struct Contents {
    certificate: Vec<u8>,
    key: ReadKey,
}

/// What the files hold, and the digest of what was read.
struct Judged {
    certified: Arc<CertifiedKey>,
    contents: Sha256,
}

impl DeviceTls {
    /// Reads the certificate, which may bring its intermediates along, and its key; both PEM.
    ///
    /// # Errors
    /// [`DeviceTlsError`], naming the file.
    pub fn load(certificate: PathBuf, key: KeyFile) -> Result<Arc<Self>, DeviceTlsError> {
        let current = RwLock::new(Contents::read(&certificate, &key)?.judge(&certificate, &key.file)?);
        Ok(Arc::new(Self { certificate, key, current }))
    }

    /// TLS of a door. Make it once; it follows every reload.
    pub(super) fn server_config(self: &Arc<Self>, application: &[&[u8]]) -> Result<Arc<ServerConfig>, Error> {
        server_config(Clients::Anybody, Arc::clone(self) as Arc<dyn ResolvesServerCert>, application)
    }
}

impl FromFiles for DeviceTls {
    fn reload(&self) -> Result<Reload, Refusal> {
        let refused = |error: DeviceTlsError| Refusal::from_error(error.reason(), &error);
        let contents = Contents::read(&self.certificate, &self.key).map_err(refused)?;
        if contents.digest() == self.current.read().unwrap_or_else(PoisonError::into_inner).contents {
            return Ok(Reload::Unchanged);
        }
        let judged = contents.judge(&self.certificate, &self.key.file).map_err(refused)?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = judged;
        Ok(Reload::Swapped)
    }
}

impl fmt::Debug for DeviceTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeviceTls").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for DeviceTls {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner).certified))
    }
}

/// What the device presented, leaf first; empty where it presented nothing.
pub(super) fn presented(connection: &ServerConnection) -> Vec<Bytes> {
    let certificates = connection.peer_certificates().unwrap_or_default();
    certificates.iter().map(|der| Bytes::copy_from_slice(der)).collect()
}

impl Contents {
    fn read(certificate: &Path, key: &KeyFile) -> Result<Self, DeviceTlsError> {
        Ok(Self { certificate: files::read(certificate, MAX_CERTIFICATE_FILE_OCTETS)?, key: key.read()? })
    }

    fn digest(&self) -> Sha256 {
        let digests = [Sha256::of(&self.certificate), self.key.digest()].map(|digest| *digest.as_bytes());
        Sha256::of(digests.as_flattened())
    }

    fn judge(&self, certificate: &Path, key: &Path) -> Result<Judged, DeviceTlsError> {
        let malformed = |problem: String| DeviceTlsError::Malformed { file: certificate.to_owned(), problem };
        let key_malformed = |problem: String| DeviceTlsError::KeyMalformed { file: key.to_owned(), problem };
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| malformed(format!("is not PEM: {error:?}")))?;
        if chain.is_empty() {
            return Err(malformed("holds no certificate in PEM".to_owned()));
        }
        let der = PrivateKeyDer::from_pem_slice(self.key.open()?.expose())
            .map_err(|_| key_malformed("holds no private key in PEM".to_owned()))?;
        let signer = aws_lc_rs::default_provider()
            .key_provider
            .load_private_key(der)
            .map_err(|error| key_malformed(error.to_string()))?;
        let certified = CertifiedKey::new(chain, signer);
        certified.keys_match().map_err(|_| DeviceTlsError::KeyMismatch { file: key.to_owned() })?;
        Ok(Judged { certified: Arc::new(certified), contents: self.digest() })
    }
}
