//! A station's request goes on record before it goes to the signer: from then on the request id stands for one unit of one lot.

use std::{sync::Arc, time::Duration};

use api::{
    Refusal,
    issuance::v1::Occasion,
    journal::v1::{UnitRequested, record::Fact},
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use mfg::{DeviceId, DeviceState};
use pki::{CertificateRequest, Sha256};
use records::{Act, keys, named, refuse_conflict, reused, wire};
use store::{Claim, Conflict, Rule};

use super::{Desk, request_key};
use crate::unit::{Stage, UnitOnRecord};

/// Most attempts to record a request while others change what it relies on.
const MOST_TRIES: usize = 8;

/// Who makes the device key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum KeySource {
    /// The device did: PKCS#10, DER.
    Device(Bytes),
    /// The provisioner does.
    Server(KeyKind),
}

/// A station's request for one unit.
#[derive(Debug, Clone)]
pub(crate) struct UnitOrder {
    pub(crate) act: Act,
    pub(crate) device_id: DeviceId,
    /// The lot asked for; none: the current one.
    pub(crate) lot: Option<String>,
    pub(crate) key: KeySource,
    pub(crate) occasion: Occasion,
}

/// What stands for a request in the records.
enum Standing {
    /// Its unit: recorded by itself before, or by another request for the same.
    Found(UnitOnRecord),
    /// Nothing that holds: it can be recorded, if its keys still point to this.
    Free { unit: Rule, request: Rule },
}

impl Desk {
    /// The request on record: found, or recorded now.
    pub(super) async fn requested(&self, order: &UnitOrder) -> Result<UnitOnRecord, Refusal> {
        let asked_key = match &order.key {
            KeySource::Device(csr) => Some(named_key(csr)?),
            KeySource::Server(_) => None,
        };
        // Most requests are new, and recording one asks the same as looking for it: both keys must be free. Not where a key would
        // have to be made first, nor a lot be looked for at a signer that a repetition does not need.
        let at_hand = asked_key.is_some() && (order.lot.is_some() || self.lots.has_current());
        if at_hand && let Some(unit) = self.record_request(order, asked_key, Rule::Absent, Rule::Absent, None).await? {
            return Ok(unit);
        }
        Box::pin(self.looked_up(order, asked_key)).await
    }

    /// The unit that this request, or for a device-made key another one for the same, got before.
    ///
    /// # Errors
    /// `REQUEST_ID_REUSED`, `DEVICE_ID_TAKEN`: what the request itself would be refused for here.
    pub(crate) async fn answered_before(&self, order: &UnitOrder) -> Result<Option<UnitOnRecord>, Refusal> {
        let asked_key = match &order.key {
            KeySource::Device(csr) => Some(named_key(csr)?),
            KeySource::Server(_) => None,
        };
        let found = match order.occasion {
            Occasion::Unspecified | Occasion::First => match self.standing(order, asked_key.as_ref()).await? {
                Standing::Found(unit) => Some(unit),
                Standing::Free { .. } => None,
            },
            Occasion::Replacement | Occasion::Rework => self.before(&order.act).await?,
        };
        if let (Some(unit), Occasion::Replacement | Occasion::Rework) = (&found, order.occasion) {
            same_request(order, asked_key.as_ref(), unit)?;
        }
        Ok(found.filter(|unit| matches!(unit.stage, Stage::Issued(_))))
    }

    /// The request on record, after a look for it.
    async fn looked_up(&self, order: &UnitOrder, asked_key: Option<Sha256>) -> Result<UnitOnRecord, Refusal> {
        for _ in 0..MOST_TRIES {
            match self.standing(order, asked_key.as_ref()).await? {
                Standing::Found(unit) => return Ok(unit),
                Standing::Free { unit, request } => {
                    if let Some(recorded) = self.record_request(order, asked_key, unit, request, None).await? {
                        return Ok(recorded);
                    }
                }
            }
        }
        Err(in_progress(order.device_id.as_str()))
    }

    async fn standing(&self, order: &UnitOrder, asked_key: Option<&Sha256>) -> Result<Standing, Refusal> {
        // The unit first: a request is recorded with its unit, so one that made it in between is found by its id.
        let unit = self.newest(order.device_id.as_str()).await?;
        let itself = self.before(&order.act).await?;
        what_stands(order, asked_key, unit, itself)
    }

    /// Records the request; none when another was faster at one of its keys.
    pub(super) async fn record_request(
        &self,
        order: &UnitOrder,
        asked_key: Option<Sha256>,
        unit_rule: Rule,
        request_rule: Rule,
        before: Option<&UnitOnRecord>,
    ) -> Result<Option<UnitOnRecord>, Refusal> {
        let lot = match (before, &order.lot) {
            (Some(before), _) => before.requested.lot.clone(),
            (None, Some(lot)) => lot.clone(),
            (None, None) => Box::pin(self.lots.current()).await?,
        };
        let (key_digest, server_made_key) = match (&order.key, asked_key) {
            (KeySource::Server(kind), _) => (Box::pin(self.make_key(*kind)).await?, true),
            (KeySource::Device(csr), None) => (named_key(csr)?, false),
            (KeySource::Device(_), Some(digest)) => (digest, false),
        };
        let requested = UnitRequested {
            device_id: order.device_id.to_string(),
            lot,
            key_digest: wire::digest(&key_digest),
            server_made_key,
            occasion: before.map(|_| i32::from(order.occasion).cast_unsigned()).unwrap_or_default(),
            before_at: before.map(|before| before.at.as_u64()),
        };
        let mut unit = order.act.unit(Fact::UnitRequested(requested.clone()));
        unit.claims = vec![Claim { key: keys::unit(order.device_id.as_str()), rule: unit_rule }];
        unit.claims.extend(request_key(&order.act).map(|key| Claim { key, rule: request_rule }));
        match self.commits.commit(unit).await? {
            Ok(committed) => Ok(Some(UnitOnRecord {
                at: committed.position,
                requested_at: committed.position.as_u64(),
                requested,
                stage: Stage::Requested,
            })),
            Err(conflict) => {
                if server_made_key {
                    self.destroy_key(key_digest.as_bytes()).await?;
                }
                match conflict {
                    Conflict::KeyTaken { .. } | Conflict::KeyMoved { .. } => Ok(None),
                    other @ (Conflict::Overdrawn { .. } | Conflict::NoSuchLot { .. } | Conflict::NotOpen { .. }) => {
                        Err(refuse_conflict(&other, ""))
                    }
                }
            }
        }
    }

    /// Makes a device key and keeps it wrapped before anybody hears of it.
    async fn make_key(&self, kind: KeyKind) -> Result<Sha256, Refusal> {
        let escrow = Arc::clone(&self.escrow);
        self.workers
            .run(move || {
                let key = SoftwareKey::generate(kind).map_err(named(issuance::KeyError::reason))?;
                let digest = key.public_key().sha256();
                let pkcs8 = key.to_pkcs8().map_err(named(issuance::KeyError::reason))?;
                escrow.keep(&digest, &pkcs8)?;
                Ok(digest)
            })
            .await
    }

    /// The request that goes to the signer: the device's own, or one for the key that is kept here.
    pub(super) async fn csr_of(&self, order: &UnitOrder, unit: &UnitOnRecord) -> Result<Bytes, Refusal> {
        match &order.key {
            KeySource::Device(csr) => Ok(csr.clone()),
            KeySource::Server(_) => {
                let digest = wire::read_digest("key_digest", &unit.requested.key_digest)?;
                let escrow = Arc::clone(&self.escrow);
                let name = unit.requested.device_id.clone();
                let csr = self.workers.run(move || {
                    let pkcs8 = escrow.open(&digest)?.ok_or_else(|| {
                        Refusal::new("KEY_ESCROW_DAMAGED", format!("the wrapped key of unit {name} is not there"))
                    })?;
                    let key = SoftwareKey::from_pkcs8(&pkcs8).map_err(named(issuance::KeyError::reason))?;
                    let csr = make_csr(&key, &name).map_err(named(issuance::KeyError::reason))?;
                    Ok(Bytes::from(csr))
                });
                match csr.await {
                    // The same request, made twice at once, was refused or confirmed on the other side, and the key destroyed.
                    Err(_) if self.has_moved_on(unit).await? => Err(in_progress(&unit.requested.device_id)),
                    outcome => outcome,
                }
            }
        }
    }
}

/// What a unit and a request come to that were read one after the other: the unit may be older than what its request tells by now.
fn what_stands(
    order: &UnitOrder,
    asked_key: Option<&Sha256>,
    unit: Option<UnitOnRecord>,
    itself: Option<UnitOnRecord>,
) -> Result<Standing, Refusal> {
    if let Some(itself) = &itself {
        same_request(order, asked_key, itself)?;
    }
    let request = itself.as_ref().map_or(Rule::Absent, |itself| Rule::At(itself.at));
    let own = |unit: &UnitOnRecord| itself.as_ref().is_some_and(|i| i.requested_at == unit.requested_at);
    let newest = match (&itself, unit) {
        // Another try recorded it since the unit was read: the two keys of a record are set together.
        (Some(itself), Some(unit)) if itself.at > unit.at => Some(itself.clone()),
        // Replaced or reworked since: the request is answered with what it got, for ever.
        (Some(itself), Some(unit)) if !own(&unit) && matches!(itself.stage, Stage::Issued(_)) => {
            return Ok(Standing::Found(itself.clone()));
        }
        (_, Some(unit)) => Some(unit),
        (itself, None) => itself.clone(),
    };
    match newest {
        None => Ok(Standing::Free { unit: Rule::Absent, request }),
        // Nothing came of it: it is made again, against that record.
        Some(UnitOnRecord { stage: Stage::Refused, at, .. }) => Ok(Standing::Free { unit: Rule::At(at), request }),
        Some(unit) if own(&unit) => Ok(Standing::Found(unit)),
        // Another request for the same unit: the same answer for the same key, a conflict otherwise.
        Some(unit) => same_unit(order, asked_key, &unit).map(|()| Standing::Found(unit)),
    }
}

pub(super) fn in_progress(device_id: &str) -> Refusal {
    Refusal::new("IN_PROGRESS", format!("unit {device_id} is being worked on by another request"))
        .retry_after(Duration::from_millis(50))
}

/// The key that a request names. Whether it is one, and is possessed, is the signer's to check; here it only tells two requests apart.
pub(super) fn named_key(csr: &[u8]) -> Result<Sha256, Refusal> {
    CertificateRequest::named_key(csr).map_err(|error| Refusal::from_error("CSR_MALFORMED", &error))
}

/// A repeated request must ask for the same unit.
pub(super) fn same_request(
    order: &UnitOrder,
    asked_key: Option<&Sha256>,
    before: &UnitOnRecord,
) -> Result<(), Refusal> {
    match &before.stage {
        // Only the id of a confirmation or of scrapping finds a unit as written or scrapped.
        Stage::Issued(issued) if issued.state != DeviceState::Issued => {
            return Err(reused(&order.act, "kind of request"));
        }
        Stage::Issued(_) | Stage::Requested | Stage::Refused => {}
    }
    match difference(order, asked_key, before) {
        None => Ok(()),
        Some(differs) => Err(reused(&order.act, differs)),
    }
}

/// Another request for a unit that is on record: the same unit only for the same device-made key.
fn same_unit(order: &UnitOrder, asked_key: Option<&Sha256>, before: &UnitOnRecord) -> Result<(), Refusal> {
    let id = &order.device_id;
    let (differs, message) = match (&order.key, difference(order, asked_key, before)) {
        (KeySource::Device(_), None) => return Ok(()),
        (KeySource::Server(_), None) => {
            ("public key", format!("unit {id} exists already, with a key that was made for another request"))
        }
        (_, Some(differs)) => (differs, format!("unit {id} exists already, with another {differs}")),
    };
    Err(Refusal::new("DEVICE_ID_TAKEN", message).with("device_id", id).with("differs", differs))
}

pub(super) fn difference(order: &UnitOrder, asked_key: Option<&Sha256>, before: &UnitOnRecord) -> Option<&'static str> {
    let requested = &before.requested;
    if requested.device_id != order.device_id.as_str() {
        Some("device id")
    } else if requested.server_made_key != asked_key.is_none()
        || asked_key.is_some_and(|key| key.as_bytes().as_slice() != requested.key_digest)
    {
        Some("public key")
    } else if order.lot.as_ref().is_some_and(|lot| *lot != requested.lot) {
        Some("lot")
    } else if occasion(requested) != order.occasion {
        Some("occasion")
    } else {
        None
    }
}

/// What a request on record was made for.
pub(super) fn occasion(requested: &UnitRequested) -> Occasion {
    match Occasion::try_from(requested.occasion.cast_signed()) {
        Ok(Occasion::Unspecified) | Err(_) => Occasion::First,
        Ok(occasion) => occasion,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use api::RequestId;
    use pki::UnixTime;
    use records::Caller;
    use store::Position;

    use super::*;

    #[test]
    fn a_unit_that_was_read_before_its_request_was_made_again_is_the_requests_own() {
        let caller = Caller { manufacturer: "technician-z".to_owned(), by: "line-1".to_owned() };
        let order = UnitOrder {
            act: Act {
                at: UnixTime::parse("2026-06-01T00:00:00Z").unwrap(),
                caller,
                request: Some(RequestId::from_octets([1; 16])),
            },
            device_id: DeviceId::parse("sn1").unwrap(),
            lot: None,
            key: KeySource::Server(KeyKind::P256),
            occasion: Occasion::First,
        };
        let requested = |at: u64, stage: Stage| UnitOnRecord {
            at: Position::from_u64(at),
            requested_at: 1,
            requested: UnitRequested {
                device_id: "sn1".to_owned(),
                lot: "t7".to_owned(),
                key_digest: vec![u8::try_from(at).unwrap(); 32].into(),
                server_made_key: true,
                occasion: 0,
                before_at: None,
            },
            stage,
        };
        // One try made the key and was refused; the next made another key, all between the two reads.
        let (first, refused) = (requested(1, Stage::Requested), requested(2, Stage::Refused));
        let again = UnitOnRecord { requested_at: 3, ..requested(3, Stage::Requested) };
        for unit in [first, refused] {
            let Standing::Found(found) = what_stands(&order, None, Some(unit), Some(again.clone())).unwrap() else {
                panic!("the request is on record")
            };
            assert_eq!(found.at, again.at);
        }
    }
}
