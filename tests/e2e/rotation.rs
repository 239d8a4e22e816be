//! Certificates, keys and service CAs change under load, and no call notices.

mod files;
mod load;

use std::time::Duration;

use crate::{
    devices::Device,
    operated::{log, metrics, reconfigure, until, value},
    world::{At, Chain, Who},
};
use files::Rotating;
use load::{Load, LongStream, Station};

const ROTATIONS: u32 = 100;
const CALLS_A_SECOND: u32 = 100;
/// Each rotation meets so many calls at least, half of them over connections made after it.
const CALLS_A_ROTATION: u32 = 8;

/// The services of the line, as they look often at their files and let no connection grow old.
async fn restless() -> (Chain, tempfile::TempDir) {
    let (mut chain, folder) = Chain::alone().await;
    for at in [At::TechnicianCa, At::Provisioner] {
        let options = [("credentials_poll_ms", "20"), ("max_connection_age_ms", "1000")];
        reconfigure(&mut chain, at, &options).await;
    }
    (chain, folder)
}

/// Replaces one service's key and certificate and waits until it uses them.
async fn rotate(chain: &Chain, rotating: &Rotating, at: At) {
    let sample = "countersign_file_reloads_total{files=\"tls\"}";
    let before = value(&metrics(chain, at).await, sample).unwrap();
    rotating.replace(at);
    until(chain, at, sample, |reloads| reloads > before).await;
}

/// Replaces the bundle of the line's trust domain and waits until everyone at the line uses it.
async fn replace_bundle(chain: &Chain, write: impl FnOnce()) {
    let (sample, ats) = ("countersign_file_reloads_total{files=\"tls\"}", [At::TechnicianCa, At::Provisioner]);
    let mut before = Vec::new();
    for at in ats {
        before.push(value(&metrics(chain, at).await, sample).unwrap());
    }
    write();
    for (at, before) in ats.into_iter().zip(before) {
        until(chain, at, sample, |reloads| reloads > before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_rotations_under_a_hundred_calls_a_second_fail_none() {
    let (chain, _folder) = restless().await;
    let mut rotating = Rotating::of(&chain);
    let station = Station::of(&chain);
    let mut stream = LongStream::open(&station).await;
    let load = Load::start(&station, CALLS_A_SECOND);
    let mut made_on_stream = 0;
    for number in 1..=ROTATIONS {
        if number == ROTATIONS / 3 {
            // A new service CA: first everyone believes both, then it signs, at last the old one is believed no more.
            replace_bundle(&chain, || rotating.believe_both()).await;
            station.reload();
            rotating.sign_with_the_new_one();
            rotating.replace_station();
            station.reload();
            for at in [At::TechnicianCa, At::Provisioner] {
                rotate(&chain, &rotating, at).await;
            }
        }
        if number == ROTATIONS * 2 / 3 {
            replace_bundle(&chain, || rotating.believe_the_new_one()).await;
            station.reload();
        }
        rotate(&chain, &rotating, if number % 2 == 0 { At::Provisioner } else { At::TechnicianCa }).await;
        load.more(CALLS_A_ROTATION).await;
        if number % 10 == 0 {
            stream.provision(&Device::new(&format!("rotated-{number}"))).await;
            made_on_stream += 1;
        }
    }
    let told = load.stop().await;
    assert_eq!(told.failed, Vec::<String>::new(), "of {} calls", told.made);
    assert!(told.made >= ROTATIONS * CALLS_A_ROTATION, "{told:?}");
    assert!(told.made_in_a_second() >= f64::from(CALLS_A_SECOND) * 0.9, "{told:?}");
    assert_eq!(made_on_stream, ROTATIONS / 10, "one stream, from the first rotation to the last");
    let mut reloads = 0.0;
    for at in [At::TechnicianCa, At::Provisioner] {
        reloads += value(&metrics(&chain, at).await, "countersign_file_reloads_total{files=\"tls\"}").unwrap();
    }
    assert!(reloads >= f64::from(ROTATIONS) + 6.0, "{reloads} reloads");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_new_file_keeps_the_old_one_with_a_metric_and_a_line_in_the_log() {
    let (chain, _folder) = restless().await;
    let rotating = Rotating::of(&chain);
    let refused = "countersign_files_refused{files=\"tls\"}";
    for break_it in [Rotating::halve_certificate, Rotating::exchange_key, Rotating::empty_bundle] {
        let station = Station::of(&chain);
        let load = Load::start(&station, CALLS_A_SECOND);
        let failures =
            value(&metrics(&chain, At::Provisioner).await, "countersign_file_reload_failures_total{files=\"tls\"}")
                .unwrap();
        let mend = break_it(&rotating);
        until(&chain, At::Provisioner, refused, |state| state == 1.0).await;
        until(&chain, At::Provisioner, "countersign_file_reload_failures_total{files=\"tls\"}", |now| now > failures)
            .await;
        // New connections are still made with what is in use.
        tokio::time::timeout(Duration::from_secs(10), load.more(50)).await.unwrap();
        mend();
        until(&chain, At::Provisioner, refused, |state| state == 0.0).await;
        let told = load.stop().await;
        assert_eq!(told.failed, Vec::<String>::new(), "of {} calls", told.made);
    }
    let log = log(&chain, At::Provisioner);
    for reason in ["FILE_MALFORMED", "OWN_KEY_MISMATCH"] {
        let line = log.lines().find(|line| line.contains("new files refused") && line.contains(reason));
        assert!(line.is_some(), "no line with {reason}");
    }
    assert!(
        chain
            .lots(Who::Provisioner, At::TechnicianCa)
            .list_lots(api::lot::v1::ListLotsRequest::default())
            .await
            .is_ok()
    );
}
