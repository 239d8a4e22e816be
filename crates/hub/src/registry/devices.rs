//! Devices as operators keep them.

use api::{
    Refusal,
    hub::v1::{
        Authentication, CaSigned, CreatedDevice, Device, DeviceOrigin, DeviceStatus, NewDevice, authentication,
        created_device,
    },
    journal::v1::{HubDeviceChanged, HubDevicesCreated, record::Fact},
};
use records::{Act, Attempt, named, once, read, refuse_conflict, refuse_store, wire};
use store::{Claim, Conflict, Entry, Position, Record, Rule, Unit};

use super::{
    books::Books,
    change::{Change, check_etag},
    keys,
};

/// Most devices created by one call.
const MOST_AT_ONCE: usize = 100;
/// Most octets of a device id.
const MAX_ID: usize = 128;
/// Most octets of a status reason.
const MAX_WHY: usize = 128;

/// A status that an operator sets.
#[derive(Debug, Clone)]
pub(crate) struct StatusChange {
    pub(crate) device_id: String,
    pub(crate) status: DeviceStatus,
    pub(crate) why: String,
    /// The etag that the operator saw; none: whatever it is.
    pub(crate) etag: Option<String>,
}

impl Books {
    /// Creates a device; the same content again is the same device.
    ///
    /// # Errors
    /// `HUB_DEVICE_ID_INVALID`, `HUB_DEVICE_EXISTS`, `REQUEST_ID_REUSED`, `REQUEST_MALFORMED`.
    pub(crate) fn create_device(&self, change: &Change, new: &NewDevice) -> Result<Device, Refusal> {
        self.change_device(change, |attempt| {
            let device = self.new_device(change, new)?;
            let (unit, before) = self.creation(attempt.act(), &device, change.digest())?;
            if let Some(before) = before {
                return same_or_refused(before, &device);
            }
            attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, &device.device_id))?;
            Ok(device)
        })
    }

    /// Creates up to 100 devices; each succeeds or is refused on its own.
    ///
    /// # Errors
    /// `REQUEST_MALFORMED` for more, `REQUEST_ID_REUSED`.
    pub(crate) fn create_devices(&self, change: &Change, new: &[NewDevice]) -> Result<Vec<CreatedDevice>, Refusal> {
        if new.len() > MOST_AT_ONCE {
            let message = format!("{} devices, at most {MOST_AT_ONCE} are created at once", new.len());
            return Err(Refusal::malformed("devices", message));
        }
        let act = change.act(self.clock.now());
        // Which of them are there is told anew each time, by their content.
        let before = |record: &Record| match read(record)? {
            (_, Fact::HubDevicesCreated(before)) => {
                change.is_repetition_of(&before.request_digest)?;
                self.create_each(change, &act, new)
            }
            _ => Err(records::reused(&act, "content")),
        };
        let results = once(self.store.as_ref(), &act, before, |attempt| {
            let results = self.create_each(change, &act, new)?;
            self.record_bulk(change, &results, attempt)?;
            Ok(results)
        })?;
        Ok(new.iter().zip(results).map(|(new, result)| created(new, result)).collect())
    }

    /// Creates what is not there yet.
    fn create_each(
        &self,
        change: &Change,
        act: &Act,
        new: &[NewDevice],
    ) -> Result<Vec<Result<Device, Refusal>>, Refusal> {
        let mut results: Vec<Result<Device, Refusal>> = Vec::with_capacity(new.len());
        let mut units = Vec::new();
        let mut waiting = Vec::new();
        for (place, new) in new.iter().enumerate() {
            results.push(match self.planned(change, act, new) {
                Ok(Planned::There(device)) => Ok(device),
                Ok(Planned::Fresh(device, unit)) => {
                    waiting.push(place);
                    units.push(*unit);
                    Ok(device)
                }
                Err(refusal) => Err(refusal),
            });
        }
        // One call, so that all share one sync.
        let outcomes = self.store.commit(units).map_err(|e| refuse_store(&e))?;
        for (place, outcome) in waiting.into_iter().zip(outcomes) {
            if let (Err(conflict), Some(result)) = (outcome, results.get_mut(place)) {
                *result = self.after_conflict(result, &conflict);
            }
        }
        Ok(results)
    }

    /// Enables or disables a device.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `ETAG_STALE`, `DEVICE_SCRAPPED`, `REQUEST_MALFORMED`, `REQUEST_ID_REUSED`.
    pub(crate) fn set_status(&self, change: &Change, status: &StatusChange) -> Result<Device, Refusal> {
        let answer = self.change_device(change, |attempt| {
            check_why("status_reason", &status.why)?;
            let (at, mut device) = self.device_on_record(&status.device_id)?;
            if let Some(etag) = &status.etag {
                check_etag(&device.device_id, &device.etag, etag)?;
            }
            if device.status() == DeviceStatus::Scrapped {
                let message = format!("device {} was scrapped; its line reinstates it", device.device_id);
                return Err(Refusal::new("DEVICE_SCRAPPED", message));
            }
            let (new, why) = match status.status {
                DeviceStatus::Enabled => (DeviceStatus::Enabled, String::new()),
                DeviceStatus::Disabled => (DeviceStatus::Disabled, said(&status.why)),
                DeviceStatus::Unspecified | DeviceStatus::Scrapped => {
                    return Err(Refusal::malformed("status", "is neither ENABLED nor DISABLED"));
                }
            };
            device.set_status(new);
            device.status_reason = why;
            device.status_updated_at = Some(wire::timestamp(attempt.act().at));
            device.etag = change.etag(&device.etag);
            let unit = device_unit(attempt.act(), &device, Some(at), change.digest(), Fate::Kept)?;
            attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, &device.device_id))?;
            Ok(device)
        })?;
        self.revoke();
        Ok(answer)
    }

    /// Forgets a device. What was counted under its lot stays counted: a lot does not grow by forgetting.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `ETAG_STALE`, `REQUEST_ID_REUSED`.
    pub(crate) fn delete_device(&self, change: &Change, id: &str, etag: Option<&str>) -> Result<(), Refusal> {
        self.change_device(change, |attempt| {
            let (at, device) = self.device_on_record(id)?;
            if let Some(etag) = etag {
                check_etag(id, &device.etag, etag)?;
            }
            let unit = device_unit(attempt.act(), &device, Some(at), change.digest(), Fate::Deleted)?;
            attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, id))?;
            Ok(device)
        })?;
        self.revoke();
        Ok(())
    }

    /// One device.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`.
    pub(crate) fn device(&self, id: &str) -> Result<Device, Refusal> {
        self.device_on_record(id).map(|(_, device)| device)
    }

    /// Devices in the order of their ids, without chains; and the id to go on after, if there are more.
    ///
    /// # Errors
    /// What the store says.
    pub(crate) fn devices(&self, after: Option<&str>, limit: usize) -> Result<(Vec<Device>, Option<String>), Refusal> {
        let page = self.store.list(keys::DEVICES, after, limit).map_err(|e| refuse_store(&e))?;
        let next = page.last().map(|(name, _)| name.clone()).filter(|_| page.len() >= limit);
        let mut devices = Vec::with_capacity(page.len());
        for (_, record) in page {
            if let Some(mut device) = device_of(&record)? {
                if let Some(binding) = &mut device.binding {
                    binding.chain.clear();
                }
                devices.push(device);
            }
        }
        Ok((devices, next))
    }

    pub(super) fn find_device(&self, id: &str) -> Result<Option<(Position, Device)>, Refusal> {
        let Some(record) = self.store.get(&keys::device(id)).map_err(|e| refuse_store(&e))? else { return Ok(None) };
        Ok(device_of(&record)?.map(|device| (record.position, device)))
    }

    pub(super) fn device_on_record(&self, id: &str) -> Result<(Position, Device), Refusal> {
        self.find_device(id)?.ok_or_else(|| {
            let shown: String = id.chars().take(MAX_ID).collect();
            Refusal::new("DEVICE_UNKNOWN", format!("no device {shown:?} is registered")).with("device_id", &shown)
        })
    }

    /// The unit that creates a device, or the device that has its id. A device that was deleted is created over its last record.
    pub(super) fn creation(
        &self,
        act: &Act,
        device: &Device,
        digest: bytes::Bytes,
    ) -> Result<(Unit, Option<Device>), Refusal> {
        let record = self.store.get(&keys::device(&device.device_id)).map_err(|e| refuse_store(&e))?;
        let before = record.as_ref().map(device_of).transpose()?.flatten();
        let unit = device_unit(act, device, record.map(|record| record.position), digest, Fate::Kept)?;
        Ok((unit, before))
    }

    fn planned(&self, change: &Change, act: &Act, new: &NewDevice) -> Result<Planned, Refusal> {
        let device = self.new_device(change, new)?;
        match self.creation(act, &device, bytes::Bytes::new())? {
            (_, Some(before)) => same_or_refused(before, &device).map(Planned::There),
            (unit, None) => Ok(Planned::Fresh(device, Box::new(unit))),
        }
    }

    /// Somebody else was faster, or the same id stands twice in one call.
    fn after_conflict(&self, planned: &Result<Device, Refusal>, conflict: &Conflict) -> Result<Device, Refusal> {
        let planned = planned.as_ref().map_err(Clone::clone)?;
        match self.find_device(&planned.device_id)? {
            Some((_, before)) => same_or_refused(before, planned),
            None => Err(refuse_conflict(conflict, &planned.device_id)),
        }
    }

    /// So that the request id stands for this content from now on.
    fn record_bulk(
        &self,
        change: &Change,
        results: &[Result<Device, Refusal>],
        attempt: Attempt<'_>,
    ) -> Result<(), Refusal> {
        let created = results.iter().filter_map(|result| result.as_ref().ok());
        let fact = HubDevicesCreated {
            device_ids: created.map(|device| device.device_id.clone()).collect(),
            request_digest: change.digest(),
        };
        let unit = attempt.act().unit(Fact::HubDevicesCreated(fact));
        attempt.commit(unit)?.map(drop).map_err(|c| refuse_conflict(&c, ""))
    }

    fn new_device(&self, change: &Change, new: &NewDevice) -> Result<Device, Refusal> {
        check_id(&new.device_id)?;
        check_why("status_reason", &new.status_reason)?;
        let now = Some(wire::timestamp(self.clock.now()));
        let (status, why) = match new.status() {
            DeviceStatus::Unspecified | DeviceStatus::Enabled => (DeviceStatus::Enabled, String::new()),
            DeviceStatus::Disabled => (DeviceStatus::Disabled, said(&new.status_reason)),
            DeviceStatus::Scrapped => return Err(Refusal::malformed("status", "is neither ENABLED nor DISABLED")),
        };
        Ok(Device {
            device_id: new.device_id.clone(),
            status: status.into(),
            status_reason: why,
            authentication: Some(checked_authentication(new.authentication.as_ref())?),
            binding: None,
            created_at: now,
            status_updated_at: now,
            etag: change.etag(&new.device_id),
            origin: DeviceOrigin::Operator.into(),
        })
    }

    /// Makes a change of one device; a repetition gets the device that the change made.
    fn change_device(
        &self,
        change: &Change,
        make: impl FnOnce(Attempt<'_>) -> Result<Device, Refusal>,
    ) -> Result<Device, Refusal> {
        let act = change.act(self.clock.now());
        let before = |record: &Record| device_of_repetition(change, record);
        once(self.store.as_ref(), &act, before, make)
    }
}

/// What one device of a bulk comes to.
enum Planned {
    There(Device),
    Fresh(Device, Box<Unit>),
}

/// What becomes of a device with a change.
pub(super) enum Fate {
    Kept,
    Deleted,
}

/// The unit that makes a device what it says, over the record that it was decided on.
pub(super) fn device_unit(
    act: &Act,
    device: &Device,
    before: Option<Position>,
    digest: bytes::Bytes,
    fate: Fate,
) -> Result<Unit, Refusal> {
    let deleted = match fate {
        Fate::Kept => false,
        Fate::Deleted => true,
    };
    let fact = HubDeviceChanged { device: Some(device.clone()), deleted, request_digest: digest };
    let mut unit = act.unit(Fact::HubDeviceChanged(fact));
    unit.claims = vec![Claim { key: keys::device(&device.device_id), rule: before.map_or(Rule::Absent, Rule::At) }];
    unit.entry = Some(Entry::new(keys::DEVICES, &device.device_id).map_err(named(store::EntryInvalid::reason))?);
    Ok(unit)
}

/// The device of a record, unless it was deleted.
fn device_of(record: &Record) -> Result<Option<Device>, Refusal> {
    match read(record)? {
        (_, Fact::HubDeviceChanged(changed)) => Ok(changed.device.filter(|_| !changed.deleted)),
        _ => {
            let message = format!("the record at {} is not that of a device", record.position);
            Err(Refusal::new("JOURNAL_DAMAGED", message))
        }
    }
}

fn device_of_repetition(change: &Change, record: &Record) -> Result<Device, Refusal> {
    match read(record)? {
        (_, Fact::HubDeviceChanged(HubDeviceChanged { device: Some(device), request_digest, .. })) => {
            change.is_repetition_of(&request_digest)?;
            Ok(device)
        }
        _ => change.is_repetition_of(&[]).map(|()| Device::default()),
    }
}

fn same_or_refused(before: Device, asked: &Device) -> Result<Device, Refusal> {
    let same = before.authentication == asked.authentication
        && before.status == asked.status
        && before.status_reason == asked.status_reason;
    if same {
        return Ok(before);
    }
    let message = format!("device {} is registered with other content", before.device_id);
    Err(Refusal::new("HUB_DEVICE_EXISTS", message).with("device_id", &before.device_id))
}

fn created(new: &NewDevice, result: Result<Device, Refusal>) -> CreatedDevice {
    let result = match result {
        Ok(device) => created_device::Result::Device(device),
        Err(refusal) => created_device::Result::Refusal(refusal.to_wire()),
    };
    CreatedDevice { device_id: new.device_id.clone(), result: Some(result) }
}

fn said(why: &str) -> String {
    if why.is_empty() { "no reason was given".to_owned() } else { why.to_owned() }
}

pub(super) fn check_id(id: &str) -> Result<(), Refusal> {
    let allowed = |c: u8| c.is_ascii_alphanumeric() || b"-.+%_#*?!(),=@$':".contains(&c);
    if (1..=MAX_ID).contains(&id.len()) && id.bytes().all(allowed) {
        return Ok(());
    }
    let shown: String = id.chars().take(MAX_ID).collect();
    Err(Refusal::new("HUB_DEVICE_ID_INVALID", format!("{shown:?} is no device id of a hub")))
}

pub(super) fn check_why(field: &str, why: &str) -> Result<(), Refusal> {
    if why.len() <= MAX_WHY && !why.chars().any(char::is_control) {
        return Ok(());
    }
    Err(Refusal::malformed(field, format!("is longer than {MAX_WHY} octets, or has control characters")))
}

fn checked_authentication(asked: Option<&Authentication>) -> Result<Authentication, Refusal> {
    match asked.and_then(|asked| asked.kind.clone()) {
        None | Some(authentication::Kind::CaSigned(_)) => {
            Ok(Authentication { kind: Some(authentication::Kind::CaSigned(CaSigned {})) })
        }
        Some(authentication::Kind::Thumbprints(thumbprints)) => {
            let fits = |thumbprint: &[u8]| matches!(thumbprint.len(), 0 | 20 | 32);
            let one = !thumbprints.primary.is_empty() || !thumbprints.secondary.is_empty();
            if !one || !fits(&thumbprints.primary) || !fits(&thumbprints.secondary) {
                let what = "needs at least one thumbprint, of 20 octets (SHA-1) or 32 (SHA-256)";
                return Err(Refusal::malformed("authentication.thumbprints", what));
            }
            Ok(Authentication { kind: Some(authentication::Kind::Thumbprints(thumbprints)) })
        }
    }
}
