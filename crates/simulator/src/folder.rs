//! Where everything of a world lies on disk.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;

/// A world's folder.
#[derive(Debug, Clone)]
pub struct Folder(PathBuf);

impl Folder {
    /// The folder at `path`, made when absent, private to its owner.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let path = std::path::absolute(path)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    /// Its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// A path inside.
    #[must_use]
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }

    /// A folder inside, made when absent.
    ///
    /// # Errors
    /// What the file system says.
    pub fn sub(&self, name: &str) -> anyhow::Result<Self> {
        Self::create(&self.join(name))
    }

    /// Whether a file is there.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.join(name).exists()
    }

    /// Writes a file that anybody may read: it appears whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        self.write_with(name, content, 0o644)
    }

    /// Writes a secret, mode 0600: it appears whole or not at all.
    ///
    /// # Errors
    /// What the file system says.
    pub fn write_secret(&self, name: &str, content: &[u8]) -> anyhow::Result<PathBuf> {
        self.write_with(name, content, 0o600)
    }

    fn write_with(&self, name: &str, content: &[u8], mode: u32) -> anyhow::Result<PathBuf> {
        let path = self.join(name);
        let half = self.join(format!(".{name}.new"));
        let _ = fs::remove_file(&half);
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&half)
            .with_context(|| format!("cannot write {}", half.display()))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&half, &path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// What the file system says.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}
