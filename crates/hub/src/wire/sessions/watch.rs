//! Ends sessions whose admission was withdrawn: a device or a key disabled, a certificate superseded or expired.

use std::{sync::Arc, time::Duration};

use api::Refusal;
use futures_util::{StreamExt as _, stream};

use super::End;
use crate::{admission::Admitted, wire::guest::House};

/// Between two looks at the certificates' ends. A withdrawal is noticed at once; this is for what only the clock does.
const SWEEP: Duration = Duration::from_secs(10);

/// Sessions that are judged again at one time: each that ends waits for its refusal to be on the disk, and a whole lot is to end in time.
const AT_ONCE: usize = 64;

/// Runs until the house closes.
pub(crate) async fn watch(house: Arc<House>) {
    let mut revocations = house.admission.revocations();
    let mut sweep = tokio::time::interval(SWEEP);
    loop {
        tokio::select! {
            changed = revocations.changed() => {
                if changed.is_err() {
                    return;
                }
                let (house, all) = (&house, stream::iter(house.sessions.all()));
                all.for_each_concurrent(AT_ONCE, |admitted| async move { judge_again(house, &admitted).await }).await;
            }
            _ = sweep.tick() => {
                let now = house.now();
                for admitted in house.sessions.all().iter().filter(|admitted| admitted.not_after() < now) {
                    let message = format!("the certificate ended at {}", admitted.not_after());
                    house.sessions.end(admitted, End::Withdrawn(Refusal::new("EXPIRED", message)));
                }
            }
            () = house.stop.cancelled() => return,
        }
    }
}

/// Ends the session if it would not be admitted again.
pub(crate) async fn judge_again(house: &House, admitted: &Admitted) {
    if let Err(refusal) = house.admission.still_admitted(admitted).await {
        tracing::info!(device = %admitted.device(), reason = refusal.reason(), "session withdrawn");
        house.sessions.end(admitted, End::Withdrawn(refusal));
    }
}
