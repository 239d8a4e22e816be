//! Files that must survive a power cut.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::error::StoreError;

/// How many damaged copies of one file or directory are kept for whoever looks into it.
const QUARANTINED: usize = 2;

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), StoreError> {
    let sync = || File::open(dir)?.sync_all();
    sync().map_err(StoreError::io("syncing", dir))
}

/// Replaces `dir/name` by `content`, durably: after a power cut either the old or the new content is there, whole.
pub(crate) fn replace(dir: &Path, name: &str, content: &[u8]) -> Result<(), StoreError> {
    let temporary = dir.join(format!("{name}.tmp"));
    let path = dir.join(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)
    };
    if let Err(error) = write() {
        // What is left of it would only take room; the next attempt overwrites it anyway.
        let _ = fs::remove_file(&temporary);
        return Err(StoreError::io("writing", &path)(error));
    }
    sync_dir(dir)
}

/// Reads a file; `None` when it is not there.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("reading", path)(error)),
    }
}

/// Renames a damaged file or directory aside, if it is there; the oldest copies make room.
pub(crate) fn quarantine(dir: &Path, name: &str) -> Result<(), StoreError> {
    let path = dir.join(name);
    if !path.exists() {
        return Ok(());
    }
    let copy = |n: usize| dir.join(format!("{name}.damaged-{n}"));
    remove(&copy(QUARANTINED))?;
    for n in (1..QUARANTINED).rev() {
        if copy(n).exists() {
            rename(&copy(n), &copy(n + 1))?;
        }
    }
    tracing::warn!(path = %path.display(), aside = %copy(1).display(), "quarantined");
    rename(&path, &copy(1))?;
    sync_dir(dir)
}

fn rename(from: &PathBuf, to: &PathBuf) -> Result<(), StoreError> {
    fs::rename(from, to).map_err(StoreError::io("renaming", from))
}

fn remove(path: &Path) -> Result<(), StoreError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("removing", path)(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
