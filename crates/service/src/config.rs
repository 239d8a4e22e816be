//! Strict reading of a service's TOML file.
//!
//! A service's configuration embeds the shared `sections` under their usual names and says so with
//! [`shared_sections!`](crate::shared_sections). Unknown fields are refused, and every error names the file,
//! the line and the field.

mod limits;
mod sections;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::secret::KeyFile;
pub use limits::Limits;
pub(crate) use limits::count;

pub use sections::{FilePath, IdentitySection, ListenSection, LogFormat, LogSection, Peer, StoreSection, TraceSection};

/// A configuration file larger than this is a mistake.
const MAX_FILE_OCTETS: u64 = 1024 * 1024;

/// Why a configuration cannot be used. Nothing has happened yet when one is returned.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there.
    #[error("configuration file {0} does not exist", file.display())]
    Missing {
        /// The file.
        file: PathBuf,
    },
    /// The file cannot be read, is too large or is not UTF-8.
    #[error("configuration file {0} cannot be read", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or a field is unknown, missing or of the wrong type.
    #[error("{0}:{line}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong, with the field's name.
        problem: String,
    },
    /// A field's value makes no sense, alone or together with others.
    #[error("{0}: field `{field}`: {problem}", file.display())]
    Field {
        /// The file.
        file: PathBuf,
        /// Dotted name of the field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
}

impl ConfigError {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "FILE_MISSING",
            Self::Unreadable { .. } => "FILE_UNREADABLE",
            Self::Malformed { .. } | Self::Field { .. } => "CONFIG_INVALID",
        }
    }
}

/// A problem with one field, found after parsing; the reader adds the file's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// Dotted name of the field.
    pub field: String,
    /// What is wrong with it.
    pub problem: String,
}

impl FieldProblem {
    /// A problem with `field`.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

/// A service's configuration: its own fields and the shared sections.
///
/// Implement it with [`shared_sections!`](crate::shared_sections).
pub trait ServiceConfig: DeserializeOwned + Send + Sync + 'static {
    /// `[identity]`
    fn identity(&self) -> &IdentitySection;
    /// `[[peers]]`
    fn peers(&self) -> &[Peer];
    /// `[listen]`
    fn listen(&self) -> &ListenSection;
    /// `[limits]`
    fn limits(&self) -> &Limits;
    /// `[log]`
    fn log(&self) -> &LogSection;
    /// `[trace]`
    fn trace(&self) -> &TraceSection;
}

/// Implements [`config::ServiceConfig`](crate::config::ServiceConfig) for a struct with the fields `identity`,
/// `peers`, `listen`, `limits`, `log` and `trace`.
#[macro_export]
macro_rules! shared_sections {
    ($config:ty) => {
        impl $crate::config::ServiceConfig for $config {
            fn identity(&self) -> &$crate::config::IdentitySection {
                &self.identity
            }
            fn peers(&self) -> &[$crate::config::Peer] {
                &self.peers
            }
            fn listen(&self) -> &$crate::config::ListenSection {
                &self.listen
            }
            fn limits(&self) -> &$crate::config::Limits {
                &self.limits
            }
            fn log(&self) -> &$crate::config::LogSection {
                &self.log
            }
            fn trace(&self) -> &$crate::config::TraceSection {
                &self.trace
            }
        }
    };
}

/// The folder of the configuration file; relative paths in the file start there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigDirectory(PathBuf);

impl ConfigDirectory {
    /// The folder `path`.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder that holds `file`.
    #[must_use]
    pub fn of(file: &Path) -> Self {
        match file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => Self(parent.to_owned()),
            _ => Self(PathBuf::from(".")),
        }
    }

    /// Where a path of the configuration leads.
    #[must_use]
    pub fn path(&self, path: &FilePath) -> PathBuf {
        self.0.join(path.as_written())
    }

    /// Where a private key and the passphrase that it may have lie.
    #[must_use]
    pub fn key_file(&self, key: &FilePath, passphrase_file: Option<&FilePath>) -> KeyFile {
        KeyFile { file: self.path(key), passphrase_file: passphrase_file.map(|file| self.path(file)) }
    }
}

/// Reads and checks a configuration file. Touches nothing else.
///
/// # Errors
/// [`ConfigError`], naming file, line and field.
pub fn read<C: ServiceConfig>(file: &Path) -> Result<C, ConfigError> {
    let text = read_text(file)?;
    parse(&text, file)
}

/// Parses and checks the text of a configuration file; `file` is for messages only.
///
/// # Errors
/// [`ConfigError`], naming file, line and field.
pub fn parse<C: ServiceConfig>(text: &str, file: &Path) -> Result<C, ConfigError> {
    let config: C = parse_document(text, file)?;
    check_shared(&config).map_err(|found| ConfigError::Field {
        file: file.to_owned(),
        field: found.field,
        problem: found.problem,
    })?;
    Ok(config)
}

/// Reads a TOML file of another shape than a service's configuration, with the same refusals; its text as well.
///
/// # Errors
/// [`ConfigError`], naming file, line and field.
pub fn read_document<D: for<'de> Deserialize<'de>>(file: &Path) -> Result<(D, String), ConfigError> {
    let text = read_text(file)?;
    Ok((parse_document(&text, file)?, text))
}

/// Parses the text of such a file; `file` is for messages only.
///
/// # Errors
/// [`ConfigError::Malformed`], naming file, line and field.
pub fn parse_document<D: for<'de> Deserialize<'de>>(text: &str, file: &Path) -> Result<D, ConfigError> {
    toml::from_str(text).map_err(|mut error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = text.bytes().take(start).filter(|&octet| octet == b'\n').count() + 1;
        // Without the input, the message names the field ("in `limits.drain_ms`") instead of quoting the line.
        error.set_input(None);
        let problem = error.to_string().trim_end().replace('\n', " ");
        ConfigError::Malformed { file: file.to_owned(), line, problem }
    })
}

fn read_text(file: &Path) -> Result<String, ConfigError> {
    use std::io::{Error, ErrorKind, Read};
    let unreadable = |source: Error| {
        if source.kind() == ErrorKind::NotFound {
            return ConfigError::Missing { file: file.to_owned() };
        }
        ConfigError::Unreadable { file: file.to_owned(), source }
    };
    let mut text = String::new();
    let open = std::fs::File::open(file).map_err(unreadable)?;
    open.take(MAX_FILE_OCTETS + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > MAX_FILE_OCTETS {
        return Err(unreadable(Error::new(ErrorKind::FileTooLarge, "larger than 1 MiB")));
    }
    Ok(text)
}

fn check_shared(config: &impl ServiceConfig) -> Result<(), FieldProblem> {
    config.limits().check()?;
    config.trace().check()?;
    sections::check_peers(config.peers())
}
