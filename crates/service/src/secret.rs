//! Private key files: read only when nobody else can, written so that nobody else could.
//!
//! A configured key is a [`KeyFile`]: PKCS#8, or encrypted PKCS#8 whose passphrase stands in a file of its own. A passphrase comes from
//! nowhere else: arguments and environments are seen by others.
//!
//! In Kubernetes a pod's `fsGroup` adds mode 0440 to the files of a secret volume, whatever its `defaultMode` says, and such a key is
//! refused: it is readable by everything that runs in that group. Mount keys with `defaultMode: 0400`, without an `fsGroup`, and run
//! as their owner (`runAsUser`), which for secret volumes is root. A pod that runs as another user, or needs an `fsGroup` for
//! another volume, has an init container copy its keys into a memory-backed `emptyDir` with mode 0400.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pki::Sha256;
use pki::encrypted_key::{self, EncryptedKeyError, Passphrase};
use pki::pem;
use zeroize::Zeroizing;

/// A key file larger than this is not one.
const MAX_KEY_FILE_OCTETS: u64 = 64 * 1024;
/// Read, write or search permission for the group or for everyone.
const OTHERS: u32 = 0o077;
/// PEM label of RFC 5958, section 3.
const ENCRYPTED_LABEL: &[u8] = b"-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ANY_PRIVATE_LABEL: &[u8] = b"PRIVATE KEY-----";

/// Why a secret was not read or written. Never holds any part of the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The file or folder is not there.
    #[error("{0} does not exist", file.display())]
    Missing {
        /// The file or folder.
        file: PathBuf,
    },
    /// The group or everyone may read or write it.
    #[error("{0} has mode {mode:04o}, want 0600: others on this machine can read or change the key", file.display())]
    Exposed {
        /// The file or folder.
        file: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Not a regular file, or far too large for a key.
    #[error("{0} is not a key file", file.display())]
    NotAKeyFile {
        /// The file.
        file: PathBuf,
    },
    /// The key is encrypted, and no file is named that holds its passphrase.
    #[error("{0} is encrypted, and no file with its passphrase is named", file.display())]
    PassphraseMissing {
        /// The key file.
        file: PathBuf,
    },
    /// The encrypted key, or the file of its passphrase, is refused.
    #[error("{}: {cause}", file.display())]
    Encrypted {
        /// The key file; where the passphrase is empty, its file.
        file: PathBuf,
        /// Why.
        cause: EncryptedKeyError,
    },
    /// A name with a path in it, or a hidden one.
    #[error("{name:?} is not a plain file name")]
    Name {
        /// The name.
        name: String,
    },
    /// The operating system refused.
    #[error("{0} cannot be accessed", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl SecretError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "FILE_MISSING",
            Self::Exposed { .. } => "KEY_FILE_EXPOSED",
            Self::NotAKeyFile { .. } => "KEY_FILE_MALFORMED",
            Self::PassphraseMissing { .. } => "PASSPHRASE_MISSING",
            Self::Encrypted { cause, .. } => cause.reason(),
            Self::Name { .. } => "KEY_NAME_REFUSED",
            Self::Io { .. } => "FILE_UNREADABLE",
        }
    }

    fn io(file: &Path, source: io::Error) -> Self {
        if source.kind() == ErrorKind::NotFound {
            return Self::Missing { file: file.to_owned() };
        }
        Self::Io { file: file.to_owned(), source }
    }
}

/// The octets of a secret; wiped when dropped, never printed.
#[derive(Clone)]
pub struct SecretBytes(Zeroizing<Vec<u8>>);

impl SecretBytes {
    /// Takes over `octets`.
    #[must_use]
    pub fn new(octets: Vec<u8>) -> Self {
        Self(Zeroizing::new(octets))
    }

    /// The octets themselves.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl std::fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretBytes(..)")
    }
}

/// A configured private key: its file, and the file that holds its passphrase where it is encrypted.
#[derive(Debug, Clone)]
pub struct KeyFile {
    /// PKCS#8 or encrypted PKCS#8.
    pub file: PathBuf,
    /// The passphrase, mode 0600: the text without the end of its line. Not looked at when the key is not encrypted.
    pub passphrase_file: Option<PathBuf>,
}

/// What a [`KeyFile`] and its passphrase held when they were read; nothing was decrypted yet, which is costly by design.
#[derive(Debug)]
pub struct ReadKey {
    file: PathBuf,
    octets: SecretBytes,
    passphrase: Option<Passphrase>,
    digest: Sha256,
}

impl KeyFile {
    /// Reads the key and, where it is encrypted, its passphrase.
    ///
    /// # Errors
    /// As [`read_key_file`] and [`read_passphrase`]; `PassphraseMissing` when the key is encrypted and no file is named.
    pub fn read(&self) -> Result<ReadKey, SecretError> {
        let octets = read_key_file(&self.file)?;
        if !is_encrypted(octets.expose()) {
            let digest = Sha256::of(octets.expose());
            return Ok(ReadKey { file: self.file.clone(), octets, passphrase: None, digest });
        }
        let missing = || SecretError::PassphraseMissing { file: self.file.clone() };
        let passphrase = read_passphrase(self.passphrase_file.as_deref().ok_or_else(missing)?)?;
        Ok(ReadKey::encrypted(&self.file, octets, passphrase))
    }

    /// Reads the key and decrypts it where it is encrypted: the octets of a file that is not.
    ///
    /// # Errors
    /// As [`KeyFile::read`] and [`ReadKey::open`].
    pub fn open(&self) -> Result<SecretBytes, SecretError> {
        self.read()?.open()
    }
}

impl ReadKey {
    /// An encrypted key whose passphrase is known otherwise, as from the person at a terminal.
    #[must_use]
    pub fn encrypted(file: &Path, octets: SecretBytes, passphrase: Passphrase) -> Self {
        let digests = [octets.expose(), passphrase.expose()].map(|part| *Sha256::of(part).as_bytes());
        let digest = Sha256::of(digests.as_flattened());
        Self { file: file.to_owned(), octets, passphrase: Some(passphrase), digest }
    }

    /// Of all that was read, to see whether the files changed.
    #[must_use]
    pub fn digest(&self) -> Sha256 {
        self.digest
    }

    /// What a file that is not encrypted holds: PKCS#8, in PEM when this file was decrypted.
    ///
    /// # Errors
    /// `Encrypted`: the passphrase is wrong, or the file is not what its label says.
    pub fn open(&self) -> Result<SecretBytes, SecretError> {
        let Some(passphrase) = &self.passphrase else { return Ok(self.octets.clone()) };
        let refused = |cause| SecretError::Encrypted { file: self.file.clone(), cause };
        let text = std::str::from_utf8(self.octets.expose()).map_err(|_| refused(EncryptedKeyError::Malformed))?;
        let block = pem::single(text, pem::ENCRYPTED_PRIVATE_KEY).map_err(|_| refused(EncryptedKeyError::Malformed))?;
        let plain = encrypted_key::open(block.der(), passphrase).map_err(refused)?;
        Ok(SecretBytes::new(pem::encode(pem::PRIVATE_KEY, &plain).into_bytes()))
    }
}

/// Reads a passphrase: the file's text without the end of its line. Others must not be able to read it.
///
/// # Errors
/// As [`read_key_file`]; `Encrypted` when it is empty.
pub fn read_passphrase(file: &Path) -> Result<Passphrase, SecretError> {
    let octets = read_key_file(file)?;
    let not_text = |_| SecretError::NotAKeyFile { file: file.to_owned() };
    let text = std::str::from_utf8(octets.expose()).map_err(not_text)?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        return Err(SecretError::Encrypted { file: file.to_owned(), cause: EncryptedKeyError::PassphraseEmpty });
    }
    Ok(Passphrase::new(line))
}

/// Reads a private key file as it is. Others must not be able to read it, unless it is PEM with an encrypted PKCS#8 key only.
///
/// # Errors
/// [`SecretError`]; `Missing`, `Exposed` and `NotAKeyFile` are the expected ones.
pub fn read_key_file(file: &Path) -> Result<SecretBytes, SecretError> {
    let io = |source| SecretError::io(file, source);
    let mut open = File::open(file).map_err(io)?;
    // Asked of the open file, so that it cannot be exchanged between the look and the read.
    let metadata = open.metadata().map_err(io)?;
    if !metadata.is_file() || metadata.len() > MAX_KEY_FILE_OCTETS {
        return Err(SecretError::NotAKeyFile { file: file.to_owned() });
    }
    // Full capacity at once: a growing buffer would leave copies behind that nobody wipes.
    let capacity = usize::try_from(MAX_KEY_FILE_OCTETS).unwrap_or_default();
    let mut octets = Zeroizing::new(Vec::with_capacity(capacity));
    Read::by_ref(&mut open).take(MAX_KEY_FILE_OCTETS).read_to_end(&mut octets).map_err(io)?;
    let mode = metadata.mode() & 0o7777;
    if mode & OTHERS != 0 && !is_encrypted(&octets) {
        return Err(SecretError::Exposed { file: file.to_owned(), mode });
    }
    Ok(SecretBytes(octets))
}

/// Whether this is PEM whose only private keys are encrypted PKCS#8.
#[must_use]
pub fn is_encrypted(octets: &[u8]) -> bool {
    let begins = |needle: &[u8]| octets.windows(needle.len()).filter(|window| *window == needle).count();
    let encrypted = begins(ENCRYPTED_LABEL);
    // Every key has the label twice, in its BEGIN and its END line.
    encrypted > 0 && begins(ANY_PRIVATE_LABEL) == 2 * encrypted
}

/// A folder of secrets, mode 0700, with files of mode 0600 that appear whole or not at all.
#[derive(Debug, Clone)]
pub struct SecretDirectory {
    path: PathBuf,
}

impl SecretDirectory {
    /// Makes the folder (its parent must exist) or takes an existing one that only its owner can enter.
    ///
    /// # Errors
    /// [`SecretError`]; `Exposed` when others may enter an existing folder.
    pub fn create(path: &Path) -> Result<Self, SecretError> {
        match fs::DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => {}
            Err(exists) if exists.kind() == ErrorKind::AlreadyExists => {}
            Err(source) => return Err(SecretError::io(path, source)),
        }
        Self::open(path)
    }

    /// Takes an existing folder that only its owner can enter.
    ///
    /// # Errors
    /// [`SecretError`]; `Missing` or `Exposed`.
    pub fn open(path: &Path) -> Result<Self, SecretError> {
        let mode = fs::metadata(path).map_err(|source| SecretError::io(path, source))?.permissions().mode() & 0o7777;
        if mode & OTHERS != 0 {
            return Err(SecretError::Exposed { file: path.to_owned(), mode });
        }
        Ok(Self { path: path.to_owned() })
    }

    /// Writes a secret under `name`, replacing an earlier one. When this returns, it is durable.
    ///
    /// # Errors
    /// [`SecretError`]; the earlier content, if any, is then still there.
    pub fn write(&self, name: &str, secret: &[u8]) -> Result<(), SecretError> {
        let file = self.file(name)?;
        let half = self.path.join(format!(".{name}.new"));
        let io = |source| SecretError::io(&file, source);
        // Left over from a crash; it was never acknowledged.
        remove_if_there(&half).map_err(io)?;
        let mut open = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&half).map_err(io)?;
        open.write_all(secret).map_err(io)?;
        open.sync_all().map_err(io)?;
        fs::rename(&half, &file).map_err(io)?;
        self.sync()
    }

    /// Reads the secret called `name`.
    ///
    /// # Errors
    /// [`SecretError`], as [`read_key_file`].
    pub fn read(&self, name: &str) -> Result<SecretBytes, SecretError> {
        read_key_file(&self.file(name)?)
    }

    /// The names of all secrets, in order. What a crash left half written is removed: nobody was told of it.
    ///
    /// # Errors
    /// [`SecretError`].
    pub fn names(&self) -> Result<Vec<String>, SecretError> {
        let io = |source| SecretError::io(&self.path, source);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(io)? {
            let name = entry.map_err(io)?.file_name().to_string_lossy().into_owned();
            match (name.starts_with('.'), name.ends_with(".new")) {
                (true, true) => remove_if_there(&self.path.join(name)).map_err(io)?,
                (true, false) => {}
                (false, _) => names.push(name),
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Destroys the secret called `name`: overwrites the file, then removes it. Nothing happens when there is none.
    /// On copying file systems and flash the overwriting is best effort.
    ///
    /// # Errors
    /// [`SecretError`] when the operating system refuses; the secret may then still be there.
    pub fn destroy(&self, name: &str) -> Result<(), SecretError> {
        let file = self.file(name)?;
        let io = |source| SecretError::io(&file, source);
        let mut open = match OpenOptions::new().write(true).open(&file) {
            Ok(open) => open,
            Err(gone) if gone.kind() == ErrorKind::NotFound => return Ok(()),
            Err(source) => return Err(io(source)),
        };
        let length = open.metadata().map_err(io)?.len();
        io::copy(&mut io::repeat(0).take(length), &mut open).map_err(io)?;
        open.sync_all().map_err(io)?;
        // Two may destroy at once: gone is gone.
        remove_if_there(&file).map_err(io)?;
        self.sync()
    }

    fn file(&self, name: &str) -> Result<PathBuf, SecretError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_');
        if name.is_empty() || name.len() > 200 || name.starts_with('.') || !name.bytes().all(plain) {
            return Err(SecretError::Name { name: name.to_owned() });
        }
        Ok(self.path.join(name))
    }

    fn sync(&self) -> Result<(), SecretError> {
        let io = |source| SecretError::io(&self.path, source);
        File::open(&self.path).map_err(io)?.sync_all().map_err(io)
    }
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn file_with(mode: u32, text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        (folder, file)
    }

    const PLAIN: &str = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
    const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----\n";

    #[test]
    fn a_key_that_others_can_read_is_refused() {
        for mode in [0o640, 0o604, 0o660, 0o610] {
            let (_folder, file) = file_with(mode, PLAIN);
            assert_eq!(read_key_file(&file).unwrap_err().reason(), "KEY_FILE_EXPOSED", "{mode:o}");
        }
        let (_folder, file) = file_with(0o600, PLAIN);
        assert_eq!(read_key_file(&file).unwrap().expose(), PLAIN.as_bytes());
    }

    #[test]
    fn only_a_wholly_encrypted_file_may_be_readable() {
        let (_folder, file) = file_with(0o644, ENCRYPTED);
        assert!(read_key_file(&file).is_ok());
        let (_folder, file) = file_with(0o644, &format!("{ENCRYPTED}{PLAIN}"));
        assert_eq!(read_key_file(&file).unwrap_err().reason(), "KEY_FILE_EXPOSED");
    }

    #[test]
    fn missing_and_oversized_files_are_named() {
        let (folder, file) = file_with(0o600, &"x".repeat(70_000));
        assert_eq!(read_key_file(&file).unwrap_err().reason(), "KEY_FILE_MALFORMED");
        assert_eq!(read_key_file(folder.path()).unwrap_err().reason(), "KEY_FILE_MALFORMED");
        assert_eq!(read_key_file(&folder.path().join("no")).unwrap_err().reason(), "FILE_MISSING");
    }

    #[test]
    fn two_may_destroy_a_secret_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretDirectory::create(&folder.path().join("keys")).unwrap();
        for _ in 0..100 {
            secrets.write("lot.key", b"one").unwrap();
            let both = std::thread::scope(|scope| {
                let other = scope.spawn(|| secrets.destroy("lot.key"));
                [secrets.destroy("lot.key"), other.join().unwrap()]
            });
            assert!(both.iter().all(Result::is_ok), "{both:?}");
        }
    }

    #[test]
    fn a_directory_keeps_what_it_was_given_and_forgets_it() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = SecretDirectory::create(&folder.path().join("keys")).unwrap();
        secrets.write("lot.key", b"one").unwrap();
        secrets.write("lot.key", b"two").unwrap();
        assert_eq!(secrets.read("lot.key").unwrap().expose(), b"two");
        let mode = fs::metadata(folder.path().join("keys/lot.key")).unwrap().mode() & 0o777;
        assert_eq!(mode, 0o600);
        secrets.destroy("lot.key").unwrap();
        secrets.destroy("lot.key").unwrap();
        assert_eq!(secrets.read("lot.key").unwrap_err().reason(), "FILE_MISSING");
        for name in ["", "../x", "a/b", ".hidden"] {
            assert_eq!(secrets.write(name, b"").unwrap_err().reason(), "KEY_NAME_REFUSED");
        }
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(SecretDirectory::open(folder.path()).unwrap_err().reason(), "KEY_FILE_EXPOSED");
    }
}
