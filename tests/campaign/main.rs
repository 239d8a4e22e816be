//! Campaigns against real processes: killed, cut off from power, out of disk, failed by it, with damaged files, with a clock that
//! jumps. Sixteen clients keep their own book of what they were told; afterwards the services must know all of that, to the octet, and not one unit more.
//!
//! What they do is a [`ground::Work`]: devices ([`issuing`]), orders ([`orders`]), lots that pass on ([`custody`]), the hub
//! ([`registry`]), twins and messages to devices ([`talk`]); each is made of stories ([`story`]), and a story of calls ([`deed`]). What is done to the services meanwhile is in
//! the other modules.
//!
//! `COUNTERSIGN_CAMPAIGNS=long` makes them long; docs/reliability.md has the commands and the figures.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod book;
mod clients;
mod clock;
mod custody;
mod damaged;
mod deed;
mod disk;
mod ground;
mod inject;
mod issuing;
mod killed;
mod many;
mod orders;
mod power;
mod rebuilt;
mod registry;
mod started;
mod story;
mod talk;
