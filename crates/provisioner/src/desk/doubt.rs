//! What the line must still look at: units in doubt, and deliveries that were set aside.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::record::Fact,
    provisioning::v1::{Quarantined, UnitInDoubt},
};
use mfg::DeviceState;
use pki::{Sha256, UnixTime};
use records::{Act, keys, page, read, refuse_store, scan, wire};
use store::{Position, Record, Store};

use super::Desk;
use crate::{
    outbox,
    unit::{Stage, UnitOnRecord},
};

/// A page with the journal position at which the next one goes on.
type UnitsPage = (Vec<UnitInDoubt>, Option<Position>);

impl Desk {
    /// Units of a lot, or of every lot, that were issued and not confirmed, in the order of issuing from a journal position on.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn in_doubt(
        &self,
        lot: Option<String>,
        from: Position,
        limit: usize,
    ) -> Result<UnitsPage, Refusal> {
        let store = Arc::clone(&self.store);
        self.workers
            .run(move || {
                let store = store.as_ref();
                scan(store, from, limit, |record| still_in_doubt(store, lot.as_deref(), record))
            })
            .await
    }

    /// What was set aside, by name.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) async fn quarantine(
        &self,
        after: Option<String>,
        limit: usize,
    ) -> Result<(Vec<Quarantined>, Option<String>), Refusal> {
        let store = Arc::clone(&self.store);
        self.workers.run(move || quarantine(store.as_ref(), after.as_deref(), limit)).await
    }

    /// Has everything sent again that is aside for a destination; on record when this returns.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` for an unknown destination, `REQUEST_ID_REUSED`, what the store says.
    pub(crate) async fn send_again(&self, act: Act, destination: String) -> Result<(), Refusal> {
        let store = Arc::clone(&self.store);
        self.workers.run(move || outbox::ask_again(store.as_ref(), &act, &destination)).await?;
        self.outbox.send_replace(());
        Ok(())
    }
}

/// The unit whose certificate is recorded here, if it is of that lot, this is its newest and nobody has confirmed it.
fn still_in_doubt(store: &dyn Store, lot: Option<&str>, record: &Record) -> Result<Option<UnitInDoubt>, Refusal> {
    let (entry, Fact::UnitIssued(issued)) = read(record)? else { return Ok(None) };
    if lot.is_some_and(|lot| issued.lot != lot) {
        return Ok(None);
    }
    let newest = store.get(&keys::unit(&issued.device_id)).map_err(|e| refuse_store(&e))?;
    let newest = newest.map(|newest| UnitOnRecord::from_record(store, &newest)).transpose()?.flatten();
    let Some(newest) = newest.map(|unit| unit.restored(store)).transpose()? else { return Ok(None) };
    let Stage::Issued(stands) = &newest.stage else { return Ok(None) };
    if stands.at != record.position.as_u64() || stands.state != DeviceState::Issued {
        return Ok(None);
    }
    Ok(Some(UnitInDoubt {
        device_id: issued.device_id,
        lot: issued.lot,
        certificate_sha256: wire::digest(&Sha256::of(&issued.certificate)),
        issued_at: Some(wire::timestamp(UnixTime::new(entry.at))),
    }))
}

fn quarantine(
    store: &dyn Store,
    after: Option<&str>,
    limit: usize,
) -> Result<(Vec<Quarantined>, Option<String>), Refusal> {
    let listed = store.list(outbox::QUARANTINE, after, limit).map_err(|e| refuse_store(&e))?;
    let next = page::end(&listed, limit);
    let mut deliveries = Vec::with_capacity(listed.len());
    for (_, record) in &listed {
        let (Some(aside), (entry, _)) = (outbox::held(record)?, read(record)?) else { continue };
        deliveries.push(Quarantined {
            destination: aside.destination,
            device_id: aside.device_id,
            position: aside.position,
            refusal: aside.refusal,
            at: Some(wire::timestamp(UnixTime::new(entry.at))),
        });
    }
    Ok((deliveries, next))
}
