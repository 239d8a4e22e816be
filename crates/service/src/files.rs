//! Files that are looked at again while the process runs, and taken anew when they changed.
//!
//! [`crate::shell::Context::follow`] looks at them every `limits.credentials_poll_ms`. What is not good is not taken: what was taken
//! before stays, the log says why, and `files_refused` is 1 until the files are good again.

use std::fmt;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use api::Refusal;
use pki::Sha256;

use crate::shell::StartError;

/// A file of certificates larger than this is a mistake.
pub const MAX_CERTIFICATE_FILE_OCTETS: usize = 1024 * 1024;

/// Why a file was not read.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It is not there.
    #[error("{0} does not exist", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The operating system refused, or it is too long.
    #[error("{0} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl FileError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "FILE_MISSING",
            Self::Unreadable { .. } => "FILE_UNREADABLE",
        }
    }

    fn of(file: &Path, source: io::Error) -> Self {
        if source.kind() == ErrorKind::NotFound {
            return Self::Missing { file: file.to_owned() };
        }
        Self::Unreadable { file: file.to_owned(), source }
    }
}

/// Reads a file that holds no secret and has at most `most` octets.
///
/// # Errors
/// [`FileError`]
pub fn read(file: &Path, most: usize) -> Result<Vec<u8>, FileError> {
    let refused = |source| FileError::of(file, source);
    let mut octets = Vec::new();
    let bound = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(file).map_err(refused)?.take(bound).read_to_end(&mut octets).map_err(refused)?;
    if octets.len() > most {
        return Err(refused(io::Error::new(ErrorKind::FileTooLarge, format!("larger than {most} octets"))));
    }
    Ok(octets)
}

/// What a look at the files found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reload {
    /// The files are those in use.
    Unchanged,
    /// New content was judged good and is in use from now on.
    Swapped,
}

/// Something that was read from files, and can be read again.
pub trait FromFiles: Send + Sync + 'static {
    /// Looks at the files; if they changed and are good, they are used from now on. Blocks on the disk.
    ///
    /// # Errors
    /// What is wrong with them; then all stays as it was.
    fn reload(&self) -> Result<Reload, Refusal>;
}

/// Takes the content of a file into use, whole or not at all.
pub type Take = Box<dyn Fn(&[u8]) -> Result<(), Refusal> + Send + Sync>;

/// One file whose content was taken into use.
pub struct FollowedFile {
    file: PathBuf,
    most: usize,
    take: Take,
    taken: Mutex<Sha256>,
}

impl FollowedFile {
    /// Reads the file, of at most `most` octets, and takes what it holds.
    ///
    /// # Errors
    /// [`StartError::File`]; what `take` refuses with.
    pub fn take(file: PathBuf, most: usize, take: Take) -> Result<Self, StartError> {
        let octets = read(&file, most)?;
        take(&octets)
            .map_err(|refusal| StartError::refused(refusal.reason(), format!("{}: {refusal}", file.display())))?;
        Ok(Self { file, most, take, taken: Mutex::new(Sha256::of(&octets)) })
    }
}

impl FromFiles for FollowedFile {
    fn reload(&self) -> Result<Reload, Refusal> {
        let octets = read(&self.file, self.most).map_err(|error| Refusal::from_error(error.reason(), &error))?;
        let digest = Sha256::of(&octets);
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if *taken == digest {
            return Ok(Reload::Unchanged);
        }
        (self.take)(&octets)?;
        *taken = digest;
        Ok(Reload::Swapped)
    }
}

impl fmt::Debug for FollowedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowedFile").field("file", &self.file).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::fs;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn what_is_refused_leaves_what_was_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list");
        fs::write(&file, "one").unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let take = {
            let taken = Arc::clone(&taken);
            move |octets: &[u8]| {
                if octets.is_empty() {
                    return Err(Refusal::new("FILE_MALFORMED", "an empty list"));
                }
                taken.lock().unwrap().push(String::from_utf8(octets.to_vec()).unwrap());
                Ok(())
            }
        };
        let followed = FollowedFile::take(file.clone(), 3, Box::new(take)).unwrap();
        let reason = |outcome: Result<Reload, Refusal>| outcome.map_err(|refusal| refusal.reason());
        assert_eq!(reason(followed.reload()), Ok(Reload::Unchanged));
        for (content, refused) in [("", "FILE_MALFORMED"), ("four", "FILE_UNREADABLE")] {
            fs::write(&file, content).unwrap();
            assert_eq!(reason(followed.reload()), Err(refused));
            assert_eq!(reason(followed.reload()), Err(refused), "it is refused for as long as it is there");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(reason(followed.reload()), Err("FILE_MISSING"));
        fs::write(&file, "one").unwrap();
        assert_eq!(reason(followed.reload()), Ok(Reload::Unchanged), "the old content came back");
        fs::write(&file, "two").unwrap();
        assert_eq!(reason(followed.reload()), Ok(Reload::Swapped));
        assert_eq!(*taken.lock().unwrap(), ["one", "two"]);
        assert_eq!(FollowedFile::take(folder.path().join("no"), 3, Box::new(|_| Ok(()))).unwrap_err().exit_code(), 3);
    }
}
