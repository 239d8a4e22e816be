//! Our own certificate and key, and the peers' bundles: loaded, judged, and swapped when the files change.

use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use api::Refusal;
use pki::{Sha256, UnixTime};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::leaf::Leaf;
use super::refusal::PeerRefusal;
use super::trust::{Anchor, Bundle, Trust, TrustedPeer};
use crate::clock::Clock;
use crate::config::{ConfigDirectory, IdentitySection, Peer};
use crate::files::{self, FileError, FromFiles, MAX_CERTIFICATE_FILE_OCTETS, Reload};
use crate::identity::SpiffeId;
use crate::secret::{KeyFile, ReadKey, SecretError};

/// More CA certificates than this in one bundle are a mistake.
const MAX_ANCHORS: usize = 100;

/// Why the process's identity or a peer's bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("a file of certificates is refused")]
    File(#[from] FileError),
    /// The private key file is refused.
    #[error("the service key is refused")]
    Key(#[from] SecretError),
    /// The private key file holds no key that can be used.
    #[error("{0}: {problem}", file.display())]
    KeyMalformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A file does not hold what it should.
    #[error("{0}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// Our own certificate does not say who we are.
    #[error("{0}: our own certificate is refused", file.display())]
    Identity {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: PeerRefusal,
    },
    /// Key and certificate do not belong together.
    #[error("{0}: the key does not belong to the certificate", file.display())]
    KeyMismatch {
        /// The key file.
        file: PathBuf,
    },
    /// Our own certificate is expired or not yet valid.
    #[error("{0}: our own certificate is valid from {not_before} to {not_after}, now is {now}", file.display())]
    NotValidNow {
        /// The certificate file.
        file: PathBuf,
        /// From its validity.
        not_before: UnixTime,
        /// From its validity.
        not_after: UnixTime,
        /// What our clock says.
        now: UnixTime,
    },
    /// The new certificate is that of someone else.
    #[error("the new certificate is that of {new}, ours is {old}")]
    IdentityChanged {
        /// Who we are.
        old: Box<SpiffeId>,
        /// Who the new file says we are.
        new: Box<SpiffeId>,
    },
}

impl CredentialsError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::File(error) => error.reason(),
            Self::Key(error) => error.reason(),
            Self::KeyMalformed { .. } => "KEY_FILE_MALFORMED",
            Self::Malformed { .. } => "FILE_MALFORMED",
            Self::Identity { .. } => "OWN_CERTIFICATE_WITHOUT_IDENTITY",
            Self::KeyMismatch { .. } => "OWN_KEY_MISMATCH",
            Self::NotValidNow { .. } => "OWN_CERTIFICATE_EXPIRED",
            Self::IdentityChanged { .. } => "OWN_IDENTITY_CHANGED",
        }
    }
}

/// The process's identity and everyone it trusts. New connections use what is current; open ones stay as they are.
pub struct Credentials {
    files: Files,
    clock: Arc<dyn Clock>,
    current: RwLock<Arc<Material>>,
}

struct Files {
    certificate: PathBuf,
    key: KeyFile,
    peers: Vec<(Peer, PathBuf)>,
}

/// One consistent reading of all files.
pub(super) struct Material {
    pub(super) own: SpiffeId,
    pub(super) not_after: UnixTime,
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) trust: Trust,
    contents: Sha256,
}

/// The octets of all files, read once, so that what is judged is what is compared.
struct Contents {
    certificate: Vec<u8>,
    key: ReadKey,
    bundles: Vec<Vec<u8>>,
}

impl Credentials {
    /// Reads and judges the files.
    ///
    /// # Errors
    /// [`CredentialsError`], naming the file.
    pub fn load(
        identity: &IdentitySection,
        peers: &[Peer],
        directory: &ConfigDirectory,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<Self>, CredentialsError> {
        let files = Files {
            certificate: directory.path(&identity.certificate),
            key: directory.key_file(&identity.key, identity.key_passphrase_file.as_ref()),
            peers: peers.iter().map(|peer| (peer.clone(), directory.path(&peer.bundle))).collect(),
        };
        let material = files.judge(&files.read()?, clock.now())?;
        Ok(Arc::new(Self { files, clock, current: RwLock::new(Arc::new(material)) }))
    }

    /// Looks at the files; if they changed and are good, new connections use them. If not, all stays as it was.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`CredentialsError`]
    pub fn reload(&self) -> Result<Reload, CredentialsError> {
        let contents = self.files.read()?;
        let old = self.material();
        if contents.digest() == old.contents {
            return Ok(Reload::Unchanged);
        }
        let new = self.files.judge(&contents, self.clock.now())?;
        // The authorisation table compares with our own manufacturer, and peers expect our role.
        if new.own != old.own {
            return Err(CredentialsError::IdentityChanged { old: Box::new(old.own.clone()), new: Box::new(new.own) });
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        Ok(Reload::Swapped)
    }

    /// Who this process is.
    #[must_use]
    pub fn own_id(&self) -> SpiffeId {
        self.material().own.clone()
    }

    /// When our own certificate expires.
    #[must_use]
    pub fn not_after(&self) -> UnixTime {
        self.material().not_after
    }

    pub(super) fn material(&self) -> Arc<Material> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

impl FromFiles for Credentials {
    fn reload(&self) -> Result<Reload, Refusal> {
        Self::reload(self).map_err(|error| Refusal::from_error(error.reason(), &error))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("own", &self.material().own).finish_non_exhaustive()
    }
}

impl Contents {
    /// Each part with its length, so that octets cannot move from one file to the next unnoticed.
    fn digest(&self) -> Sha256 {
        let certificates = [&self.certificate].into_iter().chain(&self.bundles).map(|part| Sha256::of(part));
        let all = certificates.chain([self.key.digest()]);
        let digests: Vec<u8> = all.flat_map(|digest| *digest.as_bytes()).collect();
        Sha256::of(&digests)
    }
}

impl Files {
    fn read(&self) -> Result<Contents, CredentialsError> {
        Ok(Contents {
            certificate: files::read(&self.certificate, MAX_CERTIFICATE_FILE_OCTETS)?,
            key: self.key.read()?,
            bundles: self
                .peers
                .iter()
                .map(|(_, file)| files::read(file, MAX_CERTIFICATE_FILE_OCTETS))
                .collect::<Result<_, _>>()?,
        })
    }

    fn judge(&self, contents: &Contents, now: UnixTime) -> Result<Material, CredentialsError> {
        let chain = certificates(&self.certificate, &contents.certificate)?;
        let (own, not_after) = self.judge_own(&chain, now)?;
        let certified = self.certified(chain, &contents.key)?;
        let mut peers = Vec::with_capacity(self.peers.len());
        for ((peer, file), octets) in self.peers.iter().zip(&contents.bundles) {
            peers.push(TrustedPeer {
                manufacturer: peer.manufacturer.clone(),
                trust_domain: peer.trust_domain.clone(),
                roles: peer.roles.clone(),
                bundle: Arc::new(bundle(file, octets)?),
            });
        }
        let contents = contents.digest();
        Ok(Material { own, not_after, certified: Arc::new(certified), trust: Trust { peers }, contents })
    }

    fn judge_own(
        &self,
        chain: &[CertificateDer<'static>],
        now: UnixTime,
    ) -> Result<(SpiffeId, UnixTime), CredentialsError> {
        let file = || self.certificate.clone();
        let refused = |source| CredentialsError::Identity { file: file(), source };
        let leaf = Leaf::parse(chain.first().map_or(&[], |first| first.as_ref())).map_err(refused)?;
        let own = leaf.spiffe_id().map_err(refused)?;
        let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
        if now < not_before || not_after < now {
            return Err(CredentialsError::NotValidNow { file: file(), not_before, not_after, now });
        }
        Ok((own, not_after))
    }

    fn certified(&self, chain: Vec<CertificateDer<'static>>, key: &ReadKey) -> Result<CertifiedKey, CredentialsError> {
        let malformed = |problem| CredentialsError::KeyMalformed { file: self.key.file.clone(), problem };
        let der = PrivateKeyDer::from_pem_slice(key.open()?.expose())
            .map_err(|_| malformed("holds no private key in PEM".to_owned()))?;
        let signer = super::provider().key_provider.load_private_key(der).map_err(|e| malformed(e.to_string()))?;
        let certified = CertifiedKey::new(chain, signer);
        certified.keys_match().map_err(|_| CredentialsError::KeyMismatch { file: self.key.file.clone() })?;
        Ok(certified)
    }
}

fn bundle(file: &std::path::Path, octets: &[u8]) -> Result<Bundle, CredentialsError> {
    let malformed = |problem: String| CredentialsError::Malformed { file: file.to_owned(), problem };
    let certificates = certificates(file, octets)?;
    if certificates.len() > MAX_ANCHORS {
        return Err(malformed(format!("{} certificates, want at most {MAX_ANCHORS}", certificates.len())));
    }
    let mut anchors = Vec::with_capacity(certificates.len());
    for (index, der) in certificates.iter().enumerate() {
        let broken = |problem: String| malformed(format!("certificate {}: {problem}", index + 1));
        let parsed = Leaf::parse(der).map_err(|error| broken(error.to_string()))?;
        // webpki takes anything as an anchor (it asks neither basicConstraints nor keyUsage).
        if !parsed.may_sign_certificates() {
            return Err(broken("is not a CA certificate".to_owned()));
        }
        let trust = webpki::anchor_from_trusted_cert(der).map_err(|error| broken(error.to_string()))?.to_owned();
        anchors.push(Anchor { trust, not_before: parsed.not_before(), not_after: parsed.not_after() });
    }
    Ok(Bundle { anchors })
}

fn certificates(file: &std::path::Path, octets: &[u8]) -> Result<Vec<CertificateDer<'static>>, CredentialsError> {
    let malformed = |problem: String| CredentialsError::Malformed { file: file.to_owned(), problem };
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(octets).collect();
    let all = all.map_err(|error| malformed(format!("is not PEM: {error:?}")))?;
    if all.is_empty() {
        return Err(malformed("holds no certificate in PEM".to_owned()));
    }
    Ok(all)
}
