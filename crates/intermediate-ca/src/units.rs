//! Units that become scrap without a certificate, and scrapped units that come back by the sender's permission.

use api::{
    Refusal,
    custody::v1::Reinstatement,
    journal::v1::{BlanksScrapped, UnitsReinstated, record::Fact},
};
use mfg::{DeviceId, LotId, ManufacturerId, Movement, Statement};
use pki::{PublicKey, Sha256};
use records::{Act, Attempt, keys, named, once, read, refuse_conflict, refuse_store, reused, wire};
use store::{Claim, Position, Record, Rule, TallyMove};

use crate::{
    lots::LotOnRecord,
    receive::{Receiver, sender_key},
};

/// Most devices that come back in one call: each needs its place in one atomic record.
pub(crate) const MOST_DEVICES: usize = 50;

/// Scraps units that have no certificate.
///
/// # Errors
/// `LOT_UNKNOWN`, `LOT_NOT_OPEN`, `QUANTITY_SPENT`, `LOT_CLOSED`, `NO_UNITS`, `REQUEST_MALFORMED`, `REQUEST_ID_REUSED`.
pub(crate) fn scrap_blanks(receiver: &Receiver, act: &Act, lot: &LotId, units: u32, why: &str) -> Result<(), Refusal> {
    authority::check_why(why)?;
    let authority = &receiver.authority;
    let fact = BlanksScrapped { lot: lot.to_string(), units, why: why.to_owned() };
    let before = |record: &Record| {
        let same = matches!(read(record)?.1, Fact::BlanksScrapped(before) if before == fact);
        if same { Ok(()) } else { Err(reused(act, "content")) }
    };
    once(authority.store(), act, before, |attempt| {
        LotOnRecord::of(authority.store(), lot.as_str())?.check_received(lot.as_str())?;
        let mut unit = act.unit(Fact::BlanksScrapped(fact.clone()));
        unit.moves = vec![TallyMove { lot: keys::lot(lot.as_str()), movement: Movement::ScrapBlank(units) }];
        attempt.commit(unit)?.map(drop).map_err(|c| refuse_conflict(&c, lot.as_str()))
    })
}

/// Lets scrapped units come back: as many as the sender's permission says, which is good once.
///
/// # Errors
/// `LOT_UNKNOWN`, `LOT_NOT_OPEN`, `REINSTATEMENT_INVALID`, `REINSTATEMENT_USED`, `REINSTATEMENT_DIFFERS`, `NOT_SCRAPPED`,
/// `LOT_CLOSED`, `DEVICE_OF_ANOTHER_LOT`, `REQUEST_ID_REUSED`.
pub(crate) fn reinstate(
    receiver: &Receiver,
    act: &Act,
    lot: &LotId,
    permission: &Reinstatement,
    blanks: u32,
    devices: &[DeviceId],
) -> Result<(), Refusal> {
    let before = |record: &Record| {
        let same = matches!(read(record)?.1, Fact::UnitsReinstated(back) if back.lot == lot.as_str()
            && back.permission.as_ref() == Some(permission)
            && back.blanks == blanks
            && back.device_ids.iter().map(String::as_str).eq(devices.iter().map(DeviceId::as_str)));
        if same { Ok(()) } else { Err(reused(act, "content")) }
    };
    once(receiver.authority.store(), act, before, |attempt| {
        try_reinstate(receiver, act, lot, permission, blanks, devices, attempt)
    })
}

fn try_reinstate(
    receiver: &Receiver,
    act: &Act,
    lot: &LotId,
    permission: &Reinstatement,
    blanks: u32,
    devices: &[DeviceId],
    attempt: Attempt<'_>,
) -> Result<(), Refusal> {
    let id = lot.as_str();
    let authority = &receiver.authority;
    let used = check_permission(receiver, id, permission)?;
    let count = u64::from(blanks).saturating_add(u64::try_from(devices.len()).unwrap_or(u64::MAX));
    if count != u64::from(permission.units) {
        return Err(Refusal::new(
            "REINSTATEMENT_DIFFERS",
            format!("the permission is for {} units, {count} are named", permission.units),
        )
        .with("units", permission.units));
    }
    let back = UnitsReinstated {
        lot: id.to_owned(),
        permission: Some(permission.clone()),
        blanks,
        ..UnitsReinstated::default()
    };
    let mut unit = authority.reinstatement(act, id, back, devices)?;
    let rule = used.map_or(Rule::Absent, Rule::At);
    unit.claims.push(Claim { key: keys::reinstatement_used(id), rule });
    attempt.commit(unit)?.map(drop).map_err(|c| refuse_conflict(&c, id))
}

/// Checks that the sender let these units come back, and that the permission is the next one; answers where the one before is
/// recorded.
fn check_permission(receiver: &Receiver, id: &str, permission: &Reinstatement) -> Result<Option<Position>, Refusal> {
    let authority = &receiver.authority;
    let on_record = LotOnRecord::of(authority.store(), id)?;
    let received = on_record.check_received(id)?;
    let invalid = |what: &str| Refusal::new("REINSTATEMENT_INVALID", format!("the permission {what}")).with("lot", id);
    let certificate = Sha256::of(received.chain.first().map(|der| der.as_ref()).unwrap_or_default());
    if permission.lot != id || permission.certificate_sha256 != certificate.as_bytes().as_slice() {
        return Err(invalid("is for another lot"));
    }
    let from = on_record.facts().map(|facts| facts.from.clone()).unwrap_or_default();
    let from = ManufacturerId::parse(&from).map_err(named(mfg::IdRefusal::reason))?;
    let lot = authority.lots.get(id)?;
    let digest = wire::read_digest("identity_key_digest", &permission.identity_key_digest)?;
    let bundle = authority.bundle();
    let key: &PublicKey = sender_key(&bundle, lot.terms.terms(), &from, &digest)
        .ok_or_else(|| invalid("names no identity key of the sender"))?;
    Statement::reinstatement(&certificate, permission.ordinal, permission.units)
        .verify(key, &permission.signature)
        .map_err(named(mfg::StatementRefusal::reason))?;
    let (used, at) = last_used(receiver, id)?;
    if permission.ordinal != used.saturating_add(1) {
        return Err(Refusal::new(
            "REINSTATEMENT_USED",
            format!("permission {} of lot {id} is not the next one: {used} were used", permission.ordinal),
        )
        .with("next_ordinal", used.saturating_add(1)));
    }
    Ok(at)
}

/// The ordinal of the last permission used, and where its use is recorded.
fn last_used(receiver: &Receiver, id: &str) -> Result<(u32, Option<Position>), Refusal> {
    let record = receiver.authority.store().get(&keys::reinstatement_used(id)).map_err(|e| refuse_store(&e))?;
    let Some(record) = record else { return Ok((0, None)) };
    let Fact::UnitsReinstated(back) = read(&record)?.1 else {
        return Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no use of one", record.position)));
    };
    Ok((back.permission.map(|p| p.ordinal).unwrap_or_default(), Some(record.position)))
}
