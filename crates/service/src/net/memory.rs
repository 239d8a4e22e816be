//! A network inside the process: addresses are names, connections are pipes.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::{BoxFuture, BoxStream, Listener, Network};

/// Octets that one side may write before the other reads.
const PIPE_OCTETS: usize = 64 * 1024;
/// Connections that may wait to be accepted at one listener.
const BACKLOG: usize = 128;

type Arrival = (BoxStream, String);

/// Connects listeners and callers within one process. Clones are the same network.
#[derive(Debug, Clone, Default)]
pub struct MemoryNetwork {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    listeners: HashMap<String, mpsc::Sender<Arrival>>,
    last_port: u32,
    last_caller: u64,
}

impl MemoryNetwork {
    /// A network without listeners.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Network for MemoryNetwork {
    fn listen<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Box<dyn Listener>>> {
        Box::pin(async move {
            let mut state = self.state();
            let local_address = match address.strip_suffix(":0") {
                Some(host) => {
                    state.last_port += 1;
                    format!("{host}:{}", state.last_port)
                }
                None => address.to_owned(),
            };
            // A dropped listener leaves a closed sender behind; its address is free again.
            if state.listeners.get(&local_address).is_some_and(|open| !open.is_closed()) {
                return Err(io::Error::new(io::ErrorKind::AddrInUse, local_address));
            }
            let (sender, arrivals) = mpsc::channel(BACKLOG);
            state.listeners.insert(local_address.clone(), sender);
            Ok(Box::new(MemoryAccept { arrivals, local_address }) as Box<dyn Listener>)
        })
    }

    fn connect<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxStream>> {
        Box::pin(async move {
            let refused = || io::Error::new(io::ErrorKind::ConnectionRefused, address.to_owned());
            let (listener, caller) = {
                let mut state = self.state();
                state.last_caller += 1;
                (state.listeners.get(address).cloned(), state.last_caller)
            };
            let listener = listener.ok_or_else(refused)?;
            let (near, far) = tokio::io::duplex(PIPE_OCTETS);
            listener.send((Box::new(far), format!("caller-{caller}"))).await.map_err(|_| refused())?;
            Ok(Box::new(near) as BoxStream)
        })
    }
}

struct MemoryAccept {
    arrivals: mpsc::Receiver<Arrival>,
    local_address: String,
}

impl Listener for MemoryAccept {
    fn local_address(&self) -> String {
        self.local_address.clone()
    }

    fn accept(&mut self) -> BoxFuture<'_, io::Result<Arrival>> {
        Box::pin(async move {
            match self.arrivals.recv().await {
                Some(arrival) => Ok(arrival),
                // The network itself is gone, so nobody can ever call.
                None => std::future::pending().await,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn addresses_behave_like_ports() {
        let network = MemoryNetwork::new();
        let mut listener = network.listen("hub:0").await.unwrap();
        let address = listener.local_address();
        assert_ne!(address, network.listen("hub:0").await.unwrap().local_address());
        assert_eq!(network.listen(&address).await.map(|_| ()).unwrap_err().kind(), io::ErrorKind::AddrInUse);

        let mut near = network.connect(&address).await.unwrap();
        let (mut far, _) = listener.accept().await.unwrap();
        near.write_all(b"hello").await.unwrap();
        drop(near);
        let mut heard = String::new();
        far.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "hello");

        drop(listener);
        let refused = network.connect(&address).await.map(|_| ()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(network.listen(&address).await.is_ok());
    }
}
