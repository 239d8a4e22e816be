//! Real processes: killed and started again, refused at the start, ended; exit codes and standard output as promised.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod again;
mod command;
mod demo;
mod end;
mod handoff_killed;
mod hub;
mod hub_verbs;
mod line_killed;
mod outage;
mod passphrase;
mod people;
mod room;
mod scripts;
mod sdk;
mod set_aside;
mod standing;
mod start;
mod stay;
mod world;
