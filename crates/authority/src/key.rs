//! Keys that a configuration names.

use issuance::SoftwareKey;
use service::{secret::KeyFile, shell::StartError};

/// The signing key in a configured file.
///
/// # Errors
/// What [`KeyFile::open`] refuses; `KEY_FILE_MALFORMED` when the content is no key that signs.
pub fn load_key(file: &KeyFile) -> Result<SoftwareKey, StartError> {
    let octets = file.open()?;
    SoftwareKey::from_file(octets.expose())
        .map_err(|e| StartError::refused("KEY_FILE_MALFORMED", format!("{}: {e}", file.file.display())))
}
