//! Campaigns against real processes: killed, cut off from power, out of disk, failed by it, with damaged files. Sixteen clients keep
//! their own book of what they were told; afterwards the services must know all of that, to the octet, and not one unit more.
//!
//! `COUNTERSIGN_ROUNDS` makes a campaign longer; docs/reliability.md has the commands and the figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod book;
mod clients;
mod damaged;
mod disk;
mod ground;
mod inject;
mod killed;
mod power;
