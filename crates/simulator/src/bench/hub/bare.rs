//! What the cryptography alone allows: handshakes with a server that verifies the client's chain and does nothing else.

use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::{RootCertStore, ServerConfig, crypto::aws_lc_rs, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use service::net::{Network as _, TcpNetwork};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::TlsAcceptor;

use super::{
    crowd::{Came, each},
    fleet::{Fleet, Stream},
};
use crate::{bench::usage::Processor, world::World};

/// A handshake of every device, both ends on this machine's cores as with the hub. It is done when the server has said one octet: then
/// it has verified the client's chain, which a client of TLS 1.3 does not wait for.
pub(super) async fn handshakes(world: &World, fleet: &Arc<Fleet>, at_one_time: usize) -> anyhow::Result<Came<Stream>> {
    let before = Processor::so_far(&[])?;
    let acceptor = TlsAcceptor::from(Arc::new(config(world)?));
    let mut listener = TcpNetwork.listen("127.0.0.1:0").await?;
    let door: Arc<str> = listener.local_address().into();
    let server = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let _ = stream.write_all(&[1]).await;
                let _ = stream.flush().await;
                // Until the client is gone, as a session would.
                let _ = stream.read_u8().await;
            });
        }
    });
    let came = each(fleet, at_one_time, move |device| {
        let door = Arc::clone(&door);
        async move {
            let mut stream = device.connect(&door).await?;
            stream.read_u8().await?;
            Ok(stream)
        }
    });
    let came = came.await?;
    server.abort();
    ensure!(came.refused.is_empty(), "a bare server refused {:?}", came.refused);
    Ok(Came { spent: Processor::so_far(&[])?.since(before), ..came })
}

/// The hub's own certificate, and the root that the hub was told of.
fn config(world: &World) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let folder = world.brand.folder();
    let chain = CertificateDer::pem_slice_iter(&folder.read("hub-devices.pem")?).collect::<Result<Vec<_>, _>>();
    let key = PrivateKeyDer::from_pem_slice(&folder.read("hub-devices.key")?);
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_slice_iter(&world.trust().read("root.pem")?) {
        roots.add(root.context("the root is no PEM")?)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain.context("the hub's certificate is no PEM")?, key.context("the hub's key is no PEM")?)?;
    config.send_tls13_tickets = 0;
    Ok(config)
}
