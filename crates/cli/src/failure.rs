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
        let later = refusal.retry_delay().map(|delay| format!("; it may work in {} s", delay.as_secs().max(1)));
        let message = format!("{}{}", refusal.message(), later.unwrap_or_default());
        Self { code: 1, reason: refusal.reason(), message }
    }

    /// Content that is not what it should be: exit 1.
    pub(crate) fn malformed(path: &Path, what: impl fmt::Display) -> Self {
        Self { code: 1, reason: "FILE_MALFORMED", message: format!("{}: {what}", path.display()) }
    }

    /// The same, with where it was found before the words.
    pub(crate) fn within(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
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
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let reason = if missing { "FILE_MISSING" } else { "FILE_UNREADABLE" };
        Self { code: 3, reason, message: format!("{}: {error}", path.display()) }
    }

    /// Something that must be there and does not answer: exit 3.
    pub(crate) fn unavailable(reason: &'static str, message: impl Into<String>) -> Self {
        Self { code: 3, reason, message: message.into() }
    }

    /// A refusal by its published name: what is missing or cannot be reached ends with 3, wrong configuration with 2, all else with 1.
    pub(crate) fn by_reason(reason: &'static str, error: &dyn std::error::Error) -> Self {
        let refusal = Refusal::from_error(reason, error);
        let code = match reason {
            "CONFIG_INVALID" | "USAGE" => 2,
            "FILE_MISSING" | "FILE_UNREADABLE" | "SETUP_FAILED" => 3,
            _ => 1,
        };
        Self { code, reason, message: refusal.message().to_owned() }
    }

    /// A configuration file that cannot be used.
    pub(crate) fn config(error: &service::config::ConfigError) -> Self {
        Self::by_reason(error.reason(), error)
    }

    /// Whether a call may have been done although no answer came.
    pub(crate) fn may_have_been_done(&self) -> bool {
        matches!(self.reason, "UPSTREAM_UNREACHABLE" | "DEADLINE_TOO_SHORT" | "INTERNAL")
    }

    /// The reason and the words, if this is an answer about what was asked and no trouble with asking: exit 1.
    pub(crate) fn as_answer(&self) -> Option<(&'static str, &str)> {
        (self.code == 1).then_some((self.reason, self.message.as_str()))
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
