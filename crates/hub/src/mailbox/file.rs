//! One device's file: a CRC-32C (4 octets, little-endian), then the message.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use api::{Refusal, hub::v1::Mailbox};
use pki::{Sha256, hex};
use prost::Message as _;

/// A longer file is damaged: the bounds of twin and queue add up to less.
const MAX_OCTETS: u64 = 1024 * 1024;

/// What is kept for a device; none when nothing is.
///
/// # Errors
/// `MAILBOX_DAMAGED`, `STORE_IO`.
pub(super) fn read(directory: &Path, device: &str) -> Result<Option<Mailbox>, Refusal> {
    let path = path(directory, device);
    let octets = match fs::metadata(&path) {
        Ok(about) if about.len() > MAX_OCTETS => return Err(damaged(&path, "is too long")),
        Ok(_) => fs::read(&path).map_err(|e| io_refusal("reading", &path, &e))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_refusal("reading", &path, &error)),
    };
    let Some((sum, message)) = octets.split_first_chunk::<4>() else { return Err(damaged(&path, "is too short")) };
    if crc32c::crc32c(message) != u32::from_le_bytes(*sum) {
        return Err(damaged(&path, "fails its checksum"));
    }
    let mailbox = Mailbox::decode(message).map_err(|_| damaged(&path, "cannot be read"))?;
    if mailbox.device_id == device { Ok(Some(mailbox)) } else { Err(damaged(&path, "is that of another device")) }
}

/// Replaces what is kept; durable when this returns.
///
/// # Errors
/// `STORE_IO`.
pub(super) fn write(directory: &Path, mailbox: &Mailbox) -> Result<(), Refusal> {
    let path = path(directory, &mailbox.device_id);
    let message = mailbox.encode_to_vec();
    let replace = || -> io::Result<()> {
        let folder = path.parent().unwrap_or(directory);
        if !folder.is_dir() {
            fs::create_dir_all(folder)?;
            File::open(directory)?.sync_all()?;
        }
        let fresh = path.with_extension("new");
        let mut file = File::create(&fresh)?;
        file.write_all(&crc32c::crc32c(&message).to_le_bytes())?;
        file.write_all(&message)?;
        file.sync_all()?;
        fs::rename(&fresh, &path)?;
        File::open(folder)?.sync_all()
    };
    replace().map_err(|e| io_refusal("writing", &path, &e))
}

/// Deletes what is kept.
///
/// # Errors
/// `STORE_IO`.
pub(super) fn delete(directory: &Path, device: &str) -> Result<(), Refusal> {
    let path = path(directory, device);
    match fs::remove_file(&path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(io_refusal("deleting", &path, &error)),
    }
}

/// A device id may hold characters that a file name must not: the name is a digest of it.
fn path(directory: &Path, device: &str) -> PathBuf {
    let name = hex::encode(Sha256::of(device.as_bytes()).as_bytes());
    let (folder, file) = name.split_at(2);
    directory.join(folder).join(file).with_extension("box")
}

fn damaged(path: &Path, what: &str) -> Refusal {
    Refusal::new("MAILBOX_DAMAGED", format!("{} {what}", path.display()))
}

fn io_refusal(what: &str, path: &Path, error: &io::Error) -> Refusal {
    Refusal::new("STORE_IO", format!("{what} {}: {error}", path.display()))
}
