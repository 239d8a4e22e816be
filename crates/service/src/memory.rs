//! The allocator of every process (docs/decisions/0022).

/// Used by every program that links this crate.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
