//! Log lines on stderr, and the panic hook.

use std::{
    backtrace::Backtrace,
    io::{IsTerminal as _, Stderr, Write as _},
};

use tracing_subscriber::EnvFilter;

use super::StartError;
use super::log_lines::{self, LogLines};
use crate::config::{LogFormat, LogSection};
use crate::metrics::{Collector, DescriptorEncoder, tell_count};

/// Starts logging. `RUST_LOG` overrides the configured level. Lines that wait are written when what is returned is dropped.
pub(super) fn start(section: &LogSection) -> Result<LogLines<Stderr>, StartError> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::try_new(filter),
        _ => EnvFilter::try_new(&section.level),
    };
    let filter = filter.map_err(|source| StartError::unusable("CONFIG_INVALID", source))?;
    let out = LogLines::start(std::io::stderr()).map_err(StartError::setup)?;
    // Colours are for people: in a file or a pipe they would stand between the words that are searched for.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(out.pen())
        // A line that cannot be written, to a full disk or a closed pipe, is lost; complaining about it there would be a panic.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let started = match section.format {
        LogFormat::Human => lines.try_init(),
        LogFormat::Json => lines.json().flatten_event(true).try_init(),
    };
    started.map_err(StartError::setup)?;
    Ok(out)
}

/// Lines that were lost, for `/metrics`.
#[derive(Debug)]
pub(super) struct LostLines;

impl Collector for LostLines {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let help = "Log lines lost because too many waited to be written";
        tell_count(&mut encoder, "log_lines_lost", help, log_lines::dropped())
    }
}

/// From now on a panic anywhere, also in a task that tokio would catch, is logged and aborts the process: the state
/// it leaves behind cannot be trusted, and what is durable can.
pub(super) fn abort_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = Backtrace::capture();
        let thread = std::thread::current();
        tracing::error!(reason = "PANIC", thread = thread.name(), %panic, %backtrace, "aborting after a panic");
        // Logging may not have been started yet.
        let _ = writeln!(std::io::stderr(), "aborting after a panic: {panic}");
        std::process::abort();
    }));
}
