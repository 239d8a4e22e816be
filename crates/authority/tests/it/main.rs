//! An authority at its edge: what a crash leaves is completed or voided, handoffs read back as they stand, lots that cannot sign say so;
//! nothing is lost, nothing is there twice, and never is there one unit too many, whatever fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod clock;
mod compared;
mod crowd;
mod handoffs;
mod lots;
mod model;
mod paper;
mod recovery;
mod repetition;
mod restored;
mod sequences;
mod shop;
mod signer;
mod steps;
mod world;
