//! A connection whose TLS is up and whose device is not known yet; and the house it comes to.

use std::{net::SocketAddr, sync::Arc};

use api::Refusal;
use bytes::Bytes;
use pki::UnixTime;
use service::{Clock, net::BoxStream, places::Place};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::{
    DeviceLimits, SessionTable,
    sessions::{self, End, Seat},
};
use crate::admission::{Admission, Admitted, MAX_PRESENTED, MAX_PRESENTED_OCTETS, PresentedChain, Protocol};

/// What every session needs.
pub(super) struct House {
    pub(super) admission: Arc<dyn Admission>,
    pub(super) sessions: Arc<SessionTable>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: DeviceLimits,
    pub(super) stop: CancellationToken,
}

/// What a connection holds until its device is known, and what it holds until it ends.
pub(super) struct Permits {
    /// Given back when the device is known.
    pub(super) stranger: Option<Place>,
    /// Given back at the end.
    pub(super) _connection: OwnedSemaphorePermit,
}

impl Permits {
    /// Waits until others, who came later, took the place of this stranger. Never, of a device that is known.
    pub(super) fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let lost = self.stranger.as_ref().map(|place| place.lost().clone());
        async move {
            match lost {
                Some(lost) => lost.cancelled_owned().await,
                None => std::future::pending().await,
            }
        }
    }
}

/// A connection with what is known of it.
pub(super) struct Guest {
    pub(super) stream: BoxStream,
    pub(super) visitor: Visitor,
    pub(super) permits: Permits,
}

/// What is known of a connection whose device is not.
#[derive(Debug, Clone)]
pub(super) struct Visitor {
    /// What was presented in the handshake, leaf first; empty where nothing was.
    pub(super) presented: Arc<[Bytes]>,
    pub(super) from: SocketAddr,
    pub(super) protocol: Protocol,
}

impl House {
    /// Asks whether the device may come in. Every refusal is on record when this returns.
    pub(super) async fn admit(&self, visitor: &Visitor, claimed: &str) -> Result<Admitted, Refusal> {
        let chain = match PresentedChain::new(visitor.presented.to_vec()) {
            Ok(chain) => chain,
            Err(refusal) => {
                self.refused(visitor, claimed, &refusal).await;
                return Err(refusal);
            }
        };
        let (protocol, from) = (visitor.protocol, visitor.from);
        let admitted = self.admission.admit(&chain, claimed, protocol, from).await;
        if let Err(refusal) = &admitted {
            tracing::info!(%from, %protocol, claimed, reason = refusal.reason(), "device refused");
        }
        admitted
    }

    /// Puts on record what was refused before anybody was asked.
    pub(super) async fn refused(&self, visitor: &Visitor, claimed: &str, refusal: &Refusal) {
        let Visitor { presented, from, protocol } = visitor;
        tracing::info!(%from, %protocol, claimed, reason = refusal.reason(), message = refusal.message(), "device refused");
        self.admission.refused(within_bounds(presented), claimed, *protocol, *from, refusal).await;
    }

    /// Puts on record what a device did in its session. Its chain was not at fault, and is on record with the admission.
    pub(super) async fn refused_in_session(&self, admitted: &Admitted, refusal: &Refusal) {
        let (protocol, from) = (admitted.protocol(), admitted.from());
        self.refused(&Visitor { presented: Arc::default(), from, protocol }, admitted.claimed(), refusal).await;
    }

    /// Gives the device its seat and looks once more whether what it was admitted for still holds.
    pub(super) async fn seat(self: &Arc<Self>, admitted: Admitted, revocations_before: u64) -> Result<Seat, Refusal> {
        let taken = || Refusal::new("SESSION_TAKEN_OVER", "a later connection of the device came first");
        let mut seat = self.sessions.enter(admitted).ok_or_else(taken)?;
        if *self.admission.revocations().borrow() != revocations_before {
            sessions::judge_again(self, &seat.admitted).await;
        }
        match seat.end.try_recv() {
            Ok(End::Withdrawn(refusal)) => Err(refusal),
            Ok(End::TakenOver) => Err(taken()),
            Err(_) => Ok(seat),
        }
    }

    pub(super) fn now(&self) -> UnixTime {
        self.clock.now()
    }
}

/// As much of an endless chain as is kept.
fn within_bounds(presented: &[Bytes]) -> &[Bytes] {
    let mut octets = 0;
    let fits = presented.iter().take(MAX_PRESENTED).take_while(|der| {
        octets += der.len();
        octets <= MAX_PRESENTED_OCTETS
    });
    let fits = fits.count();
    presented.get(..fits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_chain_is_kept_up_to_its_bounds() {
        let of = |count: usize, octets: usize| vec![Bytes::from(vec![0; octets]); count];
        for (presented, kept) in
            [(of(3, 100), 3), (of(11, 100), 10), (of(5, 5000), 3), (of(1, 20_000), 0), (of(0, 0), 0)]
        {
            assert_eq!(within_bounds(&presented).len(), kept);
        }
    }
}
