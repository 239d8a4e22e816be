//! The brand's gRPC faces: programs, manufacturers, orders. They read requests, run the work on worker threads, and write answers.

mod manufacturers;
mod orders;
mod registry;

use std::sync::Arc;

use api::Refusal;
use mfg::Bundle;
use tonic::{Response, Status};

use crate::orders::Orders;

/// Everything the brand's faces need.
#[derive(Clone)]
pub(crate) struct BrandRpc {
    pub(crate) orders: Arc<Orders>,
}

impl BrandRpc {
    async fn run<T, F>(&self, work: F) -> Result<Response<T>, Status>
    where
        T: Send + 'static,
        F: FnOnce(&Orders) -> Result<T, Refusal> + Send + 'static,
    {
        let orders = Arc::clone(&self.orders);
        let workers = orders.authority.seams.workers;
        Ok(Response::new(workers.run(move || work(&orders)).await?))
    }
}

/// The trust bundle: the anchor, the brand's identity key, every one that is or was registered, the programs, and the state of
/// every manufacturer.
///
/// # Errors
/// What the store says; `JOURNAL_DAMAGED` when a registration does not read.
pub(crate) fn bundle(orders: &Orders) -> Result<Bundle, Refusal> {
    let mut bundle = orders.own_bundle();
    registry::complete(orders, &mut bundle)?;
    Ok(bundle)
}
