//! The clock may jump. Forwards, signing windows and offers end early, which spends nothing. Backwards, a window that has closed would open
//! again: so when the clock is far behind a time that is on record, nothing is issued until it is right, or an operator says that it is.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicI64, Ordering},
};

use api::{
    Refusal, RequestId,
    journal::v1::{ClockBehind, ClockRight, record::Fact},
};
use pki::UnixTime;
use records::{Act, Caller, Standing, clock_not_behind, keys, once, read, refuse_conflict, refuse_store, reused};
use store::{Claim, Position, Record, Rule, Unit};
use tracing::{info, warn};

use crate::authority::Authority;

/// Clocks are corrected by small steps all the time; further back than this is a jump, in seconds.
const TOLERANCE: i64 = 300;
/// When a clock may be right again, at the earliest.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(10);

/// The latest time that a record was given.
#[derive(Debug)]
pub(crate) struct LatestTime {
    seconds: AtomicI64,
    /// Held by whoever puts on record what became of the clock.
    turn: Mutex<()>,
}

impl Default for LatestTime {
    fn default() -> Self {
        Self { seconds: AtomicI64::new(i64::MIN), turn: Mutex::default() }
    }
}

impl LatestTime {
    /// A record is given this time.
    pub(crate) fn note(&self, at: UnixTime) {
        self.seconds.fetch_max(at.as_secs(), Ordering::SeqCst);
    }

    fn is_ahead_of(&self, now: UnixTime) -> bool {
        self.seconds.load(Ordering::SeqCst).saturating_sub(now.as_secs()) > TOLERANCE
    }
}

impl Authority {
    /// Reads the time of the newest record, and compares the clock with it. Called before the service answers anybody.
    ///
    /// # Errors
    /// What the store says; a clock that is behind is none.
    pub fn take_clock(&self) -> Result<(), Refusal> {
        if let Some(at) = self.store().last().map_err(|e| refuse_store(&e))? {
            let newest = self.store().read(at).map_err(|e| refuse_store(&e))?;
            self.latest.note(UnixTime::new(read(&newest)?.0.at));
        }
        if let Some(behind) = self.standing().clock_behind {
            self.latest.note(behind.latest);
        }
        match self.check_clock() {
            Err(refusal) if refusal.reason() == "CLOCK_BEHIND" => Ok(()),
            other => other.map(drop),
        }
    }

    /// Something is signed or spent by this act. One that began before the clock came back from the future says nothing about the time.
    pub(crate) fn note_time(&self, act: &Act) {
        self.latest.note(act.at.min(self.now()));
    }

    /// The time that the clock shows. Refuses while that is far behind a time that is on record, and puts on record that it is, or is
    /// no longer.
    ///
    /// # Errors
    /// `CLOCK_BEHIND`; what the store says.
    pub(crate) fn check_clock(&self) -> Result<UnixTime, Refusal> {
        let now = loop {
            let now = self.now();
            if self.latest.is_ahead_of(now) == self.standing().clock_behind.is_some() {
                break now;
            }
            self.judge_clock()?;
        };
        if self.standing().clock_behind.is_some() {
            let what = format!("the clock shows {now}, long before the time of an earlier record");
            return Err(Refusal::new("CLOCK_BEHIND", what).retry_after(PATIENCE));
        }
        Ok(now)
    }

    fn judge_clock(&self) -> Result<(), Refusal> {
        let _turn = self.latest.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = UnixTime::new(self.latest.seconds.load(Ordering::SeqCst));
        match (self.latest.is_ahead_of(self.now()), Standing::of(self.store())?.clock_behind) {
            (true, None) => {
                warn!(reason = "CLOCK_BEHIND", now = %self.now(), %latest, "the clock jumped back: nothing is issued");
                let unit = self.own_act().unit(Fact::ClockBehind(ClockBehind { latest: latest.as_secs() }));
                self.put_on_record(unit)?;
            }
            (false, Some(behind)) => {
                info!(now = %self.now(), "the clock is right again");
                self.put_on_record(right(&self.own_act(), behind.at))?;
            }
            (true, Some(_)) | (false, None) => {}
        }
        self.take_standing().map(drop)
    }

    fn put_on_record(&self, mut unit: Unit) -> Result<(), Refusal> {
        unit.claims = vec![Claim { key: keys::clock(), rule: Rule::Any }];
        records::commit_one(self.store(), unit)?.map(drop).map_err(|c| refuse_conflict(&c, ""))
    }

    /// Takes the clock as right, by an operator's word: the later times on record were wrong.
    ///
    /// # Errors
    /// `CLOCK_NOT_BEHIND`, `REQUEST_ID_REUSED`.
    pub fn accept_clock(&self, caller: Caller, request: RequestId) -> Result<(), Refusal> {
        let act = self.act(caller, request);
        let before = |record: &Record| match read(record)? {
            (_, Fact::ClockRight(_)) => Ok(()),
            _ => Err(reused(&act, "kind of request")),
        };
        once(self.store(), &act, before, |attempt| {
            let _turn = self.latest.turn.lock().unwrap_or_else(PoisonError::into_inner);
            let behind = Standing::of(self.store())?.clock_behind.ok_or_else(clock_not_behind)?;
            let mut unit = right(&act, behind.at);
            unit.claims = vec![Claim { key: keys::clock(), rule: Rule::At(behind.at) }];
            attempt.commit(unit)?.map_err(|c| refuse_conflict(&c, ""))?;
            warn!(by = act.caller.by, now = %act.at, latest = %behind.latest, "the clock is taken as right");
            self.latest.seconds.store(act.at.as_secs(), Ordering::SeqCst);
            self.take_standing().map(drop)
        })
    }
}

fn right(act: &Act, behind_at: Position) -> Unit {
    act.unit(Fact::ClockRight(ClockRight { behind_at: behind_at.as_u64() }))
}
