//! The pieces of one device certificate: the gate for its request, the draft, the signature.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../tests/world/mod.rs"]
mod world;

use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use issuance::{AskedFor, DeviceRequest, KeyKind, SelfCheck, SigningKey as _, SoftwareKey, gate, make_csr};
use mfg::Generation;
use pki::CertificateRequest;
use world::{TestReceipt, World, device, now, serial};

const KINDS: [(&str, KeyKind); 3] = [("P-256", KeyKind::P256), ("P-384", KeyKind::P384), ("Ed25519", KeyKind::Ed25519)];

/// Reading a request and proving possession, of which the verification alone is shown beside it.
fn requests(bench: &mut Criterion) {
    let (world, id) = (World::new(1), device("sn0000001"));
    for (name, kind) in KINDS {
        let key = SoftwareKey::generate(kind).unwrap();
        let csr = make_csr(&key, id.as_str()).unwrap();
        let policy = world.order.device_keys();
        bench.bench_function(&format!("gate a request, {name}"), |b| {
            b.iter(|| gate(black_box(&csr), policy, AskedFor::Device(&id)).unwrap());
        });
        let signature = key.sign(&csr).unwrap();
        bench.bench_function(&format!("verify a signature, {name}"), |b| {
            b.iter(|| key.public_key().verify(key.algorithm(), black_box(&csr), &signature).unwrap());
        });
        bench.bench_function(&format!("name the key of a request, {name}"), |b| {
            b.iter(|| CertificateRequest::named_key(black_box(&csr)).unwrap());
        });
    }
}

/// From a key that passed the gate to the certificate.
fn certificates(bench: &mut Criterion) {
    let (world, id) = (World::new(3), device("sn0000001"));
    let issuer = world.route(world.root_issuer());
    let key = world.device_key(&world::new_key(), &id);
    let draft = || {
        let (generation, serial) = (Generation::FIRST, serial());
        let request = DeviceRequest { key: &key, device: &id, generation, serial, now: now() };
        issuer.draft_device(&world.order, request).unwrap()
    };
    bench.bench_function("draft a certificate", |b| b.iter(draft));
    let recorded = || {
        let draft = draft();
        let receipt = TestReceipt(draft.tbs_digest());
        draft.recorded(receipt).unwrap()
    };
    bench.bench_function("sign a certificate, P-256", |b| {
        b.iter_batched(recorded, |recorded| issuer.sign(recorded, SelfCheck::Skip).unwrap(), BatchSize::SmallInput);
    });
}

criterion_group!(benches, requests, certificates);
criterion_main!(benches);
