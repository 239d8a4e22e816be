//! Key files under a passphrase or a mode. A passphrase comes from a file or from whoever sits there, never from a command line.

use std::path::{Path, PathBuf};

use issuance::{Entropy, KeyKind, Passphrase, SoftwareKey};
use pki::pem;
use service::secret::{self, ReadKey, SecretBytes};
use zeroize::Zeroizing;

use crate::{
    folder::{self, Readers},
    refusal::CeremonyRefusal,
};

/// Asks the person at the terminal for a passphrase; the text says for what.
pub type Ask<'a> = dyn FnMut(&str) -> std::io::Result<Zeroizing<String>> + 'a;

/// How a new key is to lie on disk.
pub(crate) enum NewProtection {
    /// Mode 0600.
    FileMode,
    /// Encrypted, under the passphrase in this file or one that is asked for.
    Passphrase { file: Option<PathBuf> },
}

/// Reads a key file: PKCS#8, PEM or DER, mode 0600, or PEM that is encrypted.
///
/// The passphrase of an encrypted one stands in `passphrase_file`, or is asked for.
///
/// # Errors
/// `FILE_MISSING`, `KEY_FILE_EXPOSED`, `KEY_FILE_MALFORMED`, and what [`SoftwareKey`] says about the content.
pub fn read(file: &Path, passphrase_file: Option<&Path>, ask: &mut Ask<'_>) -> Result<SoftwareKey, CeremonyRefusal> {
    let octets = secret::read_key_file(file)?;
    if !secret::is_encrypted(octets.expose()) {
        return SoftwareKey::from_file(octets.expose()).map_err(|cause| CeremonyRefusal::key(file, cause));
    }
    let passphrase = match passphrase_file {
        Some(path) => secret::read_passphrase(path)?,
        None => Passphrase::new(asked(file, &format!("Passphrase of {}: ", file.display()), ask)?.as_str()),
    };
    open(file, octets, passphrase)
}

/// Makes a key and its file, PEM, durably, where nothing was; the key is the one that was read back.
///
/// # Errors
/// `OUTPUT_EXISTS`, `PASSPHRASE_EMPTY`, `PASSPHRASES_DIFFER`, and what the operating system refuses.
pub(crate) fn make(
    file: &Path,
    kind: KeyKind,
    protection: &NewProtection,
    entropy: &dyn Entropy,
    ask: &mut Ask<'_>,
) -> Result<SoftwareKey, CeremonyRefusal> {
    let failed = |cause| CeremonyRefusal::key(file, cause);
    let key = SoftwareKey::generate(kind).map_err(failed)?;
    match protection {
        NewProtection::FileMode => {
            let text = Zeroizing::new(pem::encode(pem::PRIVATE_KEY, &key.to_pkcs8().map_err(failed)?));
            folder::write_new(file, text.as_bytes(), Readers::Owner)?;
            read(file, None, ask)
        }
        NewProtection::Passphrase { file: passphrase_file } => {
            let passphrase = match passphrase_file {
                Some(path) => secret::read_passphrase(path)?,
                None => asked_twice(file, ask)?,
            };
            let sealed = key.to_encrypted_pkcs8(&passphrase, entropy).map_err(failed)?;
            folder::write_new(file, pem::encode(pem::ENCRYPTED_PRIVATE_KEY, &sealed).as_bytes(), Readers::Owner)?;
            open(file, secret::read_key_file(file)?, passphrase)
        }
    }
}

fn open(file: &Path, octets: SecretBytes, passphrase: Passphrase) -> Result<SoftwareKey, CeremonyRefusal> {
    let opened = ReadKey::encrypted(file, octets, passphrase).open()?;
    SoftwareKey::from_file(opened.expose()).map_err(|cause| CeremonyRefusal::key(file, cause))
}

fn asked(file: &Path, prompt: &str, ask: &mut Ask<'_>) -> Result<Zeroizing<String>, CeremonyRefusal> {
    ask(prompt).map_err(|e| CeremonyRefusal::io(file, e))
}

fn asked_twice(file: &Path, ask: &mut Ask<'_>) -> Result<Passphrase, CeremonyRefusal> {
    let first = asked(file, &format!("New passphrase for {}: ", file.display()), ask)?;
    let second = asked(file, "The same again: ", ask)?;
    if first != second {
        return Err(CeremonyRefusal::PassphrasesDiffer(file.to_owned()));
    }
    Ok(Passphrase::new(first.as_str()))
}
