//! HTTPS: telemetry by request, and whatever the REST face answers beside it.
//!
//! A request is no session: it is admitted by itself, shows the device as seen, and evicts nobody.

mod casing;
mod stream;
mod telemetry;

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use api::Refusal;
use axum::{Extension, Router, routing::post};
use bytes::Bytes;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use service::places::Place;
use tower::Layer as _;

use super::guest::{Guest, House, Visitor};
use crate::admission::Admitted;
use casing::Casing;
use stream::WebStream;

/// Who calls: what its connection presented, and from where. Every request carries one among its extensions.
#[derive(Debug, Clone)]
pub struct Caller {
    visitor: Visitor,
    casing: Casing,
    last: Arc<Mutex<Option<Judged>>>,
    /// Its place among strangers, until it is known.
    stranger: Arc<Mutex<Option<Place>>>,
}

/// The last admission over a connection, and the state of revocations that it rests on.
#[derive(Debug, Clone)]
struct Judged {
    admitted: Arc<Admitted>,
    revocations: u64,
}

impl Caller {
    /// The certificates that were presented, DER, leaf first; nothing of them is judged. Empty where there were none.
    #[must_use]
    pub fn presented(&self) -> &[Bytes] {
        &self.visitor.presented
    }

    /// The caller is known: its connection makes no room for strangers any more.
    pub fn known(&self) {
        drop(self.stranger.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// Where the connection comes from.
    #[must_use]
    pub fn from(&self) -> SocketAddr {
        self.visitor.from
    }
}

/// The web server behind the HTTPS door.
#[derive(Clone)]
pub(super) struct Web {
    house: Arc<House>,
    router: Router,
}

impl Web {
    pub(super) fn new(house: &Arc<House>, rest: Router) -> Self {
        let router = Router::new()
            .route("/devices/{device}/messages/events", post(telemetry::receive))
            .with_state(Arc::clone(house))
            .fallback_service(rest);
        Self { house: Arc::clone(house), router }
    }

    /// Answers the requests of one connection until it ends. Octets that are no request are refused by status, and on record.
    pub(super) async fn serve(&self, guest: Guest) {
        let stream = WebStream::new(guest);
        let caller = stream.caller();
        let visitor = caller.visitor.clone();
        let requests = Extension(caller).layer(self.router.clone());
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(stream::SILENCE)
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(requests))
            .await;
        if let Err(error) = served
            && error.is_parse()
        {
            let refusal = Refusal::new("PACKET_MALFORMED", format!("what came is no HTTP request: {error}"));
            self.house.refused(&visitor, "", &refusal).await;
        }
    }
}
