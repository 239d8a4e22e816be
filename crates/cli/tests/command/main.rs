//! The `countersign` command as people and scripts call it: what it prints, and how it ends.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod backup;
mod batches;
mod ceremony;
mod chain;
mod demo_folder;
mod explain;
mod forged_hop;
mod forger;
mod handoff_files;
mod init;
mod inspect;
mod mentioned;
mod operating;
mod orders;
mod run;
mod samples;
mod verify;
mod walk;
mod who;
