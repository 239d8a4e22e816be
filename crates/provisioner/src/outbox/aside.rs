//! What was set aside: listed by destination and journal position, until it is released.

use api::{
    Refusal,
    journal::v1::{OutboxQuarantined, OutboxReleased, record::Fact},
};
use records::{Act, read, refuse_store};
use store::{Entry, Position, Record, Store, Unit};

use super::Delivery;

/// The collection of deliveries that were set aside. Those that were released since stand there too, as such.
pub(crate) const QUARANTINE: &str = "quarantine";

/// The delivery of an entry, unless it was released.
///
/// # Errors
/// What the record says.
pub(crate) fn held(record: &Record) -> Result<Option<OutboxQuarantined>, Refusal> {
    match read(record)? {
        (_, Fact::OutboxQuarantined(aside)) => Ok(Some(aside)),
        _ => Ok(None),
    }
}

/// How many deliveries of a destination are set aside.
pub(super) fn count(store: &dyn Store, destination: &str) -> Result<u64, Refusal> {
    let prefix = prefix(destination);
    let mut count = 0;
    records::every(store, QUARANTINE, |name, record| {
        count += u64::from(name.starts_with(&prefix) && held(record)?.is_some());
        Ok(())
    })?;
    Ok(count)
}

/// What is set aside of the record at a position.
pub(super) fn find(store: &dyn Store, destination: &str, at: Position) -> Result<Option<OutboxQuarantined>, Refusal> {
    let wanted = name(destination, at.as_u64());
    let before = at.as_u64().checked_sub(1).map_or_else(|| prefix(destination), |before| name(destination, before));
    let listed = store.list(QUARANTINE, Some(&before), 1).map_err(|e| refuse_store(&e))?;
    match listed.first() {
        Some((found, record)) if *found == wanted => held(record),
        Some(_) | None => Ok(None),
    }
}

/// The unit that sets a delivery aside.
pub(super) fn put_aside<T>(
    act: &Act,
    destination: &str,
    delivery: &Delivery<T>,
    why: &Refusal,
) -> Result<Unit, Refusal> {
    let position = delivery.position.as_u64();
    let mut unit = act.unit(Fact::OutboxQuarantined(OutboxQuarantined {
        destination: destination.to_owned(),
        device_id: delivery.device_id.clone(),
        position,
        refusal: Some(why.to_wire()),
    }));
    unit.entry = Some(entry(destination, position)?);
    Ok(unit)
}

/// The unit that releases it.
pub(super) fn release(act: &Act, aside: OutboxQuarantined) -> Result<Unit, Refusal> {
    let OutboxQuarantined { destination, device_id, position, .. } = aside;
    let entry = entry(&destination, position)?;
    let mut unit = act.unit(Fact::OutboxReleased(OutboxReleased { destination, device_id, position }));
    unit.entry = Some(entry);
    Ok(unit)
}

/// What the names of a destination begin with.
pub(super) fn prefix(destination: &str) -> String {
    format!("{destination}/")
}

fn name(destination: &str, position: u64) -> String {
    format!("{destination}/{position:020}")
}

fn entry(destination: &str, position: u64) -> Result<Entry, Refusal> {
    Entry::new(QUARANTINE, &name(destination, position)).map_err(records::named(store::EntryInvalid::reason))
}
