//! The shape of the sources: short files, and no crate outside the common lints.

use std::path::Path;

use crate::tree;

/// Most lines of a Rust file. The aim is 400: past that a file tells two stories. This falls to it when no file is longer.
const MOST_LINES: usize = 600;

#[test]
fn files_are_short() {
    let mut files = tree::rust_files_under("crates");
    files.extend(tree::rust_files_under("tests"));
    assert!(files.len() > 20, "found {} Rust files: correct this test", files.len());
    let lengths = files.into_iter().map(|path| (tree::read(&path).lines().count(), path));
    let long = lengths.filter(|(lines, _)| *lines > MOST_LINES);
    let findings: Vec<_> = long.map(|(lines, path)| format!("{}: {lines} lines", path.display())).collect();
    tree::assert_none(&findings, &format!("files over {MOST_LINES} lines, to be split by idea:"));
}

/// `forbid` cannot be allowed again further in, so that a crate which inherits the lints has no unsafe code.
#[test]
fn every_crate_inherits_the_lints_that_forbid_unsafe() {
    let forbids = tree::read(Path::new("Cargo.toml")).lines().any(|line| line == "unsafe_code = \"forbid\"");
    assert!(forbids, "the workspace's lints do not forbid unsafe code");
    let mut manifests = tree::files_under("crates");
    manifests.extend(tree::files_under("tests"));
    manifests.retain(|path| path.ends_with("Cargo.toml"));
    assert!(manifests.len() > 10, "found {} manifests: correct this test", manifests.len());
    let inherits = |path: &Path| tree::read(path).replace(' ', "").contains("[lints]\nworkspace=true\n");
    let findings: Vec<_> =
        manifests.iter().filter(|path| !inherits(path)).map(|path| path.display().to_string()).collect();
    tree::assert_none(&findings, "manifests without `[lints] workspace = true`:");
}
