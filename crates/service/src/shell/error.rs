//! Why a process did not start, or did not end well; with the exit code that stands for it.

use std::error::Error;
use std::io;

use crate::config::ConfigError;
use crate::files::FileError;
use crate::secret::SecretError;
use crate::tls::CredentialsError;

/// Any error, for sources that the shell only prints.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why a service process did not start, or had to stop.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Wrong flags.
    #[error("wrong usage: {problem}")]
    Usage {
        /// What is wrong.
        problem: String,
    },
    /// The configuration is refused.
    #[error("the configuration is refused")]
    Config(#[from] ConfigError),
    /// The service certificate, key or a bundle is refused.
    #[error("the service's credentials are refused")]
    Credentials(#[from] CredentialsError),
    /// A file that the service needs was not read.
    #[error("a file cannot be read")]
    File(#[from] FileError),
    /// A key file is refused.
    #[error("a key file is refused")]
    Secret(#[from] SecretError),
    /// Someone listens there already.
    #[error("{address} is in use")]
    PortInUse {
        /// The address.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// Cannot listen there, for another reason.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        source: io::Error,
    },
    /// The process could not be set up: runtime, signals, TLS provider, logging.
    #[error("the process cannot be set up")]
    Setup {
        /// What failed.
        source: BoxError,
    },
    /// The service refused for a reason of its own. Exit code 1.
    #[error("refused")]
    Refused {
        /// Published name.
        reason: &'static str,
        /// What was refused.
        source: BoxError,
    },
    /// The service's own part of the configuration is refused. Exit code 2.
    #[error("the configuration is refused")]
    Unusable {
        /// Published name.
        reason: &'static str,
        /// What is wrong.
        source: BoxError,
    },
    /// A file, store or peer that the service needs is not there. Exit code 3.
    #[error("something needed is missing")]
    Missing {
        /// Published name.
        reason: &'static str,
        /// What is missing.
        source: BoxError,
    },
    /// The service asked the shell to stop, because it can no longer be sure of itself.
    #[error("the service had to stop: {detail}")]
    Fatal {
        /// Published name.
        reason: &'static str,
        /// What happened.
        detail: String,
    },
    /// The service's store was not closed in an orderly way.
    #[error("the service was not closed in an orderly way")]
    Close {
        /// What happened.
        source: BoxError,
    },
}

impl StartError {
    /// A refusal by the service. Exit code 1.
    pub fn refused(reason: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Refused { reason, source: source.into() }
    }

    /// A part of the service's configuration makes no sense. Exit code 2.
    pub fn unusable(reason: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Unusable { reason, source: source.into() }
    }

    /// Something needed is missing. Exit code 3.
    pub fn missing(reason: &'static str, source: impl Into<BoxError>) -> Self {
        Self::Missing { reason, source: source.into() }
    }

    pub(super) fn setup(source: impl Into<BoxError>) -> Self {
        Self::Setup { source: source.into() }
    }

    /// The published name of this refusal.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Usage { .. } => "USAGE",
            Self::Config(error) => error.reason(),
            Self::Credentials(error) => error.reason(),
            Self::File(error) => error.reason(),
            Self::Secret(error) => error.reason(),
            Self::PortInUse { .. } => "PORT_IN_USE",
            Self::Listen { .. } => "LISTEN_FAILED",
            Self::Setup { .. } => "SETUP_FAILED",
            Self::Refused { reason, .. }
            | Self::Unusable { reason, .. }
            | Self::Missing { reason, .. }
            | Self::Fatal { reason, .. } => reason,
            Self::Close { .. } => "CLOSE_FAILED",
        }
    }

    /// 1 refused, 2 flags or configuration, 3 missing file, port in use, unreachable.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } | Self::Unusable { .. } => 2,
            Self::Config(ConfigError::Missing { .. } | ConfigError::Unreadable { .. }) => 3,
            Self::Config(ConfigError::Malformed { .. } | ConfigError::Field { .. }) => 2,
            Self::Credentials(error) => credentials_exit_code(error),
            Self::Secret(error) => secret_exit_code(error),
            Self::File(FileError::Missing { .. } | FileError::Unreadable { .. }) => 3,
            Self::PortInUse { .. } | Self::Listen { .. } | Self::Missing { .. } => 3,
            Self::Setup { .. } | Self::Refused { .. } | Self::Fatal { .. } | Self::Close { .. } => 1,
        }
    }
}

fn credentials_exit_code(error: &CredentialsError) -> u8 {
    match error {
        CredentialsError::File(FileError::Missing { .. } | FileError::Unreadable { .. }) => 3,
        CredentialsError::Key(error) => secret_exit_code(error),
        CredentialsError::KeyMalformed { .. }
        | CredentialsError::Malformed { .. }
        | CredentialsError::Identity { .. }
        | CredentialsError::KeyMismatch { .. }
        | CredentialsError::NotValidNow { .. }
        | CredentialsError::IdentityChanged { .. } => 1,
    }
}

fn secret_exit_code(error: &SecretError) -> u8 {
    match error {
        SecretError::Missing { .. } | SecretError::Io { .. } => 3,
        SecretError::Exposed { .. }
        | SecretError::NotAKeyFile { .. }
        | SecretError::PassphraseMissing { .. }
        | SecretError::Encrypted { .. }
        | SecretError::Name { .. } => 1,
    }
}
