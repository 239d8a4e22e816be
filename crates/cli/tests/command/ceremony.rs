//! `countersign ceremony`: its answers and how it ends. What it makes is tested beside the ceremonies themselves.

use std::{fs, path::Path};

use crate::{mentioned::left_out, run::countersign};

fn sample(folder: &Path, name: &str) -> String {
    let text = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../deploy/ceremony/{name}.toml"));
    let copy = folder.join(format!("{name}.toml"));
    fs::copy(text, &copy).unwrap();
    copy.into_os_string().into_string().unwrap()
}

#[test]
fn a_root_and_an_order_ca_are_made_from_the_samples_and_never_again() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["root", "order-ca"] {
        let input = sample(folder.path(), name);
        let dry = countersign(&["ceremony", "--input", &input, "--dry-run", "-o", "json"]);
        assert_eq!((dry.code, &dry.json()["kind"]), (Some(0), &name.into()), "{}", dry.stderr);
        assert!(!folder.path().join(format!("{name}.pem")).exists());
        let held = countersign(&["ceremony", "--input", &input, "-o", "json"]);
        assert_eq!(held.code, Some(0), "{}", held.stderr);
        assert_eq!(held.json()["certificate"]["profile_sha256"], dry.json()["profile_sha256"]);
        let pem = folder.path().join(format!("{name}.pem")).into_os_string().into_string().unwrap();
        assert_eq!(countersign(&["inspect", &pem]).code, Some(0));
        countersign(&["ceremony", "--input", &input]).assert_failed(1, "CEREMONY_HELD");
    }
}

/// What a root has no use for is in the order CA's sample, and the other way round.
#[test]
fn every_option_stands_in_one_of_the_samples() {
    let absent = |name: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = fs::read_to_string(sample(folder.path(), name)).unwrap();
        let on = |line: &str| match line.strip_prefix('#') {
            Some(option) if option.starts_with(|c: char| c.is_ascii_lowercase()) => option.to_owned(),
            Some(_) | None => line.to_owned(),
        };
        left_out::<ceremony::Input>(&text.lines().map(on).collect::<Vec<_>>().join("\n"))
    };
    let (root, order_ca) = (absent("root"), absent("order-ca"));
    let both: Vec<_> = root.iter().filter(|option| order_ca.contains(option)).collect();
    assert!(both.is_empty(), "{both:?}");
    assert!(root.contains(&".order_ca".to_owned()) && order_ca.contains(&".root".to_owned()));
}

#[test]
fn fingerprints_are_printed_in_groups_that_people_can_read_to_each_other() {
    let folder = tempfile::tempdir().unwrap();
    let held = countersign(&["ceremony", "--input", &sample(folder.path(), "root")]);
    assert_eq!(held.code, Some(0), "{}", held.stderr);
    let line = held.stdout.lines().find(|line| line.contains("certificate sha256")).unwrap();
    assert_eq!(line.split_whitespace().filter(|word| word.len() == 4).count(), 16, "{line}");
}

#[test]
fn a_file_that_is_missing_or_no_ceremonys_ends_with_its_code() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("none.toml").into_os_string().into_string().unwrap();
    countersign(&["ceremony", "--input", &missing]).assert_failed(3, "FILE_MISSING");
    let input = sample(folder.path(), "root");
    fs::write(&input, "version = 1\nnonsense = 2\n").unwrap();
    countersign(&["ceremony", "--input", &input]).assert_failed(2, "CONFIG_INVALID");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
