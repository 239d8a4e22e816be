//! Registrations for the hub: what was written, superseded, scrapped and brought back, in the order in which it happened.

mod overtaken;

use api::{
    Refusal,
    hub::v1::{
        LineEvent, RegisterDevicesRequest, RegisterDevicesResponse, Registration,
        registration_service_client::RegistrationServiceClient,
    },
    issuance::v1::Occasion,
    journal::v1::{UnitIssued, UnitRegistered, record::Fact},
};
use bytes::Bytes;
use pki::Sha256;
use records::{Act, Caller, keys, read, read_at, wire};
use service::{Clock, client::PeerChannel};
use std::sync::Arc;
use store::{Claim, Record, Rule, Store};

use super::{Answered, Delivery, Destination, Outcome, may_pass};
use crate::{
    lots::chain_on_record,
    unit::{Stage, UnitOnRecord},
};

/// The hub as a destination.
pub(crate) struct ToHub {
    pub(crate) client: RegistrationServiceClient<PeerChannel>,
    pub(crate) clock: Arc<dyn Clock>,
    /// The manufacturer, as the journal's actor.
    pub(crate) manufacturer: String,
}

#[tonic::async_trait]
impl Destination for ToHub {
    type Content = Registration;

    const NAME: &'static str = "hub";

    fn delivery(&self, store: &dyn Store, record: &Record) -> Result<Option<Delivery<Registration>>, Refusal> {
        let Some((device_id, event, chain, certificate_sha256)) = event(store, record)? else { return Ok(None) };
        let content = Registration {
            sequence: record.position.as_u64(),
            device_id: device_id.clone(),
            event: event.into(),
            chain,
            certificate_sha256,
        };
        Ok(Some(Delivery { position: record.position, device_id, content }))
    }

    fn is_overtaken(&self, store: &dyn Store, record: &Record) -> Result<bool, Refusal> {
        overtaken::is_overtaken(store, record)
    }

    async fn deliver(&self, feed: &str, batch: &[Delivery<Registration>]) -> Result<Answered, Refusal> {
        let registrations = batch.iter().map(|delivery| delivery.content.clone()).collect();
        let request = RegisterDevicesRequest { feed: feed.to_owned(), registrations };
        let answer = self.client.clone().register_devices(request).await.map_err(|s| Refusal::from_status(&s))?;
        let RegisterDevicesResponse { results, restored_at, .. } = answer.into_inner();
        let outcome =
            |(delivery, result): (&Delivery<Registration>, api::hub::v1::RegistrationResult)| match result.refusal {
                None => Outcome::Arrived(self.registered(delivery).into_iter().collect()),
                Some(refusal) => {
                    let refusal = Refusal::from_wire(refusal);
                    if may_pass(&refusal) { Outcome::Later(refusal) } else { Outcome::Refused(refusal) }
                }
            };
        Ok(Answered { outcomes: batch.iter().zip(results).map(outcome).collect(), restored_at })
    }
}

impl ToHub {
    /// A written unit is a registered one from now on, if nothing came in between.
    fn registered(&self, delivery: &Delivery<Registration>) -> Option<store::Unit> {
        if delivery.content.event() != LineEvent::Written {
            return None;
        }
        let act = Act { at: self.clock.now(), caller: Caller::service(&self.manufacturer), request: None };
        let mut unit = act.unit(Fact::UnitRegistered(UnitRegistered { written_at: delivery.position.as_u64() }));
        unit.claims = vec![Claim { key: keys::unit(&delivery.device_id), rule: Rule::At(delivery.position) }];
        Some(unit)
    }
}

type Event = (String, LineEvent, Vec<Bytes>, Bytes);

/// What a record means for the hub, if anything.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "every other fact is about something else, also one that is added later"
)]
fn event(store: &dyn Store, record: &Record) -> Result<Option<Event>, Refusal> {
    let of = |issued_at: u64, event: LineEvent| {
        let issued = issued(store, issued_at)?;
        let digest = wire::digest(&Sha256::of(&issued.certificate));
        Ok(Some((issued.device_id.clone(), event, chain(store, issued)?, digest)))
    };
    match read(record)?.1 {
        Fact::UnitWritten(written) => {
            let issued = issued(store, written.issued_at)?;
            Ok(Some((issued.device_id.clone(), LineEvent::Written, chain(store, issued)?, Bytes::new())))
        }
        Fact::UnitIssued(issued) => superseded(store, &issued),
        Fact::UnitScrapped(scrapped) => of(scrapped.issued_at, LineEvent::Scrapped),
        Fact::UnitReinstated(back) => of(back.issued_at, LineEvent::Reinstated),
        _ => Ok(None),
    }
}

/// What a replacement took the place of is superseded at once: nobody has written it. What a rework takes the place of is on the
/// device until the new one is written, and the confirmation supersedes it then.
fn superseded(store: &dyn Store, issued: &UnitIssued) -> Result<Option<Event>, Refusal> {
    let (_, _, fact) = read_at(store, issued.requested_at)?;
    let Fact::UnitRequested(requested) = fact else { return Ok(None) };
    if requested.occasion.cast_signed() != i32::from(Occasion::Replacement) {
        return Ok(None);
    }
    let Some(before_at) = requested.before_at else { return Ok(None) };
    let (record, ..) = read_at(store, before_at)?;
    let before = UnitOnRecord::from_record(store, &record)?.map(|unit| unit.restored(store)).transpose()?;
    let Some(Stage::Issued(before)) = before.map(|unit| unit.stage) else { return Ok(None) };
    let digest = wire::digest(&Sha256::of(&before.issued.certificate));
    Ok(Some((issued.device_id.clone(), LineEvent::Superseded, chain(store, before.issued)?, digest)))
}

/// The certificate that was issued, and everything above it.
fn chain(store: &dyn Store, issued: UnitIssued) -> Result<Vec<Bytes>, Refusal> {
    Ok(std::iter::once(issued.certificate).chain(chain_on_record(store, &issued.lot)?).collect())
}

fn issued(store: &dyn Store, at: u64) -> Result<UnitIssued, Refusal> {
    match read_at(store, at)? {
        (_, _, Fact::UnitIssued(issued)) => Ok(issued),
        (record, ..) => Err(Refusal::new("JOURNAL_DAMAGED", format!("the record at {} is no issue", record.position))),
    }
}
