//! The signer's clock jumps, back and forth, while clients work.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    ground::{Ground, Share, campaigns},
    inject,
    issuing::Issuing,
};

const HOURS: i64 = 2 * 3600;

/// Waits, with a bound, until a device that nobody wanted before is issued, or refused for this reason.
async fn until(ground: &mut Ground, refusal: Option<&str>) {
    let by = Instant::now() + Duration::from_secs(60);
    loop {
        let met = ground.refusal_of_a_new_story().await;
        if met.as_deref() == refusal {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(Instant::now() < by, "wanted {refusal:?}, met {met:?} for a minute");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs faketime"]
async fn a_clock_that_jumps_pauses_issuing_by_name_and_nothing_is_lost() {
    if !inject::has_faketime() {
        return;
    }
    for rounds in campaigns(Share { ci: 3, long: 10 }, 10) {
        let folder = tempfile::tempdir().unwrap();
        let world = folder.path().join("world");
        inject::clock(&world, 0);
        let mut ground = Ground::new::<Issuing>(&world, folder.path()).await;
        let mut right = 0;
        for _ in 0..rounds {
            ground
                .round(async |ground| {
                    until(ground, None).await;
                    inject::clock(&world, right - HOURS);
                    until(ground, Some("CLOCK_BEHIND")).await;
                    inject::provisioned(&ground.world).await;
                    inject::clock(&world, right);
                    until(ground, None).await;
                    // What was issued in the future is on record there.
                    inject::clock(&world, right + HOURS);
                    until(ground, None).await;
                    inject::clock(&world, right);
                    until(ground, Some("CLOCK_BEHIND")).await;
                    right += HOURS;
                    inject::clock(&world, right);
                    until(ground, None).await;
                })
                .await;
        }
        ground.settle::<Issuing>("a clock that jumps").await;
    }
}
