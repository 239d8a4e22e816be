//! MQTT 3.1.1 as this kind of hub speaks it: no broker, but one session a device with a handful of topics.
//!
//! [`greet`] reads CONNECT and has it judged; [`session`] is the loop of an open session; `up` is what the device says, `down` what it
//! is told.

mod down;
mod fault;
mod greet;
mod session;
mod subscriptions;
mod up;

use std::sync::Arc;

use super::guest::{Guest, House};

use subscriptions::Subscriptions;
pub(super) use up::{http_status, problem, twin_document};

/// Serves one connection from its first packet to its end.
pub(super) async fn serve(house: Arc<House>, guest: Guest) {
    if let Some(session) = greet::greet(house, guest).await {
        session.live().await;
    }
}
