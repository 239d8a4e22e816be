//! Why a ceremony was not held, or not to its end.

use std::{
    io,
    path::{Path, PathBuf},
};

use issuance::{
    CsrRefusal, CycleRefusal, EntropyRefusal, IssueRefusal, KeyError, LoadRefusal, ProfileRefusal, RootRefusal,
    SerialRefusal,
};
use service::{config::ConfigError, secret::SecretError};

/// Why a ceremony was refused. Nothing that was there before is changed.
#[derive(Debug, thiserror::Error)]
pub enum CeremonyRefusal {
    /// The file cannot be read, or is no ceremony's.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A field of the file makes no sense, alone or together with others.
    #[error("field `{field}`: {problem}")]
    Input {
        /// Dotted name of the field.
        field: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Something lies where an output would go.
    #[error("{} is there already; a ceremony overwrites nothing", .0.display())]
    OutputExists(PathBuf),
    /// This ceremony was held to its end.
    #[error("{} holds the evidence of this ceremony; it was held", .0.display())]
    Held(PathBuf),
    /// The folder belongs to a ceremony with another file.
    #[error("{} belongs to a ceremony with another file", .0.display())]
    Differs(PathBuf),
    /// A passphrase was given twice, and not the same.
    #[error("the two passphrases for {} differ", .0.display())]
    PassphrasesDiffer(PathBuf),
    /// A key file is missing, exposed or no key file.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A key cannot be made, opened or used.
    #[error("the key {}", file.display())]
    Key {
        /// Its file.
        file: PathBuf,
        /// Why.
        #[source]
        cause: KeyError,
    },
    /// A file is not what it should be.
    #[error("{}: {problem}", file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The certificate would not be what the design wants.
    #[error("the certificate that the file describes")]
    Profile(#[from] ProfileRefusal),
    /// The CSR was refused.
    #[error("the request for the order CA's key")]
    Csr(#[from] CsrRefusal),
    /// The root was not drafted.
    #[error("drafting the root")]
    Root(#[from] RootRefusal),
    /// The issuing root cannot be used.
    #[error("the issuing root")]
    Issuer(#[from] LoadRefusal),
    /// The order CA was not drafted.
    #[error("drafting the order CA")]
    Issue(#[from] IssueRefusal),
    /// The certificate was not signed.
    #[error("signing the certificate")]
    Sign(#[from] CycleRefusal),
    /// No certificate serial was drawn.
    #[error("drawing a certificate serial")]
    Serial(#[from] SerialRefusal),
    /// No randomness.
    #[error("drawing randomness")]
    Entropy(#[from] EntropyRefusal),
    /// The operating system refused.
    #[error("{}", file.display())]
    Io {
        /// The file or folder.
        file: PathBuf,
        /// What the operating system said.
        #[source]
        cause: io::Error,
    },
}

impl CeremonyRefusal {
    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Config(cause) => cause.reason(),
            Self::Input { .. } => "CONFIG_INVALID",
            Self::OutputExists(_) => "OUTPUT_EXISTS",
            Self::Held(_) => "CEREMONY_HELD",
            Self::Differs(_) => "CEREMONY_DIFFERS",
            Self::PassphrasesDiffer(_) => "PASSPHRASES_DIFFER",
            Self::Secret(cause) => cause.reason(),
            Self::Key { cause, .. } => cause.reason(),
            Self::Malformed { .. } => "FILE_MALFORMED",
            Self::Profile(cause) => cause.reason(),
            Self::Csr(cause) => cause.reason(),
            Self::Root(cause) => cause.reason(),
            Self::Issuer(cause) => cause.reason(),
            Self::Issue(cause) => cause.reason(),
            Self::Sign(cause) => cause.reason(),
            Self::Serial(cause) => cause.reason(),
            Self::Entropy(cause) => cause.reason(),
            Self::Io { cause, .. } if cause.kind() == io::ErrorKind::NotFound => "FILE_MISSING",
            Self::Io { .. } => "FILE_UNREADABLE",
        }
    }

    pub(crate) fn input(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Input { field, problem: problem.into() }
    }

    pub(crate) fn io(file: &Path, cause: io::Error) -> Self {
        Self::Io { file: file.to_owned(), cause }
    }

    pub(crate) fn malformed(file: &Path, problem: impl std::fmt::Display) -> Self {
        Self::Malformed { file: file.to_owned(), problem: problem.to_string() }
    }

    pub(crate) fn key(file: &Path, cause: KeyError) -> Self {
        Self::Key { file: file.to_owned(), cause }
    }
}
