//! A service as a process: flags, configuration, signals, exit code.

use std::io::Write;
use std::process::ExitCode;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{Command, Running, Service, ServiceArgs, StartError, World, log, running};
use crate::config::{self, ConfigDirectory, ServiceConfig};
use crate::refusal::chain;
use crate::tls::Credentials;

/// The whole `main` of a thin binary: reads the flags and runs.
pub fn main<S: Service>(service: &S) -> ExitCode {
    match ServiceArgs::parse(std::env::args_os().skip(1)) {
        Ok(Some(args)) => run(service, &args),
        Ok(None) => {
            let text = format!("usage: {} --config FILE\n{}", S::NAME, ServiceArgs::HELP);
            print(&text)
        }
        Err(error) => report::<S>(&error),
    }
}

/// Runs a service until it is told to stop: SIGTERM or ctrl-c. The first drains, the second cuts the connections.
pub fn run<S: Service>(service: &S, args: &ServiceArgs) -> ExitCode {
    match try_run(service, args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => report::<S>(&error),
    }
}

fn report<S: Service>(error: &StartError) -> ExitCode {
    eprintln!("{}: {}: {}", S::NAME, error.reason(), chain(error));
    ExitCode::from(error.exit_code())
}

fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn try_run<S: Service>(service: &S, args: &ServiceArgs) -> Result<(), StartError> {
    log::abort_on_panic();
    let config: S::Config = config::read(&args.config)?;
    let directory = ConfigDirectory::of(&args.config);
    let _lines = log::start(config.log())?;
    match args.command {
        Command::CheckConfig => {
            check(service, &config, &directory)?;
            eprintln!("{}: {} is fine", S::NAME, args.config.display());
            Ok(())
        }
        Command::InitStore => {
            service.check(&config, &directory)?;
            service.init_store(&config, &directory)
        }
        Command::Serve => {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
            runtime.map_err(StartError::setup)?.block_on(serve(service, config, directory))
        }
    }
}

fn check<S: Service>(service: &S, config: &S::Config, directory: &ConfigDirectory) -> Result<(), StartError> {
    Credentials::load(config.identity(), config.peers(), directory, World::real().clock)?;
    service.check(config, directory)
}

async fn serve<S: Service>(service: &S, config: S::Config, directory: ConfigDirectory) -> Result<(), StartError> {
    // Before anything is built, so that a signal during a long start is not lost to the default handler.
    let mut signals = Signals::listen()?;
    let running = tokio::select! {
        running = running::start(service, config, directory, World::real()) => running?,
        () = signals.next() => return Ok(()),
    };
    announce(&running)?;
    tokio::select! {
        () = signals.next() => tracing::info!("told to stop, draining"),
        () = running.stopping() => {}
    }
    let cutter = running.cutter();
    let shutdown = running.shutdown();
    tokio::pin!(shutdown);
    tokio::select! {
        outcome = &mut shutdown => return outcome,
        () = signals.next() => tracing::warn!("told to stop again, cutting connections"),
    }
    cutter.cancel();
    shutdown.await
}

/// The one line on stdout; whoever started us waits for it.
fn announce(running: &Running) -> Result<(), StartError> {
    let own = [("grpc", running.grpc_address()), ("health", running.health_address())].into_iter();
    let further = running.further_addresses().iter().map(|(name, address)| (*name, address.as_str()));
    let addresses: Vec<String> = own.chain(further).map(|(name, address)| format!("{name:?}:{address:?}")).collect();
    let line = format!("READY {{{}}}\n", addresses.join(","));
    let mut stdout = std::io::stdout();
    match stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush()) {
        // Nobody reads it. That is no reason not to serve.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(StartError::setup),
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, StartError> {
        let listen = |kind| signal(kind).map_err(StartError::setup);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
