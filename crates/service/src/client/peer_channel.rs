//! A channel that carries the caller's trace on, makes calls again that a connection took with it, and knows whether the peer was
//! reached.

use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response};
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower::Service;

use super::unsent;
use crate::metrics::{Counter, Family, Gauge, Metrics};
use crate::net::BoxFuture;
use crate::refusal::reason_of;
use crate::tls::ExpectedPeer;
use crate::trace;

/// What the services' generated clients call through. Clones share one connection; when that ends, a call without an answer is made again
/// over the next, so a service called this way must answer a repeated request with what came of it the first time.
#[derive(Debug, Clone)]
pub struct PeerChannel {
    channel: Channel,
    reach: Reach,
}

/// Whether a peer was reached by the newest call, and how many calls did not reach it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reach {
    reachable: Gauge,
    failures: Counter,
}

/// The reaches of all peers that this process calls: as many as are configured.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reaches {
    reachable: Family<[(&'static str, String); 1], Gauge>,
    failures: Family<[(&'static str, String); 1], Counter>,
}

impl Reaches {
    pub(crate) fn register(metrics: &Metrics) -> Self {
        let reaches = Self::default();
        let help = "1 when the newest call reached the peer, 0 when it did not, -1 before the first";
        metrics.register("upstream_reachable", help, reaches.reachable.clone());
        metrics.register("upstream_failures", "Calls that did not reach the peer", reaches.failures.clone());
        reaches
    }

    pub(crate) fn of(&self, peer: &ExpectedPeer) -> Reach {
        let label = [("upstream", peer.to_string())];
        let reachable = self.reachable.get_or_create_owned(&label);
        reachable.set(-1);
        Reach { reachable, failures: self.failures.get_or_create_owned(&label) }
    }
}

impl PeerChannel {
    pub(crate) fn watched(channel: Channel, reach: Reach) -> Self {
        Self { channel, reach }
    }
}

impl From<Channel> for PeerChannel {
    /// Over a channel that nobody watches.
    fn from(channel: Channel) -> Self {
        Self { channel, reach: Reach::default() }
    }
}

impl Service<Request<Body>> for PeerChannel {
    type Response = Response<Body>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Body>, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.channel.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let span = trace::below_present(request.uri().path());
        if let Ok(value) = HeaderValue::try_from(span.traceparent())
            && !value.is_empty()
        {
            request.headers_mut().insert(trace::TRACEPARENT, value);
        }
        // The clone that was polled ready is the one to call (tower::Service, "be careful when cloning").
        let next = self.channel.clone();
        let (ready, reach) = (std::mem::replace(&mut self.channel, next), self.reach.clone());
        Box::pin(async move {
            let answer = unsent::call(ready, request).await;
            reach.note(answer.is_ok());
            span.end(match &answer {
                Ok(response) => reason_of(response),
                Err(_) => Some("UPSTREAM_UNREACHABLE"),
            });
            answer
        })
    }
}

impl Reach {
    fn note(&self, reached: bool) {
        self.reachable.set(i64::from(reached));
        if !reached {
            self.failures.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;
    use tonic::transport::{Endpoint, Server};
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_client::HealthClient;

    use super::*;
    use crate::identity::Role;

    #[tokio::test]
    async fn a_peer_that_answers_was_reached_even_if_it_refuses() {
        let metrics = Metrics::new();
        let peer = ExpectedPeer { manufacturer: "factory-y".parse().unwrap(), role: Role::IntermediateCa };
        let reach = Reaches::register(&metrics).of(&peer);
        let tells = |name: &str, value: i64| {
            let told = metrics.encode().unwrap();
            let line = format!("countersign_upstream_{name}{{upstream=\"factory-y/intermediate-ca\"}} {value}\n");
            assert!(told.contains(&line), "{line} is not in {told}");
        };
        tells("reachable", -1);

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (_, health) = tonic_health::server::health_reporter();
        tokio::spawn(Server::builder().add_service(health).serve_with_incoming(TcpListenerStream::new(listener)));
        let channel = Endpoint::from_shared(address).unwrap().connect_lazy();
        let mut client = HealthClient::new(PeerChannel::watched(channel, reach.clone()));
        client.check(HealthCheckRequest::default()).await.unwrap();
        tells("reachable", 1);
        let unknown = HealthCheckRequest { service: "unheard of".to_owned() };
        assert_eq!(client.check(unknown).await.unwrap_err().code(), tonic::Code::NotFound);
        tells("reachable", 1);
        tells("failures_total", 0);

        let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let channel = Endpoint::from_shared(format!("http://{nobody}")).unwrap().connect_lazy();
        let mut client = HealthClient::new(PeerChannel::watched(channel, reach));
        client.check(HealthCheckRequest::default()).await.unwrap_err();
        tells("reachable", 0);
        tells("failures_total", 1);
    }
}
