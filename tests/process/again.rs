//! Everything killed at once, and the whole journey repeated.

use std::{collections::BTreeMap, path::Path};

use simulator::{Manifest, Plan};

use crate::world::journey;

fn chains(path: &Path, manifest: &Manifest) -> BTreeMap<String, Vec<u8>> {
    manifest.devices.iter().map(|d| (d.device_id.clone(), std::fs::read(path.join(&d.chain)).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_services_go_on_and_answer_every_repetition_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan::new(12, 2).unwrap();
    let (mut world, first, tally) = journey(folder.path(), &plan).await;
    world.kill().await.unwrap();
    let before = chains(folder.path(), &first);
    assert_eq!(tally.provisioned, 12);
    // The files are not what is compared with: they are made anew from what the services answer.
    for device in &first.devices {
        std::fs::remove_file(folder.path().join(&device.chain)).unwrap();
    }
    let (mut world, again, tally) = journey(folder.path(), &plan).await;
    world.kill().await.unwrap();
    assert_eq!(again, first);
    assert_eq!(chains(folder.path(), &again), before);
    assert_eq!(tally.provisioned, 12, "a repetition spends nothing");
}
