//! `countersign explain`: reasons in words and as JSON.

use std::{
    fs::File,
    process::{Command, Output, Stdio},
};

use crate::run::countersign;

#[test]
fn a_reason_is_explained_in_words_and_as_json() {
    let words = countersign(&["explain", "QUANTITY_SPENT"]);
    assert_eq!(words.code, Some(0));
    assert!(words.stdout.starts_with("QUANTITY_SPENT\n") && words.stdout.contains("what to do: "), "{}", words.stdout);
    let json = countersign(&["explain", "QUANTITY_SPENT", "-o", "json"]);
    assert_eq!((json.code, json.stderr.as_str()), (Some(0), ""));
    let found = json.json();
    assert_eq!(found["reason"], "QUANTITY_SPENT");
    assert_eq!(found["code"], "ResourceExhausted");
    for field in ["meaning", "remedy"] {
        assert!(found[field].as_str().is_some_and(|text| text.len() > 10), "{found}");
    }
}

#[test]
fn the_list_has_every_reason_and_each_of_them_is_explained() {
    let list = countersign(&["explain", "--list", "-o", "json"]);
    assert_eq!(list.code, Some(0));
    let list = list.json();
    let list = list.as_array().unwrap();
    assert!(list.len() > 100, "{}", list.len());
    for found in list {
        assert!(["reason", "meaning", "remedy", "code"].iter().all(|field| found[field].is_string()), "{found}");
    }
    let words = countersign(&["explain", "--list"]);
    assert_eq!(words.stdout.lines().count(), list.len());
    let last = list.last().unwrap()["reason"].as_str().unwrap();
    assert_eq!(countersign(&["explain", last]).code, Some(0));
}

#[test]
fn a_reason_that_nobody_published_is_refused_with_its_nearest_neighbour() {
    let ended = countersign(&["explain", "QUANTITY_SPEND"]);
    ended.assert_failed(1, "NO_SUCH_REASON");
    assert!(ended.stderr.contains("did you mean QUANTITY_"), "{}", ended.stderr);
    countersign(&["explain", "", "-o", "json"]).assert_failed(1, "NO_SUCH_REASON");
    // It stands for "no reason" on the wire and is none.
    countersign(&["explain", "UNSPECIFIED"]).assert_failed(1, "NO_SUCH_REASON");
}

#[test]
fn explain_wants_a_reason_or_the_list_and_not_both() {
    countersign(&["explain"]).assert_usage("REASON");
    countersign(&["explain", "--list", "QUANTITY_SPENT"]).assert_usage("--list");
    countersign(&["explain", "QUANTITY_SPENT", "-o", "yaml"]).assert_usage("yaml");
}

#[test]
fn a_reader_that_goes_away_is_no_failure_of_the_command() {
    for output in ["text", "json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = list_into(output, writer.into());
        assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), &b""[..]));
    }
}

#[test]
fn an_answer_that_cannot_be_written_is_a_failure() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let ended = list_into("json", full.into());
    assert_eq!(ended.status.code(), Some(3));
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(said.starts_with("error[SETUP_FAILED]") && said.contains("standard output"), "{said}");
}

fn list_into(output: &str, stdout: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
    command.args(["explain", "--list", "-o", output]).stdout(stdout).stderr(Stdio::piped());
    command.spawn().unwrap().wait_with_output().unwrap()
}

#[test]
fn help_is_an_answer_and_nonsense_is_not() {
    let help = countersign(&["--help"]);
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for command in ["demo", "verify", "inspect", "explain"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
        assert_eq!(countersign(&[command, "--help"]).code, Some(0));
    }
    assert!(!help.stdout.contains("service "), "the hidden subcommand is nobody's to call");
    assert_eq!(countersign(&["--version"]).code, Some(0));
    countersign(&["nonsense"]).assert_usage("nonsense");
    countersign(&["verify", "--nonsense"]).assert_usage("--nonsense");
    assert_eq!(countersign::<&str>(&[]).code, Some(2));
}
