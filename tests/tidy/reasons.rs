//! Every refusal is named, and every name is published: what a line engineer reads in an answer is in `countersign explain`.

use std::{collections::BTreeSet, path::Path};

use crate::{
    tokens::{self, Token},
    tree,
};

/// Strings in capitals that are no reasons.
const NOT_REASONS: &[&str] = &["RUST_LOG", "COUNTERSIGN_PROFILE"];

#[test]
fn every_reason_in_the_sources_is_published() {
    let published = published();
    let mut findings = Vec::new();
    for path in tree::rust_files_under("crates").iter().filter(|path| is_production(path)) {
        let tokens = tokens::production_tokens(path);
        let unknown = reasons(&tokens)
            .into_iter()
            .filter(|(_, name)| !published.contains(name) && !NOT_REASONS.contains(&name.as_str()));
        findings.extend(unknown.map(|(line, name)| format!("{}:{line}: {name}", path.display())));
    }
    tree::assert_none(&findings, "reasons that proto/countersign/reason/v1/reason.proto does not publish:");
}

#[test]
fn names_and_numbers_of_reasons_are_unique() {
    let text = tree::read(Path::new("proto/countersign/reason/v1/reason.proto"));
    let values = || text.lines().filter_map(|line| line.trim().strip_prefix("REASON_")?.split_once('='));
    let names: BTreeSet<_> = values().map(|(name, _)| name.trim()).collect();
    let numbers: BTreeSet<_> = values().map(|(_, number)| number.trim()).collect();
    assert_eq!((names.len(), numbers.len()), (values().count(), values().count()));
}

/// The published names, without the prefix.
pub(crate) fn published() -> BTreeSet<String> {
    let text = tree::read(Path::new("proto/countersign/reason/v1/reason.proto"));
    let names: BTreeSet<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("REASON_")?.split_once(" ="))
        .map(|(name, _)| name.to_owned())
        .collect();
    assert!(names.len() > 50, "found {} published reasons: correct this test", names.len());
    names
}

pub(crate) fn is_production(path: &Path) -> bool {
    let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy());
    parts.clone().any(|part| part == "src") && !parts.any(|part| part == "tests" || part == "tests.rs")
}

/// Every string that is written like a reason, with its line: several words in capitals anywhere, one word in a `fn reason` alone.
fn reasons(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    let mut ends_of_reason_fns = Vec::new();
    let mut open_braces = 0_usize;
    for (at, token) in tokens.iter().enumerate() {
        if token.is_word("reason") && at > 0 && tokens[at - 1].is_word("fn") {
            ends_of_reason_fns.push(open_braces);
        }
        if token.is_mark('{') {
            open_braces += 1;
        }
        if token.is_mark('}') {
            open_braces -= 1;
            ends_of_reason_fns.retain(|depth| *depth < open_braces);
        }
        let Some(text) = token.as_text().filter(|text| is_upper_snake(text)) else { continue };
        let is_compile_time_variable = at >= 3 && tokens[at - 2].is_mark('!') && tokens[at - 3].is_word("env");
        if !is_compile_time_variable && (text.contains('_') || !ends_of_reason_fns.is_empty()) {
            found.push((token.line, text.to_owned()));
        }
    }
    found
}

/// `LOT_SPENT`, `INTERNAL`.
fn is_upper_snake(text: &str) -> bool {
    let is_word = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    text.len() > 3 && text.starts_with(|c: char| c.is_ascii_uppercase()) && text.split('_').all(is_word)
}
