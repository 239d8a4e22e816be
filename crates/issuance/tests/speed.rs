//! How long a leaf's draft takes. Not a gate: printed for whoever asks.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod world;

use issuance::DeviceRequest;
use mfg::Generation;
use world::*;

#[test]
#[ignore = "measures; run with --release"]
fn drafting_a_leaf() {
    const ROUNDS: u32 = 20_000;
    let world = World::new(3);
    let last = world.route(world.root_issuer());
    let id = device("sn0000001");
    let key = world.device_key(&new_key(), &id);
    let certificate_serial = serial();
    let started = std::time::Instant::now();
    for _ in 0..ROUNDS {
        let request = DeviceRequest {
            key: &key,
            device: &id,
            generation: Generation::FIRST,
            serial: certificate_serial.clone(),
            now: now(),
        };
        let _ = std::hint::black_box(last.draft_device(&world.order, request).unwrap());
    }
    println!("a draft takes {:?}", started.elapsed() / ROUNDS);
}
