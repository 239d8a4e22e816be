//! How a command ends when it does not end well.

use std::{fmt, path::Path, process::ExitCode};

use api::{Refusal, reason_table};

/// A named reason, words, and the exit code that goes with them.
#[derive(Debug)]
pub(crate) struct Failure {
    code: u8,
    reason: &'static str,
    message: String,
}

impl Failure {
    /// Refused, or not so: exit 1.
    pub(crate) fn refused(refusal: &Refusal) -> Self {
        Self { code: 1, reason: refusal.reason(), message: refusal.message().to_owned() }
    }

    /// Content that is not what it should be: exit 1.
    pub(crate) fn malformed(path: &Path, what: impl fmt::Display) -> Self {
        Self { code: 1, reason: "FILE_MALFORMED", message: format!("{}: {what}", path.display()) }
    }

    /// A named refusal of another kind: exit 1.
    pub(crate) fn named(reason: &'static str, message: impl Into<String>) -> Self {
        Self { code: 1, reason, message: message.into() }
    }

    /// Wrong flags or configuration: exit 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { code: 2, reason: "USAGE", message: message.into() }
    }

    /// A file that is not there or cannot be read: exit 3.
    pub(crate) fn file(path: &Path, error: &std::io::Error) -> Self {
        Self { code: 3, reason: "FILE_MISSING", message: format!("{}: {error}", path.display()) }
    }

    /// Something that must be there and does not answer: exit 3.
    pub(crate) fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self { code: 3, reason, message: message.into() }
    }

    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.reason, self.message)?;
        if let Some(explanation) = reason_table::explain(self.reason) {
            write!(f, "\n  what to do: {}", explanation.remedy)?;
        }
        Ok(())
    }
}

/// Reads a whole file.
pub(crate) fn read_file(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::file(path, &error))
}
