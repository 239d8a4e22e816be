//! Do verifiers that we did not write agree with what the services issue?
//!
//! Each test takes a demo's directory, made once for each number of hops by the `countersign` command. What outside programs think of
//! it is asked by `check-demo.sh`, which CI also runs on a release build; those tests are ignored where the program may be missing.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod demo;
mod embedded;
mod keys;
mod line;
mod outside;
mod python;
mod stolen;
mod verify;
