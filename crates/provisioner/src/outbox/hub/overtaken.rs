//! Whether what a record told of a unit is still so.

use api::{
    Refusal,
    issuance::v1::Occasion,
    journal::v1::{UnitIssued, record::Fact},
};
use mfg::DeviceState;
use records::{read, read_at};
use store::{Record, Store};

use crate::unit::{Stage, UnitOnRecord};

/// Whether the unit of a record has moved on, so that the record says of it what is not so any more.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
pub(super) fn is_overtaken(store: &dyn Store, record: &Record) -> Result<bool, Refusal> {
    Ok(match read(record)?.1 {
        Fact::UnitWritten(written) => {
            let carried = newest(store, written.issued_at)?.map(|unit| carried(store, unit)).transpose()?.flatten();
            carried != Some(written.issued_at)
        }
        Fact::UnitScrapped(scrapped) => {
            let scrapped_now = newest(store, scrapped.issued_at)?.and_then(|unit| scrapped_certificate(&unit));
            scrapped_now != Some(scrapped.issued_at)
        }
        Fact::UnitReinstated(back) => {
            newest(store, back.issued_at)?.is_some_and(|unit| scrapped_certificate(&unit).is_some())
        }
        // A certificate that went out of use stays so.
        _ => false,
    })
}

/// The unit of a certificate, as it stands.
fn newest(store: &dyn Store, issued_at: u64) -> Result<Option<UnitOnRecord>, Refusal> {
    let (_, _, Fact::UnitIssued(UnitIssued { device_id, .. })) = read_at(store, issued_at)? else { return Ok(None) };
    UnitOnRecord::newest(store, &device_id)
}

/// Where the certificate was issued that is on the unit's device and in use. While a rework is under way that is the one before.
fn carried(store: &dyn Store, mut unit: UnitOnRecord) -> Result<Option<u64>, Refusal> {
    loop {
        match &unit.stage {
            Stage::Issued(stands) => match stands.state {
                DeviceState::Written | DeviceState::Registered => return Ok(Some(stands.at)),
                DeviceState::Scrapped | DeviceState::Superseded => return Ok(None),
                DeviceState::Issued => {}
            },
            Stage::Requested | Stage::Refused => {}
        }
        let Some(before_at) = unit.requested.before_at.filter(|_| is_rework(&unit)) else { return Ok(None) };
        let (record, ..) = read_at(store, before_at)?;
        let Some(before) = UnitOnRecord::from_record(store, &record)? else { return Ok(None) };
        unit = before.restored(store)?;
    }
}

fn is_rework(unit: &UnitOnRecord) -> bool {
    unit.requested.occasion.cast_signed() == i32::from(Occasion::Rework)
}

fn scrapped_certificate(unit: &UnitOnRecord) -> Option<u64> {
    match &unit.stage {
        Stage::Issued(stands) if stands.state == DeviceState::Scrapped => Some(stands.at),
        Stage::Issued(_) | Stage::Requested | Stage::Refused => None,
    }
}
