//! A signer with lots of some units, which forgets nothing and can be told to fail. Its certificates are not X.509: the desk does not
//! read them, so they say lot and device, and end with the digest of the certified key.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use api::{
    Refusal,
    custody::v1::{HandoffFacts, Tally},
    issuance::v1::{
        DeviceCertificate, DeviceRequest, IssueDevicesRequest, IssueDevicesResponse, issue_devices_response,
    },
    lot::v1::{ListLotsRequest, ListLotsResponse, Lot, LotState},
};
use bytes::Bytes;
use hyper_util::rt::TokioIo;
use pki::CertificateRequest;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use tonic::{
    Request, Response, Status, Streaming,
    body::Body,
    server::{Grpc, NamedService},
    transport::{Channel, Endpoint, Server},
};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

/// What the signer knows and was asked.
#[derive(Default)]
pub(super) struct Books {
    /// Units left, by lot.
    pub(super) lots: BTreeMap<String, u32>,
    /// Certificates by request id.
    issued: BTreeMap<String, DeviceCertificate>,
    /// Every request that came, in order.
    pub(super) asked: Vec<DeviceRequest>,
    /// Refuses everything with this.
    pub(super) refuses: Option<Refusal>,
    /// Does the work and breaks the stream before the answer, so many times.
    pub(super) breaks: u32,
}

/// The signer as the desk reaches it.
#[derive(Clone)]
pub(super) struct FakeSigner {
    books: Arc<Mutex<Books>>,
    connections: mpsc::Sender<io::Result<DuplexStream>>,
}

impl FakeSigner {
    pub(super) fn start(lots: &[(&str, u32)]) -> Self {
        let lots = lots.iter().map(|(id, units)| ((*id).to_owned(), *units)).collect();
        let books = Arc::new(Mutex::new(Books { lots, ..Books::default() }));
        let (connections, incoming) = mpsc::channel(8);
        let server = Server::builder()
            .add_service(Lots(Arc::clone(&books)))
            .add_service(Issuance(Arc::clone(&books)))
            .serve_with_incoming(ReceiverStream::new(incoming));
        tokio::spawn(server);
        Self { books, connections }
    }

    pub(super) fn channel(&self) -> Channel {
        let connections = self.connections.clone();
        Endpoint::from_static("http://signer.invalid").connect_with_connector_lazy(service_fn(move |_| {
            let connections = connections.clone();
            async move {
                let (near, far) = tokio::io::duplex(64 * 1024);
                connections.send(Ok(far)).await.map_err(io::Error::other)?;
                Ok::<_, io::Error>(TokioIo::new(near))
            }
        }))
    }

    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap()
    }
}

impl Books {
    fn list(&self) -> ListLotsResponse {
        let lot = |(id, units): (&String, &u32)| Lot {
            facts: Some(HandoffFacts { lot: id.clone(), ..HandoffFacts::default() }),
            state: LotState::Open.into(),
            tally: Some(Tally { remaining: Some(u64::from(*units)), ..Tally::default() }),
            issues_devices: true,
            ..Lot::default()
        };
        ListLotsResponse { lots: self.lots.iter().map(lot).collect(), ..ListLotsResponse::default() }
    }

    fn issue(&mut self, request: DeviceRequest) -> Result<DeviceCertificate, Refusal> {
        self.asked.push(request.clone());
        if let Some(refusal) = &self.refuses {
            return Err(refusal.clone());
        }
        if let Some(before) = self.issued.get(&request.request_id) {
            return Ok(before.clone());
        }
        let unknown = || Refusal::new("LOT_UNKNOWN", "no such lot");
        let units = self.lots.get_mut(&request.lot).ok_or_else(unknown)?;
        *units = units.checked_sub(1).ok_or_else(|| Refusal::new("QUANTITY_SPENT", "no units left"))?;
        let key = CertificateRequest::parse(&request.csr).unwrap().public_key().sha256();
        let text = format!("certificate of {} in {} for ", request.device_id, request.lot);
        let certificate = DeviceCertificate {
            journal_position: 7,
            device_id: request.device_id.clone(),
            certificate: Bytes::from([text.as_bytes(), key.as_bytes().as_slice()].concat()),
            issuer_chain: vec![Bytes::from(format!("ca of {}", request.lot)), Bytes::from_static(b"ca above")],
            lot: request.lot,
            generation: 1,
        };
        self.issued.insert(request.request_id, certificate.clone());
        Ok(certificate)
    }
}

type Shared = Arc<Mutex<Books>>;
type Answers = Pin<Box<dyn Stream<Item = Result<IssueDevicesResponse, Status>> + Send>>;
type Served = Pin<Box<dyn Future<Output = Result<http::Response<Body>, Infallible>> + Send>>;

fn answers(books: Shared, mut requests: Streaming<IssueDevicesRequest>) -> Answers {
    let (results, answers) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Some(Ok(item)) = requests.next().await {
            let request = item.request.unwrap_or_default();
            let request_id = request.request_id.clone();
            let (result, breaks) = {
                let mut books = books.lock().unwrap();
                let result = match books.issue(request) {
                    Ok(certificate) => issue_devices_response::Result::Certificate(certificate),
                    Err(refusal) => issue_devices_response::Result::Refusal(refusal.to_wire()),
                };
                let breaks = books.breaks > 0;
                books.breaks = books.breaks.saturating_sub(1);
                (result, breaks)
            };
            let answer = IssueDevicesResponse { request_id, result: Some(result) };
            let answer = if breaks { Err(Status::unavailable("broken")) } else { Ok(answer) };
            if results.send(answer).await.is_err() || breaks {
                return;
            }
        }
    });
    Box::pin(ReceiverStream::new(answers))
}

/// The desk calls one RPC of each service, so these two faces answer one each, whatever else the services can do.
macro_rules! face {
    ($face:ident, $name:literal, $rpc:literal, |$books:ident, $request:ident| $serve:expr) => {
        #[derive(Clone)]
        struct $face(Shared);

        impl NamedService for $face {
            const NAME: &'static str = $name;
        }

        impl Service<http::Request<Body>> for $face {
            type Response = http::Response<Body>;
            type Error = Infallible;
            type Future = Served;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, $request: http::Request<Body>) -> Served {
                assert_eq!($request.uri().path(), concat!("/", $name, "/", $rpc));
                let $books = Arc::clone(&self.0);
                Box::pin(async move { Ok($serve.await) })
            }
        }
    };
}

face!(Lots, "countersign.lot.v1.LotService", "ListLots", |books, request| async move {
    let list = service_fn(move |_: Request<ListLotsRequest>| {
        let list = books.lock().unwrap().list();
        async move { Ok::<_, Status>(Response::new(list)) }
    });
    Grpc::new(ProstCodec::<ListLotsResponse, ListLotsRequest>::default()).unary(list, request).await
});

face!(Issuance, "countersign.issuance.v1.IssuanceService", "IssueDevices", |books, request| async move {
    let issue = service_fn(move |request: Request<Streaming<IssueDevicesRequest>>| {
        let answers = answers(Arc::clone(&books), request.into_inner());
        async move { Ok::<_, Status>(Response::new(answers)) }
    });
    Grpc::new(ProstCodec::<IssueDevicesResponse, IssueDevicesRequest>::default()).streaming(issue, request).await
});
