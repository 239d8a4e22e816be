//! TLS as a device does it: the whole chain is presented, and the hub must be whom its certificate names.

use std::{io, sync::Arc};

use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{DeviceError, DevicePlan, IdentityError, PATIENCE};

pub(super) type Stream = TlsStream<TcpStream>;

pub(super) async fn connect(plan: &DevicePlan) -> Result<Stream, DeviceError> {
    let address = format!("{}:{}", plan.host, plan.port);
    let unreachable = |source| DeviceError::Unreachable { address: address.clone(), source };
    let config = config(plan)?;
    let name = ServerName::try_from(plan.host.clone())
        .map_err(|error| unreachable(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let tcp = timeout(PATIENCE, TcpStream::connect(&address))
        .await
        .unwrap_or_else(|late| Err(late.into()))
        .map_err(unreachable)?;
    tcp.set_nodelay(true).map_err(unreachable)?;
    let connected = timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, tcp)).await;
    connected.unwrap_or_else(|late| Err(late.into())).map_err(|error| {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(_)) => DeviceError::HubNotBelieved(error),
            Some(rustls::Error::AlertReceived(alert)) => DeviceError::Refused(format!("TLS alert {alert:?}")),
            _ => unreachable(error),
        }
    })
}

fn config(plan: &DevicePlan) -> Result<ClientConfig, DeviceError> {
    let unfit = |error: rustls::Error| DeviceError::Identity(IdentityError::Unfit(error.to_string()));
    let mut roots = RootCertStore::empty();
    for der in &plan.anchors {
        let untrusted = |error: rustls::Error| DeviceError::HubNotBelieved(io::Error::other(error));
        roots.add(CertificateDer::from(der.clone())).map_err(untrusted)?;
    }
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(unfit)?
        .with_root_certificates(roots)
        .with_client_auth_cert(plan.identity.chain.clone(), plan.identity.key.clone_key())
        .map_err(unfit)
}
