//! Files that appear whole, durably, and only where nothing was.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use crate::refusal::CeremonyRefusal;

/// Who may read a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    /// Mode 0644.
    Everybody,
    /// Mode 0600.
    Owner,
}

/// Makes a folder that its owner alone may enter; its parents are made too.
pub(crate) fn make(folder: &Path) -> Result<(), CeremonyRefusal> {
    let built = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    built.map_err(|e| CeremonyRefusal::io(folder, e))?;
    sync_folder_of(folder).map_err(|e| CeremonyRefusal::io(folder, e))
}

/// Writes a new file: when this returns it is durable. `OUTPUT_EXISTS` when there is one.
pub(crate) fn write_new(file: &Path, content: &[u8], readers: Readers) -> Result<(), CeremonyRefusal> {
    let half = half_of(file)?;
    let io = |cause| CeremonyRefusal::io(file, cause);
    // Left over from a crash: it never had its name.
    match fs::remove_file(&half) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        Ok(()) | Err(_) => {}
    }
    let mode = match readers {
        Readers::Everybody => 0o644,
        Readers::Owner => 0o600,
    };
    let mut open = OpenOptions::new().write(true).create_new(true).mode(mode).open(&half).map_err(io)?;
    open.write_all(content).map_err(io)?;
    open.sync_all().map_err(io)?;
    // Unlike a rename, a link never takes the place of another file.
    let linked = fs::hard_link(&half, file);
    fs::remove_file(&half).map_err(io)?;
    match linked {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            return Err(CeremonyRefusal::OutputExists(file.to_owned()));
        }
        linked => linked.map_err(io)?,
    }
    sync_folder_of(file).map_err(io)
}

/// The content of a file; none when there is none.
pub(crate) fn read_if_there(file: &Path) -> Result<Option<Vec<u8>>, CeremonyRefusal> {
    match fs::read(file) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(CeremonyRefusal::io(file, error)),
    }
}

/// Whether anything is there, a dangling link too.
pub(crate) fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

fn half_of(file: &Path) -> Result<PathBuf, CeremonyRefusal> {
    let name = file.file_name().ok_or_else(|| CeremonyRefusal::malformed(file, "not a file name"))?;
    Ok(file.with_file_name(format!(".{}.new", name.to_string_lossy())))
}

fn sync_folder_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
