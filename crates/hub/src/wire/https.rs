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

use axum::{
    Router,
    extract::{ConnectInfo, connect_info::Connected},
    middleware::map_request,
    routing::post,
    serve::IncomingStream,
};
use bytes::Bytes;
use http::Request;
use service::places::Place;
use tokio::sync::mpsc;

use super::guest::{Guest, House, Visitor};
use crate::admission::Admitted;
use casing::Casing;
use stream::{WebListener, WebStream};

/// Connections that finished their handshake and wait to be taken over.
const HANDOVER: usize = 64;

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
#[derive(Debug, Clone)]
pub(super) struct Web(mpsc::Sender<WebStream>);

impl Web {
    /// Starts to serve; it ends when the house closes.
    pub(super) fn new(house: &Arc<House>, rest: Router) -> Self {
        let (sender, streams) = mpsc::channel(HANDOVER);
        let router = Router::new()
            .route("/devices/{device}/messages/events", post(telemetry::receive))
            .with_state(Arc::clone(house))
            .fallback_service(rest)
            .layer(map_request(introduce));
        let stop = house.stop.clone();
        tokio::spawn(async move {
            let listener = WebListener(streams);
            let served = axum::serve(listener, router.into_make_service_with_connect_info::<Caller>());
            tokio::select! {
                _ = served.into_future() => {}
                () = stop.cancelled() => {}
            }
        });
        Self(sender)
    }

    /// Hands the connection over.
    pub(super) async fn serve(&self, guest: Guest) {
        // Nobody takes it when the process is stopping; it is closed then.
        let _ = self.0.send(WebStream::new(guest)).await;
    }
}

impl Connected<IncomingStream<'_, WebListener>> for Caller {
    fn connect_info(stream: IncomingStream<'_, WebListener>) -> Self {
        stream.io().caller()
    }
}

async fn introduce<B>(ConnectInfo(caller): ConnectInfo<Caller>, mut request: Request<B>) -> Request<B> {
    request.extensions_mut().insert(caller);
    request
}
