//! The hidden subcommand that runs a service in this process: `demo` and the tests start their services with it.

use std::process::ExitCode;

use rustix::process::{Signal, getpid, kill_process};
use service::shell::{self, Command, ServiceArgs};

use crate::args;

pub(crate) fn run(args: &args::ServiceArgs) -> ExitCode {
    let command = match (args.check_config, args.init_store) {
        (true, _) => Command::CheckConfig,
        (false, true) => Command::InitStore,
        (false, false) => Command::Serve,
    };
    if args.until_stdin_ends {
        end_with_stdin();
    }
    let shell_args = ServiceArgs { config: args.config.clone(), command };
    match args.name.as_str() {
        "root-ca" => shell::run(&root_ca::RootCa, &shell_args),
        "intermediate-ca" => shell::run(&intermediate_ca::IntermediateCa, &shell_args),
        "hub" => shell::run(&::hub::Hub, &shell_args),
        "provisioner" => shell::run(&provisioner::Provisioner, &shell_args),
        other => {
            eprintln!("error[USAGE]: there is no service {other:?}");
            ExitCode::from(2)
        }
    }
}

/// Whoever started us holds the other end of our standard input and writes nothing. The end comes when that process ends, also by
/// SIGKILL; without this, a killed demo would leave its services behind.
fn end_with_stdin() {
    std::thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        let _ = kill_process(getpid(), Signal::TERM);
    });
}
