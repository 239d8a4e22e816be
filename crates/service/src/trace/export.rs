//! Sending spans to a collector.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry::KeyValue;
use opentelemetry::trace::{SpanKind, TracerProvider as _};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider, SpanLimits,
};

use super::span::{self, Span};
use crate::config::TraceSection;
use crate::identity::SpiffeId;

/// Spans that may wait for the collector; what is beyond that is dropped, never waited for.
const QUEUE: usize = 8192;
/// Most spans in one message.
const BATCH: usize = 512;
/// Between two messages when there is little to send.
const INTERVAL: Duration = Duration::from_secs(1);
/// Until the collector has answered one message.
const ANSWER: Duration = Duration::from_secs(5);
/// For the last spans when the process ends.
const LAST: Duration = Duration::from_secs(2);
/// Attributes of a span; ours have four.
const ATTRIBUTES: u32 = 16;

/// Tracing of one process: off, or with a collector. Cheap to clone.
#[derive(Clone, Default)]
pub struct Tracing(Option<On>);

#[derive(Clone)]
struct On {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Tracing {
    /// No spans.
    #[must_use]
    pub fn off() -> Self {
        Self(None)
    }

    /// As the configuration says; within a runtime, in which the connection to the collector lives. Nothing is connected yet, and no
    /// request ever waits for the collector.
    ///
    /// # Errors
    /// When the collector's address is none.
    pub fn start(section: &TraceSection, service: &'static str, own: &SpiffeId) -> Result<Self, ExporterBuildError> {
        let Some(address) = &section.otlp else { return Ok(Self::off()) };
        let exporter = SpanExporter::builder().with_tonic().with_endpoint(address).with_timeout(ANSWER).build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(INTERVAL)
            .build();
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attributes([
                KeyValue::new("service.namespace", "countersign"),
                KeyValue::new("service.instance.id", own.to_string()),
            ])
            .build();
        let one_in = f64::from(section.one_in.max(1));
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(1.0 / one_in))))
            .with_span_limits(SpanLimits { max_attributes_per_span: ATTRIBUTES, ..SpanLimits::default() })
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("countersign");
        Ok(Self(Some(On { provider, tracer })))
    }

    /// The span of a call that this process makes by itself; what is called within it goes below.
    pub fn begin(&self, rpc: &'static str) -> Span {
        self.span(rpc, SpanKind::Client, &HeaderMap::new())
    }

    /// The span of a request, below the caller's.
    pub(crate) fn serve(&self, rpc: &str, headers: &HeaderMap) -> Span {
        self.span(rpc, SpanKind::Server, headers)
    }

    fn span(&self, rpc: &str, kind: SpanKind, headers: &HeaderMap) -> Span {
        match &self.0 {
            Some(on) => Span::start(&on.tracer, rpc, kind, &span::of_headers(headers)),
            None => Span::none(),
        }
    }

    /// Sends what is left, for at most 2 seconds.
    pub async fn finish(self) {
        let Some(on) = self.0 else { return };
        let ended = tokio::task::spawn_blocking(move || on.provider.shutdown_with_timeout(LAST)).await;
        if let Ok(Err(error)) = ended {
            tracing::warn!(%error, "the last spans did not reach the collector");
        }
    }
}
