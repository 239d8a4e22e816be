//! One trace from the station to the signer, as a collector sees it.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use api::{
    provisioning::v1::{ProvisionRequest, ProvisionStreamRequest, ScrapUnitRequest},
    reason::v1::Reason,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value},
};
use tokio::{net::TcpListener, sync::Notify};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status, transport::Server};

use crate::{
    answers::refused,
    devices::{Device, Line},
    operated::{log, metrics, reconfigure},
    world::{At, Chain, fresh_id},
};

const LOT: &str = "t7";
const PROVISION: &str = "countersign.provisioning.v1.ProvisioningService/Provision";
const PROVISION_STREAM: &str = "countersign.provisioning.v1.ProvisioningService/ProvisionStream";
const ISSUE_DEVICES: &str = "countersign.issuance.v1.IssuanceService/IssueDevices";
const VALIDATE: &str = "countersign.issuance.v1.IssuanceService/ValidateDevice";

/// A span as it arrived.
#[derive(Debug, Clone)]
struct Span {
    service: String,
    name: String,
    kind: i32,
    id: Vec<u8>,
    parent: Vec<u8>,
    reason: String,
}

/// A collector that keeps what it is sent, by trace id.
#[derive(Clone, Default)]
struct Collector {
    spans: Arc<Mutex<BTreeMap<String, Vec<Span>>>>,
    more: Arc<Notify>,
}

impl Collector {
    /// Listens; answers where.
    async fn start() -> (Self, String) {
        let collector = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, address)
    }

    /// The spans of a trace, once there are so many.
    async fn trace(&self, id: &str, spans: usize) -> Vec<Span> {
        let arrived = async {
            loop {
                let more = self.more.notified();
                let so_far = self.spans.lock().unwrap().get(id).cloned().unwrap_or_default();
                if so_far.len() >= spans {
                    return so_far;
                }
                more.await;
            }
        };
        let arrived = tokio::time::timeout(Duration::from_secs(30), arrived).await;
        arrived.unwrap_or_else(|_| panic!("of trace {id} arrived {:?}", self.spans.lock().unwrap().get(id)))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for resource in request.into_inner().resource_spans {
            let service = text(&resource.resource.unwrap_or_default().attributes, "service.name");
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                let trace = span.trace_id.iter().map(|octet| format!("{octet:02x}")).collect();
                let reason = text(&span.attributes, "countersign.reason");
                let (id, parent) = (span.span_id, span.parent_span_id);
                let kept = Span { service: service.clone(), name: span.name, kind: span.kind, id, parent, reason };
                self.spans.lock().unwrap().entry(trace).or_default().push(kept);
            }
        }
        self.more.notify_waiters();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let value = attributes.iter().find(|attribute| attribute.key == key).and_then(|found| found.value.clone());
    match value.and_then(|value| value.value) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

/// A chain whose line sends its spans to a collector.
async fn traced() -> (Chain, tempfile::TempDir, Collector) {
    let (collector, address) = Collector::start().await;
    let (mut chain, folder) = Chain::alone().await;
    for at in [At::TechnicianCa, At::Provisioner] {
        reconfigure(&mut chain, at, &[("otlp", &format!("{address:?}"))]).await;
    }
    (chain, folder, collector)
}

/// A station's own span: its trace id, and what it tells.
fn of_station(number: u8) -> (String, String) {
    let trace = format!("{number:02x}").repeat(16);
    (trace.clone(), format!("00-{trace}-00f067aa0ba902b7-01"))
}

fn told<T>(message: T, traceparent: &str) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    request
}

/// The one span of this service with this name, of a server (2) or a client (3).
#[track_caller]
fn one<'a>(spans: &'a [Span], service: &str, name: &str, kind: i32) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|s| s.service == service && s.name == name && s.kind == kind).collect();
    assert_eq!(found.len(), 1, "spans of {service} called {name}: {spans:?}");
    found[0]
}

#[tokio::test]
async fn a_units_way_from_the_station_to_the_signer_is_one_trace() {
    let (chain, _folder, collector) = traced().await;
    let (trace, parent) = of_station(0x11);
    let request = Some(Device::new("traced-1").at_line(Some(LOT)));
    let mut line = chain.line();
    line.provision(told(ProvisionRequest { request, validate_only: false }, &parent)).await.unwrap();

    let spans = collector.trace(&trace, 3).await;
    let asked = one(&spans, "provisioner", PROVISION, 2);
    let calls = one(&spans, "provisioner", ISSUE_DEVICES, 3);
    let signs = one(&spans, "intermediate-ca", ISSUE_DEVICES, 2);
    assert_eq!(asked.parent, [0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7], "below the station's");
    assert_eq!((&calls.parent, &signs.parent), (&asked.id, &calls.id), "one below the other");
    assert_eq!([asked, calls, signs].map(|span| span.reason.as_str()), ["OK"; 3]);
    assert!(log(&chain, At::Provisioner).contains(&format!("trace={trace}")), "the log tells which trace");
}

#[tokio::test]
async fn requests_on_one_stream_and_calls_of_their_own_keep_their_traces_apart() {
    let (chain, _folder, collector) = traced().await;
    let item = |number: u8| ProvisionStreamRequest {
        request: Some(Device::new(&format!("traced-{number}")).at_line(Some(LOT))),
        traceparent: of_station(number).1,
    };
    let items = tokio_stream::iter([item(0x21), item(0x22)]);
    let mut answers = chain.line().provision_stream(items).await.unwrap().into_inner();
    while answers.message().await.unwrap().is_some() {}
    for number in [0x21, 0x22] {
        let spans = collector.trace(&of_station(number).0, 3).await;
        let (asked, signs) =
            (one(&spans, "provisioner", PROVISION_STREAM, 2), one(&spans, "intermediate-ca", ISSUE_DEVICES, 2));
        assert_eq!((spans.len(), asked.reason.as_str(), signs.reason.as_str()), (3, "OK", "OK"), "{spans:?}");
    }

    // A call of the provisioner's own, and a refusal: the reason stands at every span.
    let (trace, parent) = of_station(0x23);
    let request = Some(Device::new("traced-x").at_line(Some("nowhere")));
    let answer = chain.line().provision(told(ProvisionRequest { request, validate_only: true }, &parent)).await;
    refused(answer, Reason::LotUnknown, Code::NotFound);
    let spans = collector.trace(&trace, 3).await;
    let wanted = [("provisioner", PROVISION, 2), ("provisioner", VALIDATE, 3), ("intermediate-ca", VALIDATE, 2)];
    for (service, name, kind) in wanted {
        assert_eq!(one(&spans, service, name, kind).reason, "LOT_UNKNOWN", "{service} {name}");
    }
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_is_not_there() {
    let (mut chain, _folder) = Chain::alone().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    reconfigure(&mut chain, At::Provisioner, &[("otlp", &format!("\"http://{gone}\""))]).await;
    let line = Line::of(&chain);
    for number in 0..20 {
        line.provision(&Device::new(&format!("untraced-{number}")).at_line(Some(LOT))).await;
    }
    let scrap = ScrapUnitRequest { request_id: fresh_id(), device_id: "untraced-0".to_owned(), why: "bent".to_owned() };
    chain.line().scrap_unit(scrap).await.unwrap();
    assert!(metrics(&chain, At::Provisioner).await.contains("countersign_units_answered_total 20\n"));
    chain.world.stop().await.unwrap();
}
