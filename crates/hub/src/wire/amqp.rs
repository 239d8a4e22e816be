//! AMQP 1.0 as this kind of hub speaks it with X.509: no SASL, a few links, each with a meaning.
//!
//! [`greet`] reads the protocol header and Open and has the device judged; [`connection`] is the loop of an open connection; `attach`
//! makes and unmakes links, `up` is what the device sends, `down` what it is sent.

mod attach;
mod connection;
mod down;
mod fault;
mod greet;
mod link;
mod message;
mod up;

use std::sync::Arc;

use super::guest::{Guest, House};

/// Serves one connection from its first octets to its end.
pub(super) async fn serve(house: Arc<House>, guest: Guest) {
    if let Some(connection) = greet::greet(house, guest).await {
        connection.live().await;
    }
}
