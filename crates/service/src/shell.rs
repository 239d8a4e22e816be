//! The life of a service process: read, check, build, bind, announce, serve, drain, close.
//!
//! A thin binary is `fn main() -> ExitCode { service::shell::main(&Hub) }`. Tests and simulated worlds call
//! [`start`] instead, with a network and a clock of their own.
//!
//! Invariant: a panic anywhere ends the process; it never limps on.

mod arguments;
mod context;
mod error;
mod follow;
mod log;
mod log_lines;
mod metrics;
mod process;
mod running;
mod serving;

use std::future::Future;

use tonic::service::Routes;

use crate::authorization::Table;
use crate::config::{ConfigDirectory, ServiceConfig};
use crate::net::BoxFuture;

pub use arguments::{Command, ServiceArgs};
pub use context::{Context, Stop, World};
pub use error::{BoxError, StartError};
pub use process::{main, run};
pub use running::{Running, start};

/// What a service brings to the shell.
pub trait Service: Send + Sync + 'static {
    /// Its configuration file.
    type Config: ServiceConfig;

    /// Its name in logs and messages, for example `intermediate-ca`.
    const NAME: &'static str;

    /// Checks what parsing alone cannot. Has no side effects: reading files is all it may do.
    ///
    /// # Errors
    /// [`StartError`], naming what is wrong.
    fn check(&self, config: &Self::Config, directory: &ConfigDirectory) -> Result<(), StartError>;

    /// Makes the empty store, for `--init-store`. Refuses when there is one.
    ///
    /// # Errors
    /// [`StartError`], naming what is wrong.
    fn init_store(&self, config: &Self::Config, directory: &ConfigDirectory) -> Result<(), StartError>;

    /// Opens the store and makes the routes. Nothing is listening yet.
    ///
    /// # Errors
    /// [`StartError`], naming what is wrong.
    fn build(&self, config: Self::Config, context: Context) -> impl Future<Output = Result<Built, StartError>> + Send;
}

/// Flushes and closes what the service holds. Runs after the last request, at most `limits.close_ms`.
pub type CloseHook = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), BoxError>> + Send>;

/// A service that is ready to be bound.
pub struct Built {
    /// Its gRPC services.
    pub routes: Routes,
    /// Who may call what; without a row nobody may.
    pub authorization: Table,
    /// Addresses that the service bound by itself, with what speaks there: `("mqtt", "127.0.0.1:8883")`. The READY line tells them too.
    pub bound: Vec<(&'static str, String)>,
    /// Closes the store.
    pub close: CloseHook,
}
