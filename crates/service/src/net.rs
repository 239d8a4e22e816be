//! The network seam: listen and connect by address, over TCP or within the process.

mod gathering;
mod memory;
mod tcp;

use std::future::Future;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

pub(crate) use gathering::Gathering;
pub use memory::MemoryNetwork;
pub use tcp::TcpNetwork;

/// A future on the heap, so that the seams below can be used as trait objects.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A reliable byte stream in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// A stream of any network.
pub type BoxStream = Box<dyn Stream>;

/// Opens listeners and connections. An address is `host:port`; port 0 asks for a free one when listening.
pub trait Network: Send + Sync + 'static {
    /// Starts to listen.
    ///
    /// # Errors
    /// `AddrInUse` when someone listens there already; otherwise what the operating system says.
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>>;

    /// Opens a connection. Has no deadline of its own: the caller sets one.
    ///
    /// # Errors
    /// `ConnectionRefused` when nobody listens; otherwise what the operating system says.
    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>>;
}

/// Accepts connections until it is dropped.
pub trait Listener: Send + 'static {
    /// The address actually bound, with the port that was chosen.
    fn local_address(&self) -> String;

    /// The next connection and the address it comes from. Safe to drop and call again.
    ///
    /// # Errors
    /// What the operating system says, for example too many open files; the listener remains usable.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>>;
}
