//! Hostile octets: every reader of strangers' octets against what readers accept, mutated. `fuzz/` goes on from here with coverage.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod seeds;
#[allow(unreachable_pub, reason = "the fuzzing package reads the same file")]
mod targets;

use std::path::{Path, PathBuf};

use proptest::{
    prelude::Rng as _,
    test_runner::{RngAlgorithm, TestRng},
};
use targets::TARGETS;

/// Mutations of each seed; a store that is opened for each costs more than the others.
const MUTATIONS: usize = 400;
const MUTATIONS_OF_A_JOURNAL: usize = 60;

fn findings(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/findings").join(target)
}

/// A few changes of the kinds that readers stumble over.
fn mutate(seed: &[u8], random: &mut TestRng) -> Vec<u8> {
    let mut octets = seed.to_vec();
    for _ in 0..=random.next_u32() % 4 {
        let below = |random: &mut TestRng, bound: usize| random.next_u32() as usize % bound.max(1);
        let at = below(random, octets.len());
        match random.next_u32() % 7 {
            0 => octets.truncate(at),
            1 => octets.push(random.next_u32() as u8),
            2 => octets.insert(at.min(octets.len()), [0, 0xff, 0x80, 0x30][below(random, 4)]),
            3 => {
                let to = at + below(random, octets.len() - at.min(octets.len()) + 1);
                let part = octets.get(at..to.min(octets.len())).unwrap_or_default().to_vec();
                octets.splice(at..at, part);
            }
            4 if !octets.is_empty() => octets[at] = octets[at].wrapping_add(1),
            5 if !octets.is_empty() => octets[at] = [0, 1, 0x7f, 0x80, 0xff][below(random, 5)],
            _ if !octets.is_empty() => octets[at] ^= 1 << (random.next_u32() % 8),
            _ => {}
        }
    }
    octets
}

#[test]
fn no_reader_panics_at_what_it_is_given_or_believes_what_it_should_not() {
    for (name, target) in TARGETS {
        let mut random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
        let mutations = if *name == "journal" { MUTATIONS_OF_A_JOURNAL } else { MUTATIONS };
        let seeds = seeds::of(name);
        assert!(!seeds.is_empty(), "{name} has no seeds");
        for seed in &seeds {
            target(seed);
            for _ in 0..mutations {
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
