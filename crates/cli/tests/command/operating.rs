//! docs/operating.md and docs/recovery.md: every command is run as it stands there, and answers what it says.

use std::{fs, path::Path};

use crate::{
    run::countersign,
    walk::{Step, Walk, steps},
};

fn document(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)).unwrap()
}

fn operating() -> String {
    document("operating.md")
}

#[test]
fn every_command_of_a_working_day_does_what_the_document_says() {
    let steps = steps(&operating());
    let verbs =
        |noun: &str| steps.iter().filter(|step| step.command.starts_with(&format!("countersign {noun} "))).count();
    for noun in ["ceremony", "service", "program", "manufacturer", "order", "handoff", "lot", "device", "verify"] {
        assert!(verbs(noun) > 0, "the document has no {noun}");
    }
    assert!(steps.len() > 80, "{}", steps.len());
    let mut walk = Walk::begin();
    steps.iter().for_each(|step| walk.take(step));
}

#[test]
fn the_recovery_drill_goes_as_the_document_says() {
    let steps = steps(&document("recovery.md"));
    let has = |verb: &str| steps.iter().any(|step| step.command.starts_with(verb));
    for verb in ["countersign backup", "countersign restore", "countersign store reconcile", "kill -9"] {
        assert!(has(verb), "the drill has no {verb}");
    }
    let mut walk = Walk::begin();
    steps.iter().for_each(|step| walk.take(step));
}

/// A command that only looks like one is not run, and nobody would notice that it is wrong.
#[test]
fn a_command_stands_in_a_console_block_or_in_the_line() {
    let mut block = None;
    for line in operating().lines() {
        match (line.strip_prefix("```"), &block) {
            (Some(language), None) => block = Some(language.to_owned()),
            (Some(_), Some(_)) => block = None,
            (None, Some(language)) => assert!(language == "console" || !line.contains("countersign"), "{line}"),
            // A command of the first page that is about another folder.
            (None, None) => assert!(!line.starts_with("    countersign") || line.ends_with("init DIR"), "{line}"),
        }
    }
    assert_eq!(block, None);
}

#[test]
fn the_reasons_that_the_document_names_are_published() {
    let document = [operating(), document("recovery.md")].concat();
    let quoted = document
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|word| word.contains('_') && !word.contains(|c: char| c.is_lowercase()));
    let named: Vec<&str> = quoted.collect();
    assert!(named.len() > 3, "{named:?}");
    named.iter().for_each(|reason| assert_eq!(countersign(&["explain", reason]).code, Some(0), "{reason}"));
}

#[test]
fn an_answer_that_is_not_the_documents_is_noticed() {
    let step = |expected: &str| Step { who: "x".to_owned(), command: "c".to_owned(), expected: expected.to_owned() };
    let judged = |expected: &str, answer: &str| Walk::begin().judge(&step(expected), answer).is_ok();
    assert!(judged("", "") && judged("a\nb", "a\nb\n") && judged("a  b", "a b"));
    assert!(judged("...\nb\n...", "a\nb\nc\n") && judged("a\n...", "a\n") && judged("a ...", "a b c"));
    assert!(judged("<x> <y>", "1 2") && judged("<x>\n<x>", "1\n1"));
    for (expected, answer) in [
        ("", "a"),
        ("a", ""),
        ("a", "a\nb"),
        ("b", "a\nb"),
        ("a\n...", "b"),
        ("...\nb", "b\nc"),
        ("...\na\nc\n...", "a\nb\nc"),
        ("<x>\n<x>", "1\n2"),
        ("a ...", "b"),
    ] {
        assert!(!judged(expected, answer), "{expected:?} {answer:?}");
    }
}
