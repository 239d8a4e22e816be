//! What was set aside is sent again, when an operator asks for it: in order, in a feed of its own, before anything newer is told.
//!
//! Only what is still so is told. A device that was scrapped and came back meanwhile is not scrapped once more; what was overtaken is
//! released without being sent. So it does not matter that later events of a device may have arrived before. A crash in between begins
//! from the first delivery that is still aside.

use std::sync::Arc;

use api::{
    Refusal,
    journal::v1::{OutboxAskedAgain, OutboxQuarantined, OutboxSentAgain, record::Fact},
};
use records::{Act, commit_one, keys, once, read, refuse_conflict, refuse_store, reused};
use store::{Claim, Position, Record, Rule, Store};
use tracing::info;

use super::{
    Answered, BATCH, Delivery, Destination, Outbox, Outcome, Progress, ToHub, ToSigner, act,
    aside::{self, QUARANTINE},
    new_feed,
};

/// What was set aside being sent again.
#[derive(Debug)]
pub(super) struct Pass {
    asked_at: Position,
    feed: String,
    /// The name of the last entry that was looked at.
    after: String,
    arrived: u64,
    refused: u64,
}

/// A part of what is aside.
struct Part<T> {
    deliveries: Vec<(OutboxQuarantined, String, Delivery<T>)>,
    overtaken: Vec<OutboxQuarantined>,
    /// The name of the last entry.
    after: String,
    is_last: bool,
}

/// Puts on record that everything is to be sent again that is aside for a destination.
///
/// # Errors
/// `REQUEST_MALFORMED` for an unknown destination, `REQUEST_ID_REUSED`, what the store says.
pub(crate) fn ask(store: &dyn Store, act: &Act, destination: &str) -> Result<(), Refusal> {
    if ![ToHub::NAME, ToSigner::NAME].contains(&destination) {
        let what = format!("is neither {} nor {}", ToHub::NAME, ToSigner::NAME);
        return Err(Refusal::malformed("destination", what));
    }
    let before = |record: &Record| match read(record)? {
        (_, Fact::OutboxAskedAgain(before)) if before.destination == destination => Ok(()),
        _ => Err(reused(act, "content")),
    };
    once(store, act, before, |attempt| {
        let mut unit = act.unit(Fact::OutboxAskedAgain(OutboxAskedAgain { destination: destination.to_owned() }));
        unit.claims = vec![Claim { key: keys::send_again(destination), rule: Rule::Any }];
        attempt.commit(unit)?.map(drop).map_err(|c| refuse_conflict(&c, ""))
    })
}

impl<D: Destination> Outbox<D> {
    /// Sends one part again of what is aside; none when nobody asked for it.
    ///
    /// # Errors
    /// When it has to be tried again later.
    pub(super) async fn again(&mut self) -> Result<Option<Progress>, Refusal> {
        let store = Arc::clone(&self.tools.store);
        let asked_at = self.tools.workers.run(move || asked(store.as_ref(), D::NAME)).await?;
        let Some(asked_at) = asked_at else { return Ok(None) };
        let pass = match self.pass.take().filter(|pass| pass.asked_at == asked_at) {
            Some(pass) => pass,
            None => {
                let after = aside::prefix(D::NAME);
                Pass { asked_at, feed: new_feed()?, after, arrived: 0, refused: 0 }
            }
        };
        // Until it is known what came of the part, the pass stands where it is.
        let pass = self.pass.insert(pass);
        let (feed, after) = (pass.feed.clone(), pass.after.clone());
        let part = self.read_aside(asked_at, after).await?;
        let batch: Vec<_> = part.deliveries.iter().map(|(_, _, delivery)| delivery.clone()).collect();
        let outcomes = if batch.is_empty() {
            Vec::new()
        } else {
            let Answered { outcomes, restored_at } = self.destination.deliver(&feed, &batch).await?;
            if restored_at != self.restored_at {
                // The feed that begins anew tells what is aside as well.
                return self.begin_anew(restored_at).await.map(Some);
            }
            outcomes
        };
        self.settle(part, outcomes).await.map(Some)
    }

    async fn settle(&mut self, part: Part<D::Content>, outcomes: Vec<Outcome>) -> Result<Progress, Refusal> {
        let (act, mut units) = (act(&self.tools), Vec::new());
        let (mut released, mut refused) = (0, 0);
        let (mut after, mut is_last) = (part.after, part.is_last);
        for aside in part.overtaken {
            units.push(aside::release(&act, aside)?);
            released += 1;
        }
        for ((aside, name, delivery), outcome) in part.deliveries.into_iter().zip(outcomes) {
            match outcome {
                Outcome::Arrived(about) => {
                    units.extend(about);
                    units.push(aside::release(&act, aside)?);
                    released += 1;
                }
                Outcome::Refused(refusal) => {
                    refused += 1;
                    units.push(aside::put_aside(&act, D::NAME, &delivery, &refusal)?);
                }
                // It waits for a person once more, and so do no others: it stays aside, and the rest is asked about anew.
                Outcome::Later(refusal) => {
                    refused += 1;
                    units.push(aside::put_aside(&act, D::NAME, &delivery, &refusal)?);
                    (after, is_last) = (name, false);
                    break;
                }
            }
        }
        self.tools.commits.commit_all(units).await?;
        self.place.release(released);
        let Some(pass) = &mut self.pass else { return Ok(Progress::Moved) };
        pass.after = after;
        pass.arrived += released;
        pass.refused += refused;
        if is_last {
            self.end_pass().await?;
        }
        Ok(Progress::Moved)
    }

    async fn end_pass(&mut self) -> Result<(), Refusal> {
        let Some(Pass { asked_at, arrived, refused, .. }) = self.pass.take() else { return Ok(()) };
        let fact = OutboxSentAgain { destination: D::NAME.to_owned(), asked_at: asked_at.as_u64() };
        let mut unit = act(&self.tools).unit(Fact::OutboxSentAgain(fact));
        unit.claims = vec![Claim { key: keys::send_again(D::NAME), rule: Rule::At(asked_at) }];
        let store = Arc::clone(&self.tools.store);
        // A conflict means that somebody asked again meanwhile.
        let _ = self.tools.workers.run(move || commit_one(store.as_ref(), unit)).await?;
        info!(destination = D::NAME, released = arrived, refused, "what was set aside was sent again");
        Ok(())
    }

    async fn read_aside(&self, asked_at: Position, after: String) -> Result<Part<D::Content>, Refusal> {
        let (store, destination) = (Arc::clone(&self.tools.store), Arc::clone(&self.destination));
        self.tools.workers.run(move || read_aside(store.as_ref(), destination.as_ref(), asked_at, after)).await
    }
}

/// Where it stands on record that what is aside is to be sent again, if that is still to be done.
fn asked(store: &dyn Store, destination: &str) -> Result<Option<Position>, Refusal> {
    let Some(record) = store.get(&keys::send_again(destination)).map_err(|e| refuse_store(&e))? else {
        return Ok(None);
    };
    match read(&record)? {
        (_, Fact::OutboxAskedAgain(_)) => Ok(Some(record.position)),
        _ => Ok(None),
    }
}

fn read_aside<D: Destination>(
    store: &dyn Store,
    destination: &D,
    asked_at: Position,
    after: String,
) -> Result<Part<D::Content>, Refusal> {
    let listed = store.list(QUARANTINE, Some(&after), BATCH).map_err(|e| refuse_store(&e))?;
    let prefix = aside::prefix(D::NAME);
    let is_last = listed.len() < BATCH || listed.iter().any(|(name, _)| !name.starts_with(&prefix));
    let mut part = Part { deliveries: Vec::new(), overtaken: Vec::new(), after, is_last };
    for (name, record) in listed.into_iter().take_while(|(name, _)| name.starts_with(&prefix)) {
        part.after.clone_from(&name);
        // What was set aside since was asked about since.
        let Some(aside) = aside::held(&record)?.filter(|_| record.position < asked_at) else { continue };
        let source = store.read(Position::from_u64(aside.position)).map_err(|e| refuse_store(&e))?;
        let delivery =
            if destination.is_overtaken(store, &source)? { None } else { destination.delivery(store, &source)? };
        match delivery {
            Some(delivery) => part.deliveries.push((aside, name, delivery)),
            None => part.overtaken.push(aside),
        }
    }
    Ok(part)
}
