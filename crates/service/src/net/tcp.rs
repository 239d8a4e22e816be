//! The operating system's TCP.

use std::{io, net::SocketAddr};

use tokio::net::{TcpListener, TcpSocket, TcpStream, lookup_host};

use super::{BoxFuture, BoxStream, Listener, Network};

/// Connections that the operating system keeps for us until they are accepted; it cuts this to net.core.somaxconn. Whoever comes beyond
/// is not answered and tries again a second later: everybody who comes back at once after an outage should fit.
const BACKLOG: u32 = 4096;

/// TCP, with Nagle's algorithm off: gRPC writes whole frames.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let socket = open(address).await?;
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

/// Listens at the first of the addresses that a name has where that is possible.
async fn open(address: &str) -> io::Result<TcpListener> {
    let mut last = None;
    for address in lookup_host(address).await? {
        match open_at(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the name has no address")))
}

fn open_at(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A service that is started again finds its old connections in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[tokio::test]
    async fn hundreds_who_come_at_once_wait_to_be_accepted_and_nobody_is_turned_away() {
        let most: usize = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
        let count = most.min(400);
        let mut listener = TcpNetwork.listen("127.0.0.1:0").await.unwrap();
        let address = listener.local_address();
        let mut waiting = Vec::new();
        for _ in 0..count {
            // A connection that does not fit is tried again by the kernel, for minutes, and would hang here.
            waiting.push(TcpNetwork.connect(&address).await.unwrap());
        }
        for _ in 0..count {
            listener.accept().await.unwrap();
        }
    }
}
