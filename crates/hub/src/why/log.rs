//! The log of judgements, found again by the id that was claimed.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use api::{
    Refusal,
    hub::v1::{Judgement, Outcome},
};
use bytes::Bytes;
use pki::{Sha256, UnixTime};
use prost::Message as _;
use service::shell::Stop;

use crate::ring::{Bounds, Index, Position, Ring};

/// Judgements that are found again for one claimed id.
const PER_ID: usize = 100;
/// Within this time the same refusal is counted and not kept again, so that a device that tries every second does not push out what
/// others were told.
const REPETITION_SECONDS: i64 = 60;
/// Refusals that are remembered to tell repetitions; beyond it they are kept again.
const MOST_RECENT: usize = 8192;

/// The log.
pub(crate) struct JudgementLog {
    ring: Ring,
    places: Arc<Places>,
    recent: Mutex<HashMap<Sha256, Recent>>,
}

/// Where the judgements over each claimed id are. A strange id costs memory as long as its judgement is in the log and no longer.
#[derive(Default)]
struct Places(Mutex<HashMap<String, VecDeque<Position>>>);

/// A refusal that was kept.
struct Recent {
    at: UnixTime,
    repeated: u32,
}

impl JudgementLog {
    /// Opens the log; every judgement that is kept is handed to `seen`, oldest first.
    ///
    /// # Errors
    /// What the disk says.
    pub(crate) fn open(
        directory: &Path,
        bounds: Bounds,
        stop: Stop,
        mut seen: impl FnMut(&Judgement),
    ) -> io::Result<Self> {
        let places = Arc::new(Places::default());
        let index: Arc<dyn Index> = Arc::<Places>::clone(&places);
        let ring = Ring::open(directory, "judgements", bounds, stop, index)?;
        let mut at = Position::START;
        while let Some((_, record, next)) = ring.next(at)? {
            at = next;
            if let Ok(judgement) = Judgement::decode(record.as_slice()) {
                seen(&judgement);
            }
        }
        Ok(Self { ring, places, recent: Mutex::default() })
    }

    /// Keeps a refusal; it is durable when this returns. The same refusal of the same chain within a minute is counted instead.
    ///
    /// # Errors
    /// `LOG_FAILED`, `SHUTTING_DOWN`.
    pub(crate) async fn refused(&self, mut judgement: Judgement, at: UnixTime) -> Result<(), Refusal> {
        match self.repetition(&judgement, at) {
            None => return Ok(()),
            Some(repeated) => judgement.repeated_before = repeated,
        }
        let record = Bytes::from(judgement.encode_to_vec());
        self.ring.append(judgement.claimed.into(), record).await.map(drop)
    }

    /// Keeps an admission or the end of a session; nothing rests on it.
    pub(crate) async fn told(&self, judgement: Judgement) {
        let record = Bytes::from(judgement.encode_to_vec());
        let _ = self.ring.append(judgement.claimed.into(), record).await;
    }

    /// The latest judgements over a claimed id, newest first. Blocks on the disk.
    ///
    /// # Errors
    /// `LOG_FAILED` when the disk cannot be read.
    pub(crate) fn latest(&self, claimed: &str, most: usize) -> Result<Vec<Judgement>, Refusal> {
        let places: Vec<Position> = {
            let held = self.places.held();
            held.get(claimed).map(|places| places.iter().rev().take(most).copied().collect()).unwrap_or_default()
        };
        let mut found = Vec::with_capacity(places.len());
        for place in places {
            match self.ring.read(place) {
                Ok(Some(record)) => found.extend(Judgement::decode(record.as_slice()).ok()),
                Ok(None) => {}
                Err(error) => {
                    return Err(Refusal::new("LOG_FAILED", format!("reading the log of judgements: {error}")));
                }
            }
        }
        Ok(found)
    }

    /// How often this was refused since it was last kept; none when it is to be counted only.
    fn repetition(&self, judgement: &Judgement, at: UnixTime) -> Option<u32> {
        let what = what(judgement);
        let within = |recent: &Recent| at.as_secs().saturating_sub(recent.at.as_secs()) < REPETITION_SECONDS;
        let mut held = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recent) = held.get_mut(&what)
            && within(recent)
        {
            recent.repeated = recent.repeated.saturating_add(1);
            return None;
        }
        if held.len() >= MOST_RECENT {
            held.retain(|_, recent| within(recent));
        }
        if held.len() >= MOST_RECENT {
            held.clear();
        }
        let before = held.insert(what, Recent { at, repeated: 0 });
        Some(before.map_or(0, |before| before.repeated))
    }
}

impl Places {
    fn held(&self) -> MutexGuard<'_, HashMap<String, VecDeque<Position>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Index for Places {
    fn found(&self, at: Position, record: &[u8]) {
        if let Ok(judgement) = Judgement::decode(record) {
            self.placed(at, &judgement.claimed);
        }
    }

    fn placed(&self, at: Position, claimed: &str) {
        let mut held = self.held();
        let places = held.entry(claimed.to_owned()).or_default();
        if places.len() >= PER_ID {
            places.pop_front();
        }
        places.push_back(at);
    }

    fn forget_before(&self, oldest: Position) {
        self.held().retain(|_, places| {
            places.retain(|place| *place >= oldest);
            !places.is_empty()
        });
    }
}

/// What makes two refusals the same: who, why, and what was presented.
fn what(judgement: &Judgement) -> Sha256 {
    let same = Judgement {
        claimed: judgement.claimed.clone(),
        outcome: Outcome::Refused.into(),
        reason: judgement.reason.clone(),
        protocol: judgement.protocol.clone(),
        chain: judgement.chain.clone(),
        ..Judgement::default()
    };
    Sha256::of(&same.encode_to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BOUNDS: Bounds = Bounds { segment_octets: 4096, segments: 4 };

    fn refusal(claimed: &str, reason: &str) -> Judgement {
        Judgement {
            claimed: claimed.to_owned(),
            outcome: Outcome::Refused.into(),
            reason: reason.to_owned(),
            chain: vec![Bytes::from(vec![7; 500])],
            ..Judgement::default()
        }
    }

    fn at(seconds: i64) -> UnixTime {
        UnixTime::new(1_800_000_000 + seconds)
    }

    fn open(directory: &Path) -> JudgementLog {
        JudgementLog::open(directory, BOUNDS, Stop::default(), |_| {}).unwrap()
    }

    #[tokio::test]
    async fn a_refusal_is_kept_with_its_chain_and_found_after_reopening() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        log.refused(refusal("sn1", "EXPIRED"), at(0)).await.unwrap();
        log.refused(refusal("sn1", "CA_DISABLED"), at(1)).await.unwrap();
        log.refused(refusal("sn2", "EXPIRED"), at(2)).await.unwrap();
        drop(log);
        let log = open(directory.path());
        let found = log.latest("sn1", 10).unwrap();
        assert_eq!(found.iter().map(|j| j.reason.as_str()).collect::<Vec<_>>(), ["CA_DISABLED", "EXPIRED"]);
        assert!(found.iter().all(|j| j.chain.first().is_some_and(|der| der.len() == 500)));
        assert_eq!(log.latest("sn1", 1).unwrap().len(), 1);
        assert!(log.latest("sn3", 10).unwrap().is_empty());
    }

    #[tokio::test]
    async fn repetitions_within_a_minute_are_counted_and_not_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        for second in 0..30 {
            log.refused(refusal("sn1", "EXPIRED"), at(second)).await.unwrap();
        }
        assert_eq!(log.latest("sn1", 100).unwrap().len(), 1);
        log.refused(refusal("sn1", "EXPIRED"), at(61)).await.unwrap();
        let found = log.latest("sn1", 100).unwrap();
        assert_eq!(found.iter().map(|j| j.repeated_before).collect::<Vec<_>>(), [29, 0]);
    }

    #[tokio::test]
    async fn strange_ids_cost_no_more_memory_than_the_log_has_room() {
        let directory = tempfile::tempdir().unwrap();
        let log = open(directory.path());
        for n in 0..200 {
            log.refused(refusal(&format!("stranger-{n}"), "UNKNOWN_ISSUER"), at(0)).await.unwrap();
        }
        let kept = log.places.held().len();
        assert!((1..60).contains(&kept), "{kept}");
        assert!(log.latest("stranger-0", 1).unwrap().is_empty());
        assert_eq!(log.latest("stranger-199", 1).unwrap().len(), 1);
    }
}
