//! The doors from outside: real TLS over TCP on port 0, a registry of the tests' own, and clients that speak packet by packet.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

mod amqp;
mod client;
mod doors;
mod flood;
mod hoarding;
mod hostile;
mod house;
mod https;
mod keep_alive;
mod methods;
mod mqtt;
mod porter;
mod sdk;
mod withdrawn;
mod world;
