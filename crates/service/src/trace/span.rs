//! Spans, and how the present one is found.

use std::future::Future;
use std::sync::Arc;

use http::HeaderMap;
use opentelemetry::propagation::{Extractor, TextMapPropagator};
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceContextExt, Tracer};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracer;

/// The name of the header, and of the fields of messages that carry the same for one item of a stream.
pub(crate) const TRACEPARENT: &str = "traceparent";

tokio::task_local! {
    static PRESENT: Arc<Active>;
}

/// A span that has begun, and what makes others below it.
struct Active {
    tracer: SdkTracer,
    context: Context,
}

/// The span of one call, or of none when nobody traces. It ends with [`Span::end`], or without an outcome when it is dropped.
#[must_use]
pub struct Span(Option<Arc<Active>>);

impl Span {
    /// No span: tracing is off.
    pub(super) fn none() -> Self {
        Self(None)
    }

    pub(super) fn start(tracer: &SdkTracer, rpc: &str, kind: SpanKind, parent: &Context) -> Self {
        let name = rpc.trim_start_matches('/');
        let (service, method) = name.rsplit_once('/').unwrap_or((name, ""));
        let attributes = [
            KeyValue::new("rpc.system", "grpc"),
            KeyValue::new("rpc.service", service.to_owned()),
            KeyValue::new("rpc.method", method.to_owned()),
        ];
        let builder = tracer.span_builder(name.to_owned()).with_kind(kind).with_attributes(attributes);
        let context = parent.with_span(tracer.build_with_context(builder, parent));
        Self(Some(Arc::new(Active { tracer: tracer.clone(), context })))
    }

    /// Does the work within this span: it is the present one for all that the work does in its own task.
    pub async fn around<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(active) => PRESENT.scope(Arc::clone(active), work).await,
            None => work.await,
        }
    }

    /// What a callee is told, as W3C Trace Context says (section 3.2); empty without a span.
    #[must_use]
    pub fn traceparent(&self) -> String {
        self.0.as_ref().map(|active| written(active.context.span().span_context())).unwrap_or_default()
    }

    /// The trace's id, if there is a span.
    pub(crate) fn trace_id(&self) -> Option<impl std::fmt::Display + use<>> {
        self.0.as_ref().map(|active| active.context.span().span_context().trace_id())
    }

    /// Ends the span: answered, or refused for a published reason.
    pub fn end(self, refused: Option<&'static str>) {
        let Some(active) = &self.0 else { return };
        let span = active.context.span();
        match refused {
            None => span.set_attribute(KeyValue::new("countersign.reason", "OK")),
            Some(reason) => {
                span.set_attribute(KeyValue::new("countersign.reason", reason));
                span.set_status(Status::error(reason));
            }
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // Tasks that were spawned within it may hold the span longer than it lasts.
        if let Some(active) = &self.0 {
            active.context.span().end();
        }
    }
}

/// The span of a call that is about to be made, below the present one.
pub fn calling(rpc: &'static str) -> Span {
    below_present(rpc)
}

pub(crate) fn below_present(rpc: &str) -> Span {
    let started = PRESENT.try_with(|active| Span::start(&active.tracer, rpc, SpanKind::Client, &active.context));
    started.unwrap_or_else(|_| Span::none())
}

/// The span of one item that came on a stream with the sender's `traceparent`; without a legible one, below the present span.
pub fn serving(rpc: &'static str, traceparent: &str) -> Span {
    let started = PRESENT.try_with(|active| {
        let parent = remote(&One(traceparent));
        let parent = if parent.has_active_span() { &parent } else { &active.context };
        Span::start(&active.tracer, rpc, SpanKind::Server, parent)
    });
    started.unwrap_or_else(|_| Span::none())
}

/// The work, within the span that is present now: for tasks that are spawned.
pub fn carried<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let present = PRESENT.try_with(Arc::clone).ok();
    async move {
        match present {
            Some(active) => PRESENT.scope(active, work).await,
            None => work.await,
        }
    }
}

/// The caller's span as the headers tell it; none when they tell nothing legible.
pub(super) fn of_headers(headers: &HeaderMap) -> Context {
    let told = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    remote(&One(told.unwrap_or_default()))
}

fn remote(told: &One<'_>) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), told)
}

fn written(context: &SpanContext) -> String {
    format!("00-{}-{}-{:02x}", context.trace_id(), context.span_id(), context.trace_flags().to_u8())
}

/// Headers of which one counts.
struct One<'a>(&'a str);

impl Extractor for One<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == TRACEPARENT).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;

    use super::*;

    const TOLD: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const TRACE: &str = "00-0af7651916cd43dd8448eb211c80319c-";

    fn served(headers: &HeaderMap) -> (SdkTracerProvider, Span) {
        let provider = SdkTracerProvider::builder().build();
        let span = Span::start(&provider.tracer("test"), "/a.B/C", SpanKind::Server, &of_headers(headers));
        (provider, span)
    }

    #[tokio::test]
    async fn a_trace_goes_on_through_calls_items_and_spawned_tasks() {
        let (_provider, span) = served(&HeaderMap::from_iter([(
            http::HeaderName::from_static(TRACEPARENT),
            http::HeaderValue::from_static(TOLD),
        )]));
        assert!(span.traceparent().starts_with(TRACE) && span.traceparent() != TOLD);
        let call = span.around(async { calling("/d.E/F").traceparent() }).await;
        assert!(call.starts_with(TRACE) && call != span.traceparent(), "{call}");
        let spawned = span.around(async { tokio::spawn(carried(async { calling("/d.E/F").traceparent() })).await });
        assert!(spawned.await.unwrap().starts_with(TRACE));
        let other = "00-11111111111111111111111111111111-2222222222222222-01";
        let item = span.around(async { serving("/a.B/C", other).traceparent() }).await;
        assert!(item.starts_with("00-11111111111111111111111111111111-"), "the item's own trace: {item}");
        for illegible in ["", "00-zz", "00-00000000000000000000000000000000-b7ad6b7169203331-01", &"0".repeat(10_000)] {
            let item = span.around(async { serving("/a.B/C", illegible).traceparent() }).await;
            assert!(item.starts_with(TRACE), "{illegible:.20}: {item}");
        }
    }

    #[tokio::test]
    async fn without_tracing_there_is_no_span_anywhere() {
        let span = Span::none();
        let told = span.around(async { calling("/a.B/C").traceparent() + &serving("/a.B/C", TOLD).traceparent() });
        assert_eq!(told.await, "");
        assert!(span.traceparent().is_empty() && span.trace_id().is_none());
    }

    #[test]
    fn a_caller_that_tells_nothing_legible_begins_a_trace() {
        let (_provider, span) = served(&HeaderMap::new());
        assert_eq!(span.traceparent().len(), TOLD.len());
        assert!(!span.traceparent().contains("00000000000000000000000000000000"), "{}", span.traceparent());
    }
}
