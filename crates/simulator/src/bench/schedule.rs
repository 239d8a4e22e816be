//! When requests are due, and which answers count.

use std::time::{Duration, Instant};

/// One run: warm-up, measurement, end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    begin: Instant,
    /// Answers from here on count.
    pub(super) measure_from: Instant,
    /// Answers up to here count; nothing is asked for after it.
    pub(super) end: Instant,
    rate: Option<f64>,
    /// So many requests at most.
    most: Option<usize>,
}

/// Nobody waits so long for a fixed number of requests.
const A_DAY: Duration = Duration::from_secs(86_400);

impl Schedule {
    pub(super) fn starting_now(warmup: Duration, duration: Duration, rate: Option<f64>) -> Self {
        let begin = Instant::now();
        Self { begin, measure_from: begin + warmup, end: begin + warmup + duration, rate, most: None }
    }

    /// A fixed number of requests, as fast as they are answered.
    pub(super) fn of(count: usize) -> Self {
        Self { most: Some(count), ..Self::starting_now(Duration::ZERO, A_DAY, None) }
    }

    /// Whether the request with this number is still asked for.
    pub(super) fn includes(&self, number: usize) -> bool {
        self.most.is_none_or(|most| number < most)
    }

    /// When the request with this number is due; none: at once. A late request counts from when it was due, so that a service that
    /// stands still does not look fast for being asked less.
    pub(super) fn due(&self, number: usize) -> Option<Instant> {
        let rate = self.rate?;
        #[expect(clippy::cast_precision_loss, reason = "numbers of requests stay far below 2^52")]
        let after = Duration::from_secs_f64(number as f64 / rate);
        Some(self.begin + after)
    }

    pub(super) fn counts(&self, answered: Instant) -> bool {
        self.measure_from <= answered && answered < self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_spreads_requests_evenly_and_only_the_middle_counts() {
        let (warmup, duration) = (Duration::from_secs(2), Duration::from_secs(3));
        let schedule = Schedule::starting_now(warmup, duration, Some(100.0));
        assert_eq!(schedule.due(250), Some(schedule.begin + Duration::from_millis(2500)));
        assert_eq!(Schedule { rate: None, ..schedule }.due(250), None);
        assert!(Schedule::of(3).includes(2) && !Schedule::of(3).includes(3) && schedule.includes(usize::MAX));
        assert!(!schedule.counts(schedule.begin));
        assert!(schedule.counts(schedule.begin + warmup));
        assert!(!schedule.counts(schedule.begin + warmup + duration));
    }
}
