//! The `countersign` command: what people type, and what they read.
//!
//! Every subcommand is one module with one `run`; those that are a noun and a verb are rows of the table in `verbs`. JSON alone goes to stdout with `-o json`; errors and progress go to stderr.
//! Exit codes: 0 ok; 1 refused or not so; 2 flags, configuration, scenario; 3 missing file, port in use, unreachable.
//! The services run by the hidden subcommand `service`, so that one binary is enough for a demo. Start at [`main`].

mod args;
mod backup;
mod bench;
mod completions;
mod demo;
mod device_run;
mod explain;
mod failure;
mod files;
mod handoff_file;
mod hub;
mod init;
mod inspect;
mod make_ca;
mod passphrase;
mod profile;
mod reach;
mod restore;
mod run_service;
mod stdout;
mod verbs;
mod verify;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _};

use args::{Arguments, Command, DeviceCommand};

/// Runs the command line of this process.
#[must_use]
pub fn main() -> ExitCode {
    let outcome = match command().try_get_matches() {
        Err(error) => return unparsed(&error),
        Ok(matches) => match verbs::called(&matches) {
            Some(given) => verbs::run(&given),
            None => match Arguments::from_arg_matches(&matches) {
                Err(error) => return unparsed(&error),
                Ok(arguments) => run(arguments.command),
            },
        },
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}

/// The whole command line: what is derived, and the table of verbs.
pub(crate) fn command() -> clap::Command {
    verbs::add_to(Arguments::command())
}

/// Help and version are answers (exit 0, stdout); everything else is a flag error (exit 2, stderr).
fn unparsed(error: &clap::Error) -> ExitCode {
    let code = if error.use_stderr() { 2 } else { 0 };
    let _ = error.print();
    ExitCode::from(code)
}

fn run(command: Command) -> Result<ExitCode, failure::Failure> {
    match command {
        Command::Demo(args) => demo::run(&args),
        Command::Verify(args) => verify::run(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Device(DeviceCommand::Run(args)) => device_run::run(&args),
        Command::Hub(args) => hub::run(&args),
        Command::Ceremony(args) => make_ca::run(&args),
        Command::Init(args) => init::run(&args),
        Command::Backup(args) => backup::run(&args),
        Command::Restore(args) => restore::run(&args),
        Command::Completions(args) => completions::run(&args),
        Command::Service(args) => Ok(run_service::run(&args)),
    }
}
