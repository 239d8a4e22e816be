//! The repository's files, as a fresh clone would hold them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// What a build, a demo or an editor leaves behind.
const NOT_OURS: &[&str] = &["target", ".git", "countersign-demo", "node_modules", "__pycache__", ".idea", ".vscode"];

/// The repository's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' package lies in the repository")
}

/// Every file under `folder` (relative to the root), sorted; paths are relative to the root.
pub(crate) fn files_under(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![root().join(folder)];
    while let Some(next) = waiting.pop() {
        for entry in fs::read_dir(&next).unwrap_or_else(|e| panic!("cannot read {}: {e}", next.display())) {
            let entry = entry.unwrap();
            if NOT_OURS.iter().any(|name| entry.file_name() == *name) {
                continue;
            }
            let kind = entry.file_type().unwrap();
            if kind.is_dir() {
                waiting.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path().strip_prefix(root()).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

/// Every Rust file under `folder`.
pub(crate) fn rust_files_under(folder: &str) -> Vec<PathBuf> {
    files_under(folder).into_iter().filter(|path| path.extension().is_some_and(|ext| ext == "rs")).collect()
}

/// The text of a file whose path is relative to the root.
pub(crate) fn read(path: &Path) -> String {
    let bytes = fs::read(root().join(path)).unwrap_or_else(|e| panic!("cannot read {}: {e}", path.display()));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Fails with every finding, one a line, under the rule that they break.
pub(crate) fn assert_none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}\n  {}\n", findings.join("\n  "));
}
