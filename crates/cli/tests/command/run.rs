//! Running the command to its end.

use std::{
    ffi::OsStr,
    process::{Command, Stdio},
};

use serde_json::Value;

/// How a run ended.
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `countersign` with these arguments.
pub(crate) fn countersign<A: AsRef<OsStr>>(arguments: &[A]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(arguments).stdin(Stdio::null()).output().unwrap();
    Ended {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

impl Ended {
    /// What stands on standard output, which is JSON alone.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}: {:?} {}", self.stdout, self.stderr))
    }

    /// Asserts an end with nothing on standard output and the named reason, once, on standard error.
    pub(crate) fn assert_failed(&self, code: i32, reason: &str) {
        assert_eq!(self.code, Some(code), "{}", self.stderr);
        assert_eq!(self.stdout, "", "{}", self.stderr);
        let named = self.stderr.lines().filter(|line| line.starts_with(&format!("error[{reason}]: "))).count();
        assert_eq!(named, 1, "{reason}: {}", self.stderr);
    }

    /// Asserts that the flags were refused before anything was done.
    pub(crate) fn assert_usage(&self, said: &str) {
        assert_eq!(self.code, Some(2), "{}", self.stderr);
        assert_eq!(self.stdout, "", "{}", self.stderr);
        assert!(self.stderr.contains(said), "{said}: {}", self.stderr);
    }
}
