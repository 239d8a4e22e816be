//! The `countersign` command: what people type, and what they read.
//!
//! Every subcommand is one module with one `run`. JSON alone goes to stdout with `-o json`; errors and progress go to stderr.
//! Exit codes: 0 ok; 1 refused or not so; 2 flags, configuration, scenario; 3 missing file, port in use, unreachable.
//! The services run by the hidden subcommand `service`, so that one binary is enough for a demo. Start at [`main`].

mod args;
mod demo;
mod explain;
mod failure;
mod files;
mod inspect;
mod run_service;
mod verify;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are answers (exit 0, stdout); everything else is a flag error (exit 2, stderr).
            let code = if error.use_stderr() { 2 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let outcome = match arguments.command {
        Command::Demo(args) => demo::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Service(args) => return run_service::run(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
