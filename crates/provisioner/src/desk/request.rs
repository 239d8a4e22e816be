//! A station's request goes on record before it goes to the signer: from then on the request id stands for one unit of one lot.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{UnitRequested, record::Fact},
};
use bytes::Bytes;
use issuance::{KeyKind, SigningKey as _, SoftwareKey, make_csr};
use mfg::DeviceId;
use pki::{CertificateRequest, Sha256};
use records::{Act, keys, named, refuse_conflict, reused, wire};
use store::{Claim, Conflict, Position, Rule};

use super::{Desk, request_key};
use crate::unit::{Stage, UnitOnRecord};

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
}

impl Desk {
    /// The request on record: found by its id, or recorded now.
    pub(super) async fn requested(&self, order: &UnitOrder) -> Result<UnitOnRecord, Refusal> {
        let asked_key = match &order.key {
            KeySource::Device(csr) => Some(self.named_key(csr)?),
            KeySource::Server(_) => None,
        };
        if let Some(key) = request_key(&order.act)
            && let Some(before) = self.on_record(key).await?
        {
            same_request(order, asked_key.as_ref(), &before)?;
            if !matches!(before.stage, Stage::Refused) {
                return Ok(before);
            }
            // Refused before: the same request is made again, against that record.
            return self.record_request(order, asked_key, Some(before.at)).await;
        }
        match self.on_record(keys::unit(order.device_id.as_str())).await? {
            Some(UnitOnRecord { stage: Stage::Refused, at, .. }) => {
                self.record_request(order, asked_key, Some(at)).await
            }
            // Another request for the same unit: the same answer for the same key, a conflict otherwise.
            Some(before) => same_unit(order, asked_key.as_ref(), &before).map(|()| before),
            None => self.record_request(order, asked_key, None).await,
        }
    }

    async fn record_request(
        &self,
        order: &UnitOrder,
        asked_key: Option<Sha256>,
        refused_at: Option<Position>,
    ) -> Result<UnitOnRecord, Refusal> {
        let lot = match &order.lot {
            Some(lot) => lot.clone(),
            None => self.lots.current().await?,
        };
        let (key_digest, server_made_key) = match (&order.key, asked_key) {
            (KeySource::Server(kind), _) => (self.make_key(*kind).await?, true),
            (KeySource::Device(csr), None) => (self.named_key(csr)?, false),
            (KeySource::Device(_), Some(digest)) => (digest, false),
        };
        let requested = UnitRequested {
            device_id: order.device_id.to_string(),
            lot,
            key_digest: wire::digest(&key_digest),
            server_made_key,
        };
        let mut unit = order.act.unit(Fact::UnitRequested(requested.clone()));
        let unit_key = keys::unit(order.device_id.as_str());
        let rule = refused_at.map_or(Rule::Absent, Rule::At);
        unit.claims = vec![Claim { key: unit_key, rule }];
        unit.claims.extend(request_key(&order.act).map(|key| match refused_at {
            Some(_) => Claim { key, rule: Rule::Any },
            None => Claim { key, rule: Rule::Absent },
        }));
        match self.commits.commit(unit).await? {
            Ok(committed) => Ok(UnitOnRecord {
                at: committed.position,
                requested_at: committed.position.as_u64(),
                requested,
                stage: Stage::Requested,
            }),
            Err(conflict) => {
                if server_made_key {
                    self.destroy_key(key_digest.as_bytes()).await?;
                }
                match conflict {
                    // The same request, or another for this unit, was faster.
                    Conflict::KeyTaken { .. } | Conflict::KeyMoved { .. } => {
                        let before = self.on_record(unit_key).await?.ok_or_else(|| reused(&order.act, "device id"))?;
                        same_unit(order, asked_key.as_ref(), &before).map(|()| before)
                    }
                    other @ (Conflict::Overdrawn { .. } | Conflict::NoSuchLot { .. } | Conflict::NotOpen { .. }) => {
                        Err(refuse_conflict(&other, ""))
                    }
                }
            }
        }
    }

    /// The key that a request names. Possession is the signer's to check; here it only tells two requests apart.
    fn named_key(&self, csr: &[u8]) -> Result<Sha256, Refusal> {
        CertificateRequest::named_key(csr).map(|key| key.sha256()).map_err(|e| Refusal::from_error("CSR_MALFORMED", &e))
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
                self.workers
                    .run(move || {
                        let pkcs8 = escrow.open(&digest)?.ok_or_else(|| {
                            Refusal::new("KEY_ESCROW_DAMAGED", format!("the wrapped key of unit {name} is not there"))
                        })?;
                        let key = SoftwareKey::from_pkcs8(&pkcs8).map_err(named(issuance::KeyError::reason))?;
                        let csr = make_csr(&key, &name).map_err(named(issuance::KeyError::reason))?;
                        Ok(Bytes::from(csr))
                    })
                    .await
            }
        }
    }
}

/// A repeated request must ask for the same unit.
fn same_request(order: &UnitOrder, asked_key: Option<&Sha256>, before: &UnitOnRecord) -> Result<(), Refusal> {
    match difference(order, asked_key, before) {
        None => Ok(()),
        Some(differs) => Err(reused(&order.act, differs)),
    }
}

/// Another request for a unit that is on record: the same unit only for the same device-made key.
fn same_unit(order: &UnitOrder, asked_key: Option<&Sha256>, before: &UnitOnRecord) -> Result<(), Refusal> {
    let differs = match (&order.key, difference(order, asked_key, before)) {
        (KeySource::Device(_), None) => return Ok(()),
        (KeySource::Server(_), None) => "public key",
        (_, Some(differs)) => differs,
    };
    Err(Refusal::new("DEVICE_ID_TAKEN", format!("unit {} exists already, with another {differs}", order.device_id))
        .with("device_id", &order.device_id)
        .with("differs", differs))
}

fn difference(order: &UnitOrder, asked_key: Option<&Sha256>, before: &UnitOnRecord) -> Option<&'static str> {
    let requested = &before.requested;
    if requested.device_id != order.device_id.as_str() {
        Some("device id")
    } else if requested.server_made_key != asked_key.is_none()
        || asked_key.is_some_and(|key| key.as_bytes().as_slice() != requested.key_digest)
    {
        Some("public key")
    } else if order.lot.as_ref().is_some_and(|lot| *lot != requested.lot) {
        Some("lot")
    } else {
        None
    }
}
