//! From a presented chain to what has to be recorded before the device is let in.

use std::sync::Arc;

use api::{
    Refusal,
    hub::v1::{
        Authentication, Binding, CaSigned, Device, DeviceOrigin, DeviceStatus, JourneyHop, Thumbprints, authentication,
    },
    journal::v1::{HubCertificateEnded, record::Fact},
};
use bytes::Bytes;
use mfg::Accepted;
use pki::{Sha256, UnixTime};
use records::{Act, read, refuse_store, wire};
use store::{Position, Unit};

use super::{
    books::Books,
    change::own_etag,
    devices::{Fate, check_id, device_unit},
    keys,
};
use crate::{
    admission::{Admitted, JudgedBy, PresentedChain},
    judge::{self, Entitlement, OnFirstConnect, Presented, Standing, TrustView, Verdict},
};

/// A device that may come in once the steps are on record.
pub(super) struct Plan {
    pub(super) entry: Entry,
    pub(super) steps: Vec<Step>,
}

/// One record to be made.
pub(super) enum Step {
    /// Counts the device under its lot key.
    Count(Unit, Box<Verdict>),
    /// Binds the device to its certificate, or registers it.
    Put(Unit),
}

/// Who comes in, and what that rests on.
pub(super) struct Entry {
    pub(super) device: Arc<str>,
    pub(super) certificate: Sha256,
    pub(super) not_after: UnixTime,
    pub(super) judged_by: Arc<JudgedBy>,
}

impl Books {
    /// Judges a chain for a claimed id, and says what has to be recorded. Reads, and writes nothing.
    ///
    /// # Errors
    /// Every reason of the judgement; `DEVICE_NOT_REGISTERED`, `DEVICE_DISABLED`, `WRONG_LOT` and the rest of what the record says.
    pub(super) fn plan(&self, act: &Act, chain: &PresentedChain, claimed: &str) -> Result<Plan, Refusal> {
        let presented = Presented::read(chain.certificates())?;
        let view = self.view();
        if let Some((_, device)) = self.find_device(claimed)?
            && let Some(expected) = thumbprints(&device)
        {
            return self.plan_thumbprint(&presented, &device, expected, &view, act.at);
        }
        let verdict = judge::judge(&presented, claimed, &view, act.at)?;
        judge::key_refusal(&verdict.keys, &view)?;
        let known = self.find_device(&verdict.device_id)?;
        let steps = match &known {
            Some((at, device)) => self.steps_for_known(act, &verdict, *at, device)?,
            None => self.steps_for_unknown(act, &verdict, &view)?,
        };
        let anchor = verdict.anchor().map_or_else(|| Sha256::of(&[]), pki::Certificate::sha256);
        let entry = Entry {
            device: verdict.device_id.as_str().into(),
            certificate: verdict.certificate(),
            not_after: presented.leaf().not_after(),
            judged_by: Arc::new(JudgedBy::Path { ca: verdict.ca.clone(), anchor, keys: verdict.keys.clone() }),
        };
        Ok(Plan { entry, steps })
    }

    /// Whether an admission would be given again.
    ///
    /// # Errors
    /// `CA_DISABLED`, `CA_UNVERIFIED`, `UNKNOWN_ISSUER`, `DEVICE_NOT_REGISTERED`, `DEVICE_DISABLED`, `DEVICE_SCRAPPED`,
    /// `CERTIFICATE_SUPERSEDED`, `EXPIRED`.
    pub(super) fn still_admitted(&self, admitted: &Admitted) -> Result<(), Refusal> {
        let view = self.view();
        if self.clock.now() > admitted.not_after {
            let message = format!("the device's certificate was valid until {}", admitted.not_after);
            return Err(Refusal::new("EXPIRED", message));
        }
        match &*admitted.judged_by {
            JudgedBy::Thumbprint { keys } => judge::key_refusal(keys, &view)?,
            JudgedBy::Path { ca, anchor, keys } => {
                judge::key_refusal(keys, &view)?;
                match view.cas().iter().find(|held| held.certificate.sha256() == *anchor).map(|held| held.standing) {
                    Some(Standing::Verified) => {}
                    Some(Standing::Unverified) => {
                        return Err(Refusal::new("CA_UNVERIFIED", format!("the ca {ca} is not verified any more")));
                    }
                    None => {
                        return Err(Refusal::new("UNKNOWN_ISSUER", format!("the ca {ca} is not registered any more")));
                    }
                }
            }
        }
        let device = self.find_device(&admitted.device)?.map(|(_, device)| device);
        let device = device.ok_or_else(|| not_registered(&admitted.device, "and no longer known"))?;
        judge::status_refusal(&device)?;
        if let Some(expected) = thumbprints(&device)
            && !matches!(&*admitted.judged_by, JudgedBy::Thumbprint { .. })
        {
            let message = format!("device {} is known by a thumbprint now: {expected:?}", device.device_id);
            return Err(Refusal::new("THUMBPRINT_MISMATCH", message));
        }
        self.not_ended(&admitted.device, &admitted.certificate)
    }

    fn plan_thumbprint(
        &self,
        presented: &Presented,
        device: &Device,
        expected: &Thumbprints,
        view: &TrustView,
        now: UnixTime,
    ) -> Result<Plan, Refusal> {
        judge::judge_thumbprint(presented, expected, now)?;
        let keys: Vec<Sha256> = presented.others().iter().map(|ca| ca.public_key().sha256()).collect();
        judge::key_refusal(&keys, view)?;
        judge::status_refusal(device)?;
        let certificate = presented.leaf().sha256();
        self.not_ended(&device.device_id, &certificate)?;
        let entry = Entry {
            device: device.device_id.as_str().into(),
            certificate,
            not_after: presented.leaf().not_after(),
            judged_by: Arc::new(JudgedBy::Thumbprint { keys }),
        };
        Ok(Plan { entry, steps: Vec::new() })
    }

    fn steps_for_known(
        &self,
        act: &Act,
        verdict: &Verdict,
        at: Position,
        device: &Device,
    ) -> Result<Vec<Step>, Refusal> {
        if thumbprints(device).is_some() {
            let message =
                format!("device {} is known by a thumbprint, and claims it in other letters", device.device_id);
            return Err(Refusal::new("DEVICE_ID_MISMATCH", message));
        }
        let entitlement = judge::entitle(verdict, device)?;
        self.not_ended(&device.device_id, &verdict.certificate())?;
        let mut steps = self.count(act, verdict)?;
        match entitlement {
            Entitlement::AsBound => {}
            Entitlement::Bind => {
                let bound = bound(device, verdict, act.at, BoundBy::Connection);
                steps.push(Step::Put(device_unit(act, &bound, Some(at), Bytes::new(), Fate::Kept)?));
            }
        }
        Ok(steps)
    }

    fn steps_for_unknown(&self, act: &Act, verdict: &Verdict, view: &TrustView) -> Result<Vec<Step>, Refusal> {
        let ca = verdict.anchor().and_then(|anchor| view.ca(anchor));
        match ca.map(|ca| ca.on_first_connect) {
            Some(OnFirstConnect::Register) => {}
            Some(OnFirstConnect::Refuse) | None => {
                return Err(not_registered(&verdict.device_id, "and its ca does not register on first connect"));
            }
        }
        check_id(&verdict.device_id)?;
        self.not_ended(&verdict.device_id, &verdict.certificate())?;
        let device = fresh(verdict, act.at, DeviceOrigin::FirstConnect, BoundBy::Connection);
        let mut steps = self.count(act, verdict)?;
        let (unit, before) = self.creation(act, &device, Bytes::new())?;
        match before {
            None => steps.push(Step::Put(unit)),
            Some(_) => return Err(outrun()),
        }
        Ok(steps)
    }

    fn count(&self, act: &Act, verdict: &Verdict) -> Result<Vec<Step>, Refusal> {
        let counting = self.counting(act, verdict)?;
        Ok(counting.map(|unit| Step::Count(unit, Box::new(verdict.clone()))).into_iter().collect())
    }

    /// Whether a device's certificate is one that its line took out of use.
    fn not_ended(&self, device: &str, certificate: &Sha256) -> Result<(), Refusal> {
        let Some(record) = self.store.get(&keys::ended(device, certificate)).map_err(|e| refuse_store(&e))? else {
            return Ok(());
        };
        let reason = match read(&record)? {
            (_, Fact::HubCertificateEnded(HubCertificateEnded { reason, .. })) => reason,
            // A device that was bound to a newer certificate ended its older one with the same record.
            _ => "CERTIFICATE_SUPERSEDED".to_owned(),
        };
        let message = format!("the line took the certificate {certificate} of device {device} out of use");
        Err(Refusal::new(&reason, message).with("device_id", device).with("certificate_sha256", certificate))
    }
}

/// Who says which certificate a device has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BoundBy {
    /// Its line, when it was written.
    Line,
    /// The device, when it first connected.
    Connection,
}

/// A device that was not known before.
pub(super) fn fresh(verdict: &Verdict, at: UnixTime, origin: DeviceOrigin, by: BoundBy) -> Device {
    let now = Some(wire::timestamp(at));
    Device {
        device_id: verdict.device_id.clone(),
        status: DeviceStatus::Enabled.into(),
        status_reason: String::new(),
        authentication: Some(Authentication { kind: Some(authentication::Kind::CaSigned(CaSigned {})) }),
        binding: Some(binding(verdict, at, by)),
        created_at: now,
        status_updated_at: now,
        etag: own_etag("", at, verdict.certificate().as_bytes()),
        origin: origin.into(),
    }
}

/// A device that is bound to this certificate from now on.
pub(super) fn bound(device: &Device, verdict: &Verdict, at: UnixTime, by: BoundBy) -> Device {
    Device {
        binding: Some(binding(verdict, at, by)),
        etag: own_etag(&device.etag, at, verdict.certificate().as_bytes()),
        ..device.clone()
    }
}

fn binding(verdict: &Verdict, at: UnixTime, by: BoundBy) -> Binding {
    let last = verdict.hops.last();
    let below_anchor = verdict.path.len().saturating_sub(1);
    Binding {
        certificate_sha256: wire::digest(&verdict.certificate()),
        issuer_key_sha256: wire::digest(&verdict.issuer_key),
        dns_name: verdict.dns_name.clone(),
        generation: verdict.generation,
        chain: verdict.path.iter().take(below_anchor).map(|ca| Bytes::copy_from_slice(ca.der())).collect(),
        hops: verdict.hops.iter().map(journey_hop).collect(),
        lot: last.map(|hop| hop.lot.clone()).unwrap_or_default(),
        manufacturer: last.map(|hop| hop.to.clone()).unwrap_or_default(),
        order: verdict.order.clone(),
        bound_at: Some(wire::timestamp(at)),
        registered_by_line: match by {
            BoundBy::Line => true,
            BoundBy::Connection => false,
        },
    }
}

fn journey_hop(hop: &judge::VerdictHop) -> JourneyHop {
    JourneyHop {
        from: hop.from.clone(),
        to: hop.to.clone(),
        lot: hop.lot.clone(),
        quantity: Some(wire::quantity(hop.quantity)),
        subtree: hop.subtree.clone(),
        acceptance_proven: match hop.accepted {
            Accepted::Proven => true,
            Accepted::NotChecked => false,
        },
    }
}

/// The thumbprints that a device is known by, if it is.
pub(super) fn thumbprints(device: &Device) -> Option<&Thumbprints> {
    match device.authentication.as_ref().and_then(|known| known.kind.as_ref()) {
        Some(authentication::Kind::Thumbprints(thumbprints)) => Some(thumbprints),
        Some(authentication::Kind::CaSigned(_)) | None => None,
    }
}

/// Somebody else changed what a decision was made on; the caller decides again.
pub(super) fn outrun() -> Refusal {
    Refusal::new("IN_PROGRESS", "the device is being changed by another request")
        .retry_after(std::time::Duration::from_millis(50))
}

fn not_registered(device: &str, more: &str) -> Refusal {
    Refusal::new("DEVICE_NOT_REGISTERED", format!("device {device} is not registered, {more}"))
        .with("device_id", device)
}
