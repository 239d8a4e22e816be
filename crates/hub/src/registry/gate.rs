//! What the device protocols ask.

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use api::{
    Refusal,
    hub::v1::{Judgement, Outcome, Property, TelemetryMessage},
};
use bytes::Bytes;
use records::{refuse_conflict, wire};
use tokio::sync::watch;

use super::{
    admit::{Entry, Plan, Step, outrun},
    lots::refuse_counting,
    talk::Registry,
};
use crate::admission::{
    Admission, Admitted, CloudMessage, DesiredPatch, MAX_CLAIMED, Message, PresentedChain, Protocol, Settlement, Twin,
};

/// How often an admission is decided again because somebody else changed what it was decided on.
const MOST_TRIES: usize = 8;

#[tonic::async_trait]
impl Admission for Registry {
    async fn admit(
        &self,
        presented: &PresentedChain,
        claimed: &str,
        protocol: Protocol,
        from: SocketAddr,
    ) -> Result<Admitted, Refusal> {
        let claimed = cut(claimed);
        match self.decided(presented, claimed).await {
            Ok(entry) => Ok(self.let_in(entry, claimed, protocol, from)),
            Err(refusal) => {
                alarm(&refusal);
                self.keep_refusal(presented.certificates(), claimed, protocol.as_str(), from.to_string(), &refusal)
                    .await;
                Err(refusal)
            }
        }
    }

    async fn refused(
        &self,
        presented: &[Bytes],
        claimed: &str,
        protocol: Protocol,
        from: SocketAddr,
        refusal: &Refusal,
    ) {
        self.keep_refusal(presented, cut(claimed), protocol.as_str(), from.to_string(), refusal).await;
    }

    fn turned_away(&self, refusal: &Refusal) {
        self.count_turned_away(refusal);
    }

    fn revocations(&self) -> watch::Receiver<u64> {
        self.parts.books.revocations()
    }

    async fn still_admitted(&self, admitted: &Admitted) -> Result<(), Refusal> {
        let asked = admitted.clone();
        let outcome = self.ask(move |books| books.still_admitted(&asked)).await;
        if let Err(refusal) = &outcome {
            let from = admitted.from.to_string();
            self.keep_refusal(&[], &admitted.claimed, admitted.protocol.as_str(), from, refusal).await;
        }
        outcome
    }

    async fn connected(&self, admitted: &Admitted) {
        self.parts.presence.connected(admitted, self.now());
    }

    async fn disconnected(&self, admitted: &Admitted, why: &str) {
        self.parts.presence.disconnected(admitted, self.now());
        let (mailbox, session) = (self.parts.mailboxes.of(&admitted.device), admitted.session);
        let released = self.parts.workers.run(move || {
            mailbox.release(session);
            Ok(())
        });
        let _ = released.await;
        self.keep(admitted, Outcome::Ended, why);
    }

    async fn telemetry(&self, admitted: &Admitted, message: Message) -> Result<(), Refusal> {
        let now = self.now();
        let kept = TelemetryMessage {
            device_id: admitted.device.to_string(),
            enqueued_at: Some(wire::timestamp(now)),
            system: properties(message.system),
            properties: properties(message.properties),
            body: message.body,
            protocol: admitted.protocol.as_str().to_owned(),
        };
        self.parts.telemetry.keep(kept, now).await?;
        self.count_telemetry();
        self.parts.presence.seen(admitted, now);
        Ok(())
    }

    async fn twin(&self, admitted: &Admitted) -> Result<Twin, Refusal> {
        self.with_mailbox(&admitted.device, |mailbox| mailbox.twin()).await
    }

    async fn patch_reported(&self, admitted: &Admitted, patch: &[u8]) -> Result<u64, Refusal> {
        let patch = patch.to_vec();
        self.with_mailbox(&admitted.device, move |mailbox| mailbox.patch_reported(&patch)).await
    }

    async fn subscriptions(&self, admitted: &Admitted) -> Result<Option<u32>, Refusal> {
        self.with_mailbox(&admitted.device, |mailbox| mailbox.subscriptions()).await
    }

    async fn keep_subscriptions(&self, admitted: &Admitted, subscriptions: Option<u32>) -> Result<(), Refusal> {
        self.with_mailbox(&admitted.device, move |mailbox| mailbox.keep_subscriptions(subscriptions)).await
    }

    fn mail(&self, admitted: &Admitted) -> watch::Receiver<u64> {
        self.parts.mailboxes.of(&admitted.device).follow()
    }

    async fn desired_after(&self, admitted: &Admitted, version: u64) -> Result<Vec<DesiredPatch>, Refusal> {
        self.with_mailbox(&admitted.device, move |mailbox| mailbox.desired_after(version)).await
    }

    async fn next_message(&self, admitted: &Admitted) -> Result<Option<CloudMessage>, Refusal> {
        let (session, oldest) = (admitted.session, self.oldest_message());
        self.with_mailbox(&admitted.device, move |mailbox| mailbox.take(session, oldest)).await
    }

    async fn settle(&self, admitted: &Admitted, sequence: u64, settlement: Settlement) -> Result<(), Refusal> {
        let session = admitted.session;
        self.with_mailbox(&admitted.device, move |mailbox| mailbox.settle(session, sequence, settlement)).await
    }
}

impl Registry {
    /// Judges, and records what has to be on record first. Decides again when somebody else was faster.
    async fn decided(&self, presented: &PresentedChain, claimed: &str) -> Result<Entry, Refusal> {
        for _ in 0..MOST_TRIES {
            let plan = self.plan(presented, claimed).await?;
            match self.carry_out(plan.steps).await? {
                Carried::Out => return Ok(plan.entry),
                Carried::Outrun => {}
            }
        }
        Err(outrun())
    }

    async fn plan(&self, presented: &PresentedChain, claimed: &str) -> Result<Plan, Refusal> {
        let _permit = self.judging.acquire().await;
        let (act, presented, claimed) = (self.own_act(), presented.clone(), claimed.to_owned());
        let judging = self.judging_time();
        self.ask(move |books| judging.time(|| books.plan(&act, &presented, &claimed))).await
    }

    async fn carry_out(&self, steps: Vec<Step>) -> Result<Carried, Refusal> {
        for step in steps {
            let (unit, verdict) = match step {
                Step::Count(unit, verdict) => (unit, Some(verdict)),
                Step::Put(unit) => (unit, None),
            };
            let Err(conflict) = self.parts.commits.commit(unit).await? else { continue };
            if let Some(refusal) = verdict.and_then(|verdict| refuse_counting(&conflict, &verdict)) {
                return Err(refusal);
            }
            // What the conflict means is seen when it is decided again.
            tracing::debug!(conflict = refuse_conflict(&conflict, "").message(), "an admission is decided again");
            return Ok(Carried::Outrun);
        }
        Ok(Carried::Out)
    }

    fn let_in(&self, entry: Entry, claimed: &str, protocol: Protocol, from: SocketAddr) -> Admitted {
        let admitted = Admitted {
            device: entry.device,
            claimed: claimed.into(),
            session: self.last_session.fetch_add(1, Ordering::Relaxed) + 1,
            protocol,
            from,
            certificate: entry.certificate,
            not_after: entry.not_after,
            judged_by: entry.judged_by,
        };
        self.count_admitted();
        self.parts.presence.seen(&admitted, self.now());
        self.keep(&admitted, Outcome::Admitted, "");
        admitted
    }

    /// Keeps an admission or the end of a session; nobody waits for it.
    fn keep(&self, admitted: &Admitted, outcome: Outcome, message: &str) {
        let judgement = Judgement {
            at: Some(wire::timestamp(self.now())),
            claimed: admitted.device.to_string(),
            outcome: outcome.into(),
            message: message.chars().take(200).collect(),
            protocol: admitted.protocol.as_str().to_owned(),
            from: admitted.from.to_string(),
            ..Judgement::default()
        };
        let log = Arc::clone(&self.parts.log);
        tokio::spawn(async move { log.told(judgement).await });
    }
}

/// Whether everything was recorded.
enum Carried {
    Out,
    Outrun,
}

/// Refusals that an operator should hear of without asking.
fn alarm(refusal: &Refusal) {
    if matches!(refusal.reason(), "LOT_OVERDRAWN" | "WRONG_LOT") {
        tracing::error!(
            reason = refusal.reason(),
            message = refusal.message(),
            "a lot key names devices that it must not"
        );
    }
}

fn properties(pairs: Vec<(String, String)>) -> Vec<Property> {
    pairs.into_iter().map(|(name, value)| Property { name, value }).collect()
}

/// As much of a claimed id as is looked at. A longer one is no id, also when it is cut.
fn cut(claimed: &str) -> &str {
    let mut end = claimed.len().min(MAX_CLAIMED);
    while !claimed.is_char_boundary(end) {
        end -= 1;
    }
    claimed.get(..end).unwrap_or_default()
}
