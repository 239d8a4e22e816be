//! The station confirms what it wrote; from then on a server-made key lives on the device alone.

use api::{
    Refusal,
    journal::v1::{UnitWritten, record::Fact},
    provisioning::v1::Unit,
};
use mfg::{DeviceEvent, DeviceId};
use pki::Sha256;
use records::{Act, keys, named, reused, wire};
use store::{Claim, Rule};

use super::{Desk, request_key};
use crate::unit::{Stage, UnitOnRecord};

impl Desk {
    /// One unit.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`.
    pub(crate) async fn unit(&self, device_id: &DeviceId) -> Result<UnitOnRecord, Refusal> {
        self.newest(device_id.as_str())
            .await?
            .ok_or_else(|| Refusal::new("DEVICE_UNKNOWN", format!("unit {device_id} is not known here")))
    }

    /// Records that the certificate with this digest was read back from the device.
    ///
    /// # Errors
    /// `DEVICE_UNKNOWN`, `UNIT_NOT_ISSUED`, `WRITTEN_CERTIFICATE_DIFFERS`, `REQUEST_ID_REUSED`.
    pub(crate) async fn confirm(&self, act: Act, device_id: &DeviceId, certificate: Sha256) -> Result<Unit, Refusal> {
        if let Some(before) = self.before(&act).await? {
            let same_certificate = matches!(&before.stage, Stage::Issued(issued) if issued.certificate_sha256.as_deref() == Some(certificate.as_bytes().as_slice()));
            if before.requested.device_id != device_id.as_str() || !same_certificate {
                return Err(reused(&act, "content"));
            }
            return self.done_before(before).await;
        }
        let unit = self.unit(device_id).await?;
        let Stage::Issued(stands) = &unit.stage else {
            return Err(Refusal::new("UNIT_NOT_ISSUED", format!("unit {device_id} has no certificate yet")));
        };
        let issued = &stands.issued;
        let expected = Sha256::of(&issued.certificate);
        if expected != certificate {
            return Err(Refusal::new(
                "WRITTEN_CERTIFICATE_DIFFERS",
                format!("unit {device_id} has certificate {expected}, the device carries {certificate}"),
            )
            .with("expected_sha256", expected));
        }
        let after = stands.state.after(DeviceEvent::Confirm).map_err(named(mfg::TransitionRefusal::reason))?;
        if after != stands.state {
            self.record_written(&act, &unit, stands.at, &certificate).await?;
            self.outbox.send_replace(());
        }
        // Also when it was confirmed before: a crash may have come between the record and the destruction.
        if unit.requested.server_made_key {
            self.destroy_key(&unit.requested.key_digest).await?;
        }
        self.without_key(&self.unit(device_id).await?)
    }

    /// Answers what was carried out before, whatever became of the unit since: nothing is recorded, but a crash may have come before the
    /// key was destroyed. A unit that got another certificate since is told as it was left.
    pub(super) async fn done_before(&self, before: UnitOnRecord) -> Result<Unit, Refusal> {
        if before.requested.server_made_key {
            self.destroy_key(&before.requested.key_digest).await?;
        }
        let now = self.newest(&before.requested.device_id).await?;
        let same = now.filter(|now| now.requested_at == before.requested_at);
        self.without_key(&same.unwrap_or(before))
    }

    async fn record_written(
        &self,
        act: &Act,
        unit: &UnitOnRecord,
        issued_at: u64,
        certificate: &Sha256,
    ) -> Result<(), Refusal> {
        let written = UnitWritten { issued_at, certificate_sha256: wire::digest(certificate) };
        let mut record = act.unit(Fact::UnitWritten(written));
        record.claims = vec![Claim { key: keys::unit(&unit.requested.device_id), rule: Rule::At(unit.at) }];
        record.claims.extend(request_key(act).map(|key| Claim { key, rule: Rule::Absent }));
        match self.commits.commit(record).await? {
            Ok(_) => Ok(()),
            Err(conflict) => Err(records::refuse_conflict(&conflict, &unit.requested.lot)),
        }
    }
}
