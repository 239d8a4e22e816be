//! Rules of the house that a compiler does not know: which crate may see which, what pure crates must not touch, how long a file may
//! be, that every refusal is published. Each rule is a test; the reason for the rule stands in CONTRIBUTING.md or on the test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod arrows;
mod purity;
mod reasons;
mod reasons_in_use;
mod shape;
mod tokens;
mod tree;
mod words;
