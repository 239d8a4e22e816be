//! One trace from the station to the signer: spans per call, carried on as W3C `traceparent`, sent to a collector over OTLP.
//!
//! The guard starts a span for every request and puts it around the handler's task. From there it is found without being handed on:
//! [`calling`] starts the span of a call that the handler makes, [`serving`] that of an item which came on a stream, and [`carried`] takes
//! the present span into a task that is spawned. Without a `[trace]` section no request has a span, and all of these do nothing.
//!
//! Only the two ids and the sampling flag travel: no `tracestate`, no baggage, so that nobody's vendor data reaches another organisation.

mod export;
mod span;

pub use export::Tracing;
pub use span::{Span, calling, carried, serving};
pub(crate) use span::{TRACEPARENT, below_present};
