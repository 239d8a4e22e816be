//! What the pure crates do not touch: files, network, clock, environment. CRLs and `now` are arguments there, so that every rule can
//! be tested with plain values and gives the same answer on every machine.

use crate::{
    tokens::{self, Token},
    tree,
};

/// The crates that know no world outside their arguments.
pub(crate) const PURE: &[&str] = &["pki", "mfg", "issuance"];

/// Modules of `std` that reach the world.
const MODULES: &[&str] = &["fs", "env", "process", "thread"];

/// Types that reach the world, wherever they come from.
const TYPES: &[&str] =
    &["SystemTime", "Instant", "File", "OpenOptions", "TcpStream", "TcpListener", "UdpSocket", "ToSocketAddrs"];

/// Functions that read the clock, written with the type that they stand on.
const CLOCKS: &[(&str, &str)] = &[("OffsetDateTime", "now_utc"), ("UtcDateTime", "now"), ("Utc", "now")];

#[test]
fn pure_crates_touch_no_files_network_clock_or_environment() {
    let mut findings = Vec::new();
    for krate in PURE {
        let files = tokens::production_files(krate);
        assert!(files.len() > 1, "{krate} has no sources: correct this test");
        for path in files {
            let found = worldly(&tokens::production_tokens(&path));
            findings.extend(found.into_iter().map(|(line, what)| format!("{}:{line}: {what}", path.display())));
        }
    }
    tree::assert_none(&findings, "pure crates take what they need as arguments:");
}

/// Every place where the tokens name something of the world, as (line, what).
fn worldly(tokens: &[Token]) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let rest = &tokens[at..];
        if let Some(name) = TYPES.iter().find(|name| token.is_word(name)) {
            found.push((token.line, (*name).to_owned()));
        }
        if token.is_word("std") {
            found.extend(modules_of_std(rest).map(|(line, module)| (line, format!("std::{module}"))));
        }
        let is_clock = |(of, function): &&(&str, &str)| {
            token.is_word(of) && path_continues(rest) && rest.get(3).is_some_and(|t| t.is_word(function))
        };
        found.extend(CLOCKS.iter().filter(is_clock).map(|(of, function)| (token.line, format!("{of}::{function}"))));
    }
    found
}

/// The worldly modules that a path beginning with `std` names: `std::fs`, or `std::{fmt, fs::File}`.
fn modules_of_std(tokens: &[Token]) -> impl Iterator<Item = (usize, &'static str)> {
    let named: Vec<&Token> = if !path_continues(tokens) {
        Vec::new()
    } else if tokens.get(3).is_some_and(|t| t.is_mark('{')) {
        heads_of_group(&tokens[3..])
    } else {
        tokens.get(3).into_iter().collect()
    };
    named
        .into_iter()
        .filter_map(|t| MODULES.iter().find(|m| t.is_word(m)).map(|m| (t.line, *m)))
        .collect::<Vec<_>>()
        .into_iter()
}

/// The first word of each part of a braced list, not looking into the lists within it.
fn heads_of_group(tokens: &[Token]) -> Vec<&Token> {
    let mut depth = 0_usize;
    let mut heads = Vec::new();
    for pair in tokens.windows(2) {
        if pair[0].is_mark('{') {
            depth += 1;
        } else if pair[0].is_mark('}') {
            depth -= 1;
        }
        if depth == 0 {
            break;
        }
        if depth == 1 && (pair[0].is_mark('{') || pair[0].is_mark(',')) {
            heads.push(&pair[1]);
        }
    }
    heads
}

fn path_continues(tokens: &[Token]) -> bool {
    tokens.len() > 3 && tokens[1].is_mark(':') && tokens[2].is_mark(':')
}
