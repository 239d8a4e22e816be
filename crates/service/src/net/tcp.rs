//! The operating system's TCP.

use std::io;

use tokio::net::{TcpListener, TcpStream};

use super::{BoxFuture, BoxStream, Listener, Network};

/// TCP, with Nagle's algorithm off: gRPC writes whole frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = TcpListener::bind(address).await?;
            let local_address = socket.local_addr()?.to_string();
            Ok(Box::new(TcpAccept { socket, local_address }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxStream)
        })
    }
}

struct TcpAccept {
    socket: TcpListener,
    local_address: String,
}

impl Listener for TcpAccept {
    fn local_address(&self) -> String {
        self.local_address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxStream, String)>> {
        Box::pin(async move {
            let (stream, peer) = self.socket.accept().await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxStream, peer.to_string()))
        })
    }
}
