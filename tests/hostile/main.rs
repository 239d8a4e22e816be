//! Hostile octets: every reader of strangers' octets against what readers accept, mutated. `fuzz/` goes on from here with coverage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod devices;
mod mutate;
mod seeds;
#[allow(unreachable_pub, reason = "the fuzzing package reads the same file")]
mod targets;

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use mutate::mutate;
use proptest::test_runner::{RngAlgorithm, TestRng};
use targets::TARGETS;

/// Mutations of each seed.
const MUTATIONS: usize = 400;

fn findings(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/findings").join(target)
}

#[test]
fn no_reader_panics_at_what_it_is_given_or_believes_what_it_should_not() {
    for (name, target) in TARGETS {
        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let seeds = seeds::of(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in &seeds {
            target(seed);
            for _ in 0..MUTATIONS {
                target(&mutate(seed, &mut random));
            }
        }
        // What fuzzing once found stays found.
        for found in std::fs::read_dir(findings(name)).into_iter().flatten() {
            target(&std::fs::read(found.unwrap().path()).unwrap());
        }
    }
}

#[test]
fn the_seeds_are_what_the_readers_accept() {
    assert!(mfg::Terms::parse(&seeds::of("terms")[0]).is_ok());
    assert!(mfg::Handoff::from_der(&seeds::of("handoff_extension")[0]).is_ok());
    assert!(mfg::Bundle::parse(&seeds::of("bundle")[0]).is_ok());
    assert!(mfg::Manifest::parse(&seeds::of("manifest")[0]).is_ok());
    assert!(pki::RevocationList::parse(&seeds::of("revocation_list")[0]).is_ok());
    let token = String::from_utf8(seeds::of("page_token").remove(0)).unwrap();
    assert!(records::page::Page::read("lots", 10, &token).is_ok());
    let configurations = seeds::of("configuration");
    let text = |at: usize| std::str::from_utf8(&configurations[at]).unwrap();
    let file = Path::new("sample.toml");
    assert!(service::config::parse::<root_ca::Config>(text(0), file).is_ok());
    assert!(service::config::parse::<intermediate_ca::Config>(text(1), file).is_ok());
    assert!(service::config::parse::<provisioner::Config>(text(2), file).is_ok());
    assert!(service::config::parse::<hub::Config>(text(3), file).is_ok());
    assert!((4..6).all(|at| service::config::parse_document::<ceremony::Input>(text(at), file).is_ok()));
    let (folder, identity, journal) =
        (tempfile::tempdir().unwrap(), targets::identity(), seeds::of("journal").remove(0));
    let read = |octets: &[u8]| store::hostile::journal(folder.path(), &identity, octets).unwrap();
    assert_eq!(
        read(&journal),
        read(&store::hostile::mended(&identity, &journal)),
        "mending mends nothing that is whole"
    );
    assert!(!read(&journal).is_empty());
    for bag in &seeds::of("property_bag")[..2] {
        assert!(!device_wire::bag::decode(std::str::from_utf8(bag).unwrap()).unwrap().is_empty());
    }
}

/// What is driven is a session: it does what it is asked, and answers.
#[test]
fn a_device_that_behaves_is_answered_by_the_sessions_that_are_driven() {
    use device_wire::{
        amqp::{DeliveryState, Performative, frame},
        mqtt::{self, Packet},
    };
    let mut answers = BytesMut::from(&hub::hostile::mqtt_session(&seeds::of("mqtt_session")[0]).unwrap().answers[..]);
    let mut packets = Vec::new();
    while let Some(packet) = mqtt::decode(&mut answers, 65_536).unwrap() {
        packets.push(packet);
    }
    let published =
        |part: &str| packets.iter().any(|p| matches!(p, Packet::Publish(sent) if sent.topic.contains(part)));
    assert!(matches!(packets[0], Packet::ConnAck(_)) && packets.contains(&Packet::PingResp), "{packets:?}");
    assert_eq!(packets.iter().filter(|packet| matches!(packet, Packet::PubAck(_))).count(), 3, "{packets:?}");
    for part in ["messages/devicebound/", "$iothub/twin/res/200/", "$iothub/twin/res/204/"] {
        assert!(published(part), "{part} is missing from {packets:?}");
    }

    let seed = &seeds::of("amqp_connection")[0];
    let mut answers = BytesMut::from(&hub::hostile::amqp_connection(seed).unwrap().answers[..]);
    frame::decode_header(&mut answers).unwrap();
    let mut performatives = Vec::new();
    while let Some(frame) = frame::decode(&mut answers, 65_536).unwrap() {
        performatives.extend(frame.performative);
    }
    let accepted =
        |p: &&Performative| matches!(p, Performative::Disposition(d) if d.state == Some(DeliveryState::Accepted));
    assert_eq!(performatives.iter().filter(accepted).count(), 2, "{performatives:?}");
    assert!(performatives.iter().any(|p| matches!(p, Performative::Transfer(_))), "{performatives:?}");
    assert!(
        matches!(performatives.last(), Some(Performative::Close(close)) if close.error.is_none()),
        "{performatives:?}"
    );
}

/// Every target is one that coverage can drive too.
#[test]
fn every_target_has_its_fuzzing_program() {
    let manifest = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml lacks {name}");
    }
}

/// Writes the seeds to the folder in `COUNTERSIGN_SEEDS`: where cargo-fuzz looks for them.
#[test]
#[ignore = "writes files, for cargo fuzz"]
fn write_the_seeds() {
    let unasked = || Path::new(env!("CARGO_TARGET_TMPDIR")).join("seeds");
    let folder = std::env::var_os("COUNTERSIGN_SEEDS").map_or_else(unasked, PathBuf::from);
    for (name, _) in TARGETS {
        let corpus = folder.join(name);
        std::fs::create_dir_all(&corpus).unwrap();
        for (number, seed) in seeds::of(name).into_iter().enumerate() {
            std::fs::write(corpus.join(format!("seed-{number}")), seed).unwrap();
        }
        assert!(std::fs::read_dir(corpus).unwrap().next().is_some());
    }
}
