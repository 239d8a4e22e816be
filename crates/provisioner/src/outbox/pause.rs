//! How long an outbox waits before it tries again.
//!
//! Nobody calls a line to say that the hub is back, and the next call is what connects: how soon an outage is known to be over is how often
//! somebody knocks. Knocking costs a connection attempt that ends at once or is lost on the way, so a destination that was not reached is
//! tried every two seconds, however long it was away. One that answers and says "not now" has work to do or waits for a person: it is asked
//! more and more rarely. Neither is asked by all lines at the same moment.

use std::time::Duration;

use api::Refusal;
use issuance::Entropy;

const FIRST: Duration = Duration::from_millis(200);
/// Longest between two tries to reach a destination.
const LONGEST_UNREACHED: Duration = Duration::from_secs(2);
/// Longest between two calls of a destination that answers.
const LONGEST_REFUSED: Duration = Duration::from_secs(30);

/// Grows with every try that comes to nothing.
#[derive(Debug)]
pub(super) struct Pause<E> {
    next: Duration,
    entropy: E,
}

impl<E: Entropy> Pause<E> {
    pub(super) fn new(entropy: E) -> Self {
        Self { next: FIRST, entropy }
    }

    /// A try came to something.
    pub(super) fn forget(&mut self) {
        self.next = FIRST;
    }

    /// The wait after a try that came to this: about so long, between three quarters and five quarters of it.
    pub(super) fn after(&mut self, refusal: &Refusal) -> Duration {
        let longest = if refusal.reason() == "UPSTREAM_UNREACHABLE" { LONGEST_UNREACHED } else { LONGEST_REFUSED };
        let pause = self.next.min(longest);
        self.next = pause.saturating_mul(2);
        // Without entropy all lines knock at one time, which is no reason not to knock.
        let mut octet = [128];
        let _ = self.entropy.fill(&mut octet);
        pause * (192 + u32::from(octet[0]) / 2) / 256
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use issuance::SeededEntropy;

    use super::*;

    fn unreached() -> Refusal {
        Refusal::new("UPSTREAM_UNREACHABLE", "the hub is down")
    }

    fn busy() -> Refusal {
        Refusal::new("IN_PROGRESS", "busy")
    }

    #[test]
    fn days_of_outage_make_no_pause_longer_than_a_few_seconds() {
        let mut pause = Pause::new(SeededEntropy::new(1));
        let waits: Vec<Duration> = (0..100_000).map(|_| pause.after(&unreached())).collect();
        assert!(waits.first().is_some_and(|first| *first < Duration::from_millis(250)));
        assert!(waits.iter().all(|wait| *wait <= Duration::from_millis(2500)));
        // The end of an outage is known soon, and nobody is knocked down before it.
        assert!(waits.iter().skip(10).all(|wait| *wait >= Duration::from_millis(1500)));
    }

    #[test]
    fn lines_that_lost_the_hub_at_one_moment_come_back_at_many() {
        let moments: BTreeSet<Duration> = (0..100)
            .map(|line| {
                let mut pause = Pause::new(SeededEntropy::new(line));
                (0..10).map(|_| pause.after(&unreached())).sum()
            })
            .collect();
        assert!(moments.len() > 50, "{moments:?}");
    }

    #[test]
    fn a_hub_that_answers_is_asked_more_rarely_and_one_that_then_vanishes_is_not_forgotten() {
        let mut pause = Pause::new(SeededEntropy::new(1));
        let waits: Vec<Duration> = (0..20).map(|_| pause.after(&busy())).collect();
        assert!(waits.last().is_some_and(|last| (22..38).contains(&last.as_secs())), "{waits:?}");
        assert!(pause.after(&unreached()) <= Duration::from_millis(2500));
        pause.forget();
        assert!(pause.after(&busy()) < Duration::from_millis(250));
    }
}
