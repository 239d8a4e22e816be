//! `countersign completions`: a script for a shell.

use std::process::ExitCode;

use crate::{args::CompletionsArgs, failure::Failure, stdout::say};

pub(crate) fn run(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::command(), "countersign", &mut script);
    say!("{}", String::from_utf8_lossy(&script).trim_end());
    Ok(ExitCode::SUCCESS)
}
