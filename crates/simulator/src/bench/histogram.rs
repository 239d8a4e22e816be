//! Latencies, counted in buckets that are 1 % wide or less.

use std::time::Duration;

/// Buckets for each power of two.
const FINE: u64 = 128;
/// Up to 2^36 microseconds, 19 hours; what takes longer counts as that.
const POWERS: u64 = 30;

/// A histogram of latencies in microseconds.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
}

impl Histogram {
    pub(super) fn new() -> Self {
        let buckets = usize::try_from(FINE * POWERS).unwrap_or_default();
        Self { counts: vec![0; buckets] }
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let last = self.counts.len().saturating_sub(1);
        let bucket = usize::try_from(bucket(micros)).unwrap_or(last).min(last);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (own, more) in self.counts.iter_mut().zip(&other.counts) {
            *own += more;
        }
    }

    /// How many were recorded.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The latency in microseconds below which this share of all lies, 0 when nothing was recorded.
    pub(super) fn quantile(&self, share: f64) -> u64 {
        let all = self.count();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "counts stay far below 2^52"
        )]
        let rank = (share * all as f64).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in (0..).zip(&self.counts) {
            seen += count;
            if *count > 0 && seen >= rank {
                return upper_end(bucket);
            }
        }
        0
    }
}

/// Values below `FINE` have a bucket each; above, each power of two has `FINE` of equal width.
fn bucket(micros: u64) -> u64 {
    let power = u64::from(micros.max(1).ilog2()).saturating_sub(u64::from(FINE.ilog2()));
    power * FINE + (micros >> power)
}

/// The largest value in a bucket.
fn upper_end(bucket: u64) -> u64 {
    let power = (bucket / FINE).saturating_sub(1);
    let within = bucket - power * FINE;
    ((within + 1) << power) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_the_buckets_are_narrow() {
        for micros in (0..5000).chain([65_535, 65_536, 1_000_000, 3_600_000_000]) {
            let end = upper_end(bucket(micros));
            assert!(end >= micros && end - micros <= micros / FINE, "{micros} is in the bucket up to {end}");
        }
    }

    #[test]
    fn quantiles_are_those_of_the_values() {
        let mut histogram = Histogram::new();
        assert_eq!(histogram.quantile(0.5), 0);
        (1..=100).for_each(|micros| histogram.record(Duration::from_micros(micros)));
        assert_eq!(histogram.quantile(0.5), 50);
        assert_eq!(histogram.quantile(0.99), 99);
        let mut other = Histogram::new();
        other.record(Duration::from_secs(1 << 40));
        histogram.merge(&other);
        assert!(histogram.quantile(1.0) > 1 << 35);
    }
}
