//! How long the hub's judging takes, as the hub itself measures it.

use anyhow::Context as _;

use super::report::JudgingMicros;
use crate::bench::usage;

const BUCKET: &str = "countersign_hub_judging_seconds_bucket{le=\"";

/// The buckets of the hub's histogram: upper end in seconds, and how many were at most as long.
pub(super) struct Judged(Vec<(f64, u64)>);

impl Judged {
    /// Everything since the hub started.
    pub(super) async fn so_far(health: &str) -> anyhow::Result<Self> {
        read(&usage::metrics(health).await?).context("the hub tells no countersign_hub_judging_seconds")
    }

    /// What was judged since, by upper ends of buckets.
    pub(super) fn since(&self, before: &Self) -> JudgingMicros {
        let counts =
            self.0.iter().zip(&before.0).map(|((end, after), (_, before))| (*end, after.saturating_sub(*before)));
        let counts: Vec<(f64, u64)> = counts.collect();
        let all = counts.last().map_or(0, |(_, count)| *count);
        let below = |share: u64| {
            let end = counts.iter().find(|(_, count)| *count > 0 && count * 100 >= all * share).map(|(end, _)| *end);
            end.filter(|end| end.is_finite()).map(|end| end * 1e6)
        };
        JudgingMicros { count: all, p50_at_most: below(50), p99_at_most: below(99) }
    }
}

fn read(metrics: &str) -> Option<Judged> {
    let buckets = metrics.lines().filter_map(|line| line.strip_prefix(BUCKET)?.split_once("\"} "));
    let buckets =
        buckets.map(|(end, count)| Some((end.replace("+Inf", "inf").parse().ok()?, count.trim().parse().ok()?)));
    let buckets = buckets.collect::<Option<Vec<(f64, u64)>>>()?;
    (!buckets.is_empty()).then_some(Judged(buckets))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quantiles_are_the_upper_ends_of_the_buckets_that_grew() {
        let told = |counts: [u32; 3]| {
            let lines = ["0.0005", "0.001", "+Inf"]
                .iter()
                .zip(counts)
                .map(|(end, count)| format!("{BUCKET}{end}\"}} {count}\n"));
            read(&lines.collect::<String>()).unwrap()
        };
        let before = told([10, 20, 30]);
        let JudgingMicros { count, p50_at_most, p99_at_most } = told([70, 119, 130]).since(&before);
        assert_eq!((count, p50_at_most, p99_at_most), (100, Some(500.0), Some(1000.0)));
        assert_eq!(told([10, 20, 31]).since(&before).p99_at_most, None, "longer than the last bucket's lower end");
        assert!(read("countersign_hub_sessions 3\n").is_none());
    }
}
