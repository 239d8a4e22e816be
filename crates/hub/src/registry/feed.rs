//! What a line tells: devices that were written, superseded, scrapped, reinstated. At least once, in order; a repetition does nothing.

use std::{collections::BTreeSet, time::Duration};

use api::{
    Refusal, RequestId,
    hub::v1::{
        Device, DeviceOrigin, DeviceStatus, LineEvent, RegisterDevicesResponse, Registration, RegistrationResult,
    },
    journal::v1::{HubCertificateEnded, HubFeedReached, record::Fact},
};
use bytes::Bytes;
use pki::Sha256;
use records::{Act, Caller, commit_one, read, refuse_store, wire};
use store::{Claim, Position, Rule, Unit};
use tonic::Code;

use super::{
    admit::{BoundBy, bound, fresh, outrun, thumbprints},
    books::Books,
    change::own_etag,
    devices::{Fate, check_id, device_unit},
    keys,
};
use crate::{
    admission::PresentedChain,
    judge::{self, Presented, Verdict},
};

/// Most events of one call.
const MOST_AT_ONCE: usize = 100;
/// When an event that waits for an operator is tried again.
const OPERATOR_PATIENCE: Duration = Duration::from_secs(30);

/// What an event comes to.
enum Outcome {
    /// Nothing is to be recorded.
    Done,
    /// This is to be recorded; `true` in the second place when sessions may have to end.
    Record(Box<Unit>, Sessions),
}

/// Whether an event may end sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sessions {
    Stay,
    MayEnd,
}

impl Books {
    /// Takes events of one feed.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` for too many or disordered events, `IN_PROGRESS` when two calls of one feed meet; refusals of single events
    /// stand in the answer.
    pub(crate) fn register(
        &self,
        caller: &Caller,
        feed: &str,
        registrations: &[Registration],
    ) -> Result<RegisterDevicesResponse, Refusal> {
        let feed = RequestId::parse(feed).map_err(|_| Refusal::malformed("feed", "is not a UUID"))?.to_string();
        if registrations.len() > MOST_AT_ONCE {
            let message = format!("{} events, at most {MOST_AT_ONCE} are taken at once", registrations.len());
            return Err(Refusal::malformed("registrations", message));
        }
        if !registrations.iter().map(|event| event.sequence).is_sorted_by(|one, next| one < next) {
            return Err(Refusal::malformed("registrations", "sequences do not increase"));
        }
        let (at, HubFeedReached { reached, refused, .. }) = self.reached(caller, &feed)?;
        let act = Act { at: self.clock.now(), caller: caller.clone(), request: None };
        let mut run = Run { books: self, act, results: Vec::new(), pending: Vec::new(), sessions: Sessions::Stay };
        let mut new_reached = reached;
        for event in registrations {
            if event.sequence <= reached {
                let before = refused.iter().find(|before| before.sequence == event.sequence).cloned();
                run.results.push(before.unwrap_or_else(|| result(event, None)));
                continue;
            }
            let refusal = run.take(event)?;
            let waits = refusal.as_ref().is_some_and(|refusal| refusal.retry_delay().is_some());
            run.results.push(result(event, refusal));
            if waits {
                break;
            }
            new_reached = event.sequence;
        }
        run.flush()?;
        let Run { results, act, sessions, .. } = run;
        if new_reached > reached {
            let is_final = |result: &&RegistrationResult| result.refusal.is_some() && result.sequence <= new_reached;
            let refused = results.iter().filter(is_final).cloned().collect();
            let fact = HubFeedReached { sender: caller.by.clone(), feed, reached: new_reached, refused };
            self.record_reached(&act, at, fact)?;
        }
        if sessions == Sessions::MayEnd {
            self.revoke();
        }
        let restored_at = self.restored_at.map(Position::as_u64).unwrap_or_default();
        Ok(RegisterDevicesResponse { results, reached: new_reached, restored_at })
    }

    /// How far a feed has come, and where that stands.
    fn reached(&self, caller: &Caller, feed: &str) -> Result<(Option<Position>, HubFeedReached), Refusal> {
        let Some(record) = self.store.get(&keys::feed(&caller.by, feed)).map_err(|e| refuse_store(&e))? else {
            return Ok((None, HubFeedReached::default()));
        };
        match read(&record)? {
            (_, Fact::HubFeedReached(reached)) => Ok((Some(record.position), reached)),
            _ => {
                Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is not that of a feed", record.position)))
            }
        }
    }

    fn record_reached(&self, act: &Act, at: Option<Position>, fact: HubFeedReached) -> Result<(), Refusal> {
        let key = keys::feed(&fact.sender, &fact.feed);
        let mut unit = act.unit(Fact::HubFeedReached(fact));
        unit.claims = vec![Claim { key, rule: at.map_or(Rule::Absent, Rule::At) }];
        commit_one(self.store.as_ref(), unit)?.map(drop).map_err(|_| outrun())
    }

    /// What an event comes to, by what is on record now.
    fn event(&self, act: &Act, event: &Registration) -> Result<Outcome, Refusal> {
        match event.event() {
            LineEvent::Unspecified => Err(Refusal::malformed("event", "is missing")),
            LineEvent::Written => self.written(act, event),
            LineEvent::Superseded => self.superseded(act, event),
            LineEvent::Scrapped => self.with_device(act, event, |device| match device.status() {
                DeviceStatus::Scrapped => None,
                DeviceStatus::Unspecified | DeviceStatus::Enabled | DeviceStatus::Disabled => {
                    Some(DeviceStatus::Scrapped)
                }
            }),
            LineEvent::Reinstated => self.with_device(act, event, |device| match device.status() {
                // What an operator disabled before stays disabled: the reason is still there.
                DeviceStatus::Scrapped if device.status_reason.is_empty() => Some(DeviceStatus::Enabled),
                DeviceStatus::Scrapped => Some(DeviceStatus::Disabled),
                DeviceStatus::Unspecified | DeviceStatus::Enabled | DeviceStatus::Disabled => None,
            }),
        }
    }

    fn written(&self, act: &Act, event: &Registration) -> Result<Outcome, Refusal> {
        let verdict = self.own_verdict(act, event)?;
        let device = match self.find_device(&verdict.device_id)? {
            None => {
                let device = fresh(&verdict, act.at, DeviceOrigin::Line, BoundBy::Line);
                let (unit, _) = self.creation(act, &device, Bytes::new())?;
                return Ok(Outcome::Record(Box::new(unit), Sessions::Stay));
            }
            Some(device) => device,
        };
        let ended = keys::ended(&verdict.device_id, &verdict.certificate());
        if self.store.get(&ended).map_err(|e| refuse_store(&e))?.is_some() {
            // A feed that is told anew tells of certificates that went out of use since: they do not come back.
            return Ok(Outcome::Done);
        }
        rebound(act, &verdict, device.0, &device.1)
    }

    /// What the event's chain says, if the line of the company that made the device tells it.
    fn own_verdict(&self, act: &Act, event: &Registration) -> Result<Verdict, Refusal> {
        let chain = PresentedChain::new(event.chain.clone())?;
        let view = self.view();
        let verdict = judge::judge(&Presented::read(chain.certificates())?, &event.device_id, &view, act.at)
            .map_err(|refusal| wait_for_operator(refusal, view.cas().is_empty()))?;
        let maker = verdict.hops.last().map(|hop| hop.to.as_str());
        if maker != Some(act.caller.manufacturer.as_str()) {
            return Err(not_yours(&event.device_id, maker.unwrap_or("nobody")));
        }
        check_id(&verdict.device_id)?;
        Ok(verdict)
    }

    /// A device whose certificate went out of use before the hub heard of it: it is known from now on, so that a first connection with that
    /// certificate finds what became of it. Nothing to do for lines that send no chain.
    fn out_of_use(&self, act: &Act, event: &Registration, status: DeviceStatus) -> Result<Outcome, Refusal> {
        if event.chain.is_empty() {
            return Ok(Outcome::Done);
        }
        let verdict = self.own_verdict(act, event)?;
        let mut device = fresh(&verdict, act.at, DeviceOrigin::Line, BoundBy::Line);
        device.set_status(status);
        let (mut unit, _) = self.creation(act, &device, Bytes::new())?;
        if event.event() == LineEvent::Superseded {
            unit.claims.push(Claim { key: keys::ended(&device.device_id, &verdict.certificate()), rule: Rule::Any });
        }
        Ok(Outcome::Record(Box::new(unit), Sessions::Stay))
    }

    fn superseded(&self, act: &Act, event: &Registration) -> Result<Outcome, Refusal> {
        let certificate = wire::read_digest("certificate_sha256", &event.certificate_sha256)?;
        let Some((_, device)) = self.find_device(&lower(&event.device_id))? else {
            return self.out_of_use(act, event, DeviceStatus::Enabled);
        };
        check_maker(act, &device)?;
        let key = keys::ended(&device.device_id, &certificate);
        if self.store.get(&key).map_err(|e| refuse_store(&e))?.is_some() {
            return Ok(Outcome::Done);
        }
        let fact = HubCertificateEnded {
            certificate_sha256: wire::digest(&certificate),
            device_id: device.device_id,
            reason: "CERTIFICATE_SUPERSEDED".to_owned(),
        };
        let mut unit = act.unit(Fact::HubCertificateEnded(fact));
        unit.claims = vec![Claim { key, rule: Rule::Absent }];
        Ok(Outcome::Record(Box::new(unit), Sessions::MayEnd))
    }

    /// Changes the status of a device that is known. Of one that is not, only that it is scrapped is worth knowing.
    fn with_device(
        &self,
        act: &Act,
        event: &Registration,
        status: impl FnOnce(&Device) -> Option<DeviceStatus>,
    ) -> Result<Outcome, Refusal> {
        let Some((at, device)) = self.find_device(&lower(&event.device_id))? else {
            return match event.event() {
                LineEvent::Scrapped => self.out_of_use(act, event, DeviceStatus::Scrapped),
                LineEvent::Unspecified | LineEvent::Written | LineEvent::Superseded | LineEvent::Reinstated => {
                    Ok(Outcome::Done)
                }
            };
        };
        check_maker(act, &device)?;
        let Some(status) = status(&device) else { return Ok(Outcome::Done) };
        let mut changed = device;
        changed.set_status(status);
        changed.status_updated_at = Some(wire::timestamp(act.at));
        changed.etag = own_etag(&changed.etag, act.at, status.as_str_name().as_bytes());
        let unit = device_unit(act, &changed, Some(at), Bytes::new(), Fate::Kept)?;
        Ok(Outcome::Record(Box::new(unit), Sessions::MayEnd))
    }
}

/// One call's events on their way. Units of different devices are committed together and share a sync.
struct Run<'a> {
    books: &'a Books,
    act: Act,
    results: Vec<RegistrationResult>,
    /// Units to be committed, with the device and the place of their event.
    pending: Vec<(String, usize, Registration, Unit)>,
    sessions: Sessions,
}

impl Run<'_> {
    /// Takes one event; answers why it is refused, unless what it comes to is committed later.
    fn take(&mut self, event: &Registration) -> Result<Option<Refusal>, Refusal> {
        let device = lower(&event.device_id);
        let waiting: BTreeSet<&str> = self.pending.iter().map(|(device, ..)| device.as_str()).collect();
        if waiting.contains(device.as_str()) {
            self.flush()?;
        }
        match self.books.event(&self.act, event) {
            Ok(Outcome::Done) => Ok(None),
            Ok(Outcome::Record(unit, sessions)) => {
                if sessions == Sessions::MayEnd {
                    self.sessions = sessions;
                }
                self.pending.push((device, self.results.len(), event.clone(), *unit));
                Ok(None)
            }
            // What the hub itself fails at says nothing of the event: the whole call is made again.
            Err(refusal) if is_own_failure(&refusal) => Err(refusal),
            Err(refusal) => Ok(Some(refusal)),
        }
    }

    /// Commits what waits. An event that somebody was faster than is decided again, once.
    fn flush(&mut self) -> Result<(), Refusal> {
        let pending = std::mem::take(&mut self.pending);
        let units = pending.iter().map(|(_, _, _, unit)| unit.clone()).collect();
        let outcomes = self.books.store.commit(units).map_err(|e| refuse_store(&e))?;
        for ((_, place, event, _), outcome) in pending.into_iter().zip(outcomes) {
            if outcome.is_ok() {
                continue;
            }
            let refusal = match self.books.event(&self.act, &event) {
                Ok(Outcome::Done) => continue,
                Ok(Outcome::Record(unit, _)) => match commit_one(self.books.store.as_ref(), *unit)? {
                    Ok(_) => continue,
                    Err(_) => return Err(outrun()),
                },
                Err(refusal) if is_own_failure(&refusal) => return Err(refusal),
                Err(refusal) => refusal,
            };
            if let Some(result) = self.results.get_mut(place) {
                result.refusal = Some(refusal.to_wire());
            }
        }
        Ok(())
    }
}

/// A device that is known and was written by its line.
fn rebound(act: &Act, verdict: &Verdict, at: Position, device: &Device) -> Result<Outcome, Refusal> {
    let id = &device.device_id;
    if thumbprints(device).is_some() {
        let message = format!("device {id} is registered with a thumbprint");
        return Err(Refusal::new("HUB_DEVICE_EXISTS", message).with("device_id", id));
    }
    let certificate = verdict.certificate();
    let Some(before) = &device.binding else {
        let unit =
            device_unit(act, &bound(device, verdict, act.at, BoundBy::Line), Some(at), Bytes::new(), Fate::Kept)?;
        return Ok(Outcome::Record(Box::new(unit), Sessions::Stay));
    };
    let same = before.certificate_sha256 == certificate.as_bytes().as_slice();
    if same && before.registered_by_line {
        return Ok(Outcome::Done);
    }
    if before.registered_by_line && before.manufacturer != act.caller.manufacturer {
        let message = format!("device {id} was registered by the line of {}", before.manufacturer);
        return Err(Refusal::new("WRONG_LOT", message).with("device_id", id).with("bound_name", &before.dns_name));
    }
    if before.registered_by_line && verdict.generation < before.generation {
        return Ok(Outcome::Done);
    }
    let mut unit =
        device_unit(act, &bound(device, verdict, act.at, BoundBy::Line), Some(at), Bytes::new(), Fate::Kept)?;
    if same {
        return Ok(Outcome::Record(Box::new(unit), Sessions::Stay));
    }
    // With the same record, so that there is no moment at which both are good.
    if let Some(old) = Sha256::from_slice(&before.certificate_sha256) {
        unit.claims.push(Claim { key: keys::ended(id, &old), rule: Rule::Any });
    }
    Ok(Outcome::Record(Box::new(unit), Sessions::MayEnd))
}

fn check_maker(act: &Act, device: &Device) -> Result<(), Refusal> {
    let maker = device.binding.as_ref().map(|bound| bound.manufacturer.as_str());
    match maker {
        Some(maker) if maker == act.caller.manufacturer => Ok(()),
        Some(maker) => Err(not_yours(&device.device_id, maker)),
        None => {
            let message = format!("device {} is bound to no certificate", device.device_id);
            Err(Refusal::new("NOT_BOUND_TO_CERTIFICATE", message).with("device_id", &device.device_id))
        }
    }
}

/// A CA that is yet to be registered or proven is not the event's fault.
fn wait_for_operator(refusal: Refusal, nothing_registered: bool) -> Refusal {
    match refusal.reason() {
        "CA_UNVERIFIED" => refusal.retry_after(OPERATOR_PATIENCE),
        "UNKNOWN_ISSUER" if nothing_registered => refusal.retry_after(OPERATOR_PATIENCE),
        _ => refusal,
    }
}

/// Whether a refusal is no verdict: the store cannot be read, say. A line asks again, and must not find its event passed over.
fn is_own_failure(refusal: &Refusal) -> bool {
    let own = matches!(refusal.code(), Code::Unavailable | Code::Internal | Code::DataLoss | Code::Unknown);
    own && refusal.retry_delay().is_none()
}

fn not_yours(device: &str, maker: &str) -> Refusal {
    Refusal::new("NOT_YOURS", format!("device {device} was made by {maker}")).with("device_id", device)
}

/// Countersign's device ids are kept in lower case.
fn lower(id: &str) -> String {
    id.to_ascii_lowercase()
}

fn result(event: &Registration, refusal: Option<Refusal>) -> RegistrationResult {
    RegistrationResult {
        sequence: event.sequence,
        device_id: event.device_id.clone(),
        refusal: refusal.map(|refusal| refusal.to_wire()),
    }
}
