//! The table against the protos: nothing that people do is without a verb, and every row means what it says.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;

use clap::ArgMatches;
use prost_reflect::{Kind, MessageDescriptor};

use super::{
    NOUNS, called, request,
    session::{method, served_by},
    table::{Argument, Effect, Form, Run, Shows, Verb},
};

/// RPCs of these packages are for people and their tools.
const PACKAGES: &[&str] = &[
    "program",
    "manufacturer",
    "order",
    "handoff",
    "manifest",
    "lot",
    "issuance",
    "provisioning",
    "possession",
    "store",
];

/// RPCs that nobody calls from a command line.
const BETWEEN_SERVICES: &[&str] = &[
    // The provisioner's work at the signer; people call the provisioner.
    "countersign.issuance.v1.IssuanceService/IssueDevice",
    "countersign.issuance.v1.IssuanceService/IssueDevices",
    "countersign.issuance.v1.IssuanceService/ValidateDevice",
    "countersign.issuance.v1.IssuanceService/ConfirmDevices",
    // A receiver and its sender.
    "countersign.handoff.v1.HandoffService/CompareJournals",
    // `countersign backup`.
    "countersign.store.v1.StoreService/CopyStore",
];

fn verbs() -> impl Iterator<Item = (&'static str, &'static Verb)> {
    NOUNS.iter().flat_map(|noun| noun.verbs.iter().map(|verb| (noun.name, verb)))
}

fn rpcs_of(verb: &Verb) -> Vec<&'static str> {
    let own = match verb.run {
        Run::Call => &[][..],
        Run::Own { calls, .. } => calls,
    };
    let looks = match &verb.effect {
        Effect::Reads => &[][..],
        Effect::Changes { look } | Effect::Final { look, .. } => look.as_ref().map_or(&[][..], |look| look.rpcs),
    };
    let looks: Vec<&str> = looks.iter().map(|(rpc, _)| *rpc).collect();
    [verb.rpcs, own, &looks].concat()
}

/// Splits as a shell does, as far as the examples need it.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            c => words.last_mut().unwrap().push(c),
        }
    }
    words
}

fn parse(line: &str) -> ArgMatches {
    crate::command().try_get_matches_from(words(line)).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn every_rpc_that_people_use_has_a_verb_or_a_stated_exception() {
    let covered: BTreeSet<&str> = verbs().flat_map(|(_, verb)| rpcs_of(verb)).collect();
    let packages = PACKAGES.iter().flat_map(|package| api::rpc_names(&format!("countersign.{package}.v1")));
    let without: Vec<String> = packages
        .map(|rpc| rpc.trim_start_matches('/').to_owned())
        .filter(|rpc| !covered.contains(rpc.as_str()) && !BETWEEN_SERVICES.contains(&rpc.as_str()))
        .collect();
    assert!(without.is_empty(), "rpcs without a verb: {without:#?}");
    assert!(BETWEEN_SERVICES.iter().all(|rpc| method(rpc).is_ok() && !covered.contains(rpc)));
}

#[test]
fn every_row_names_rpcs_that_are_there_and_that_some_service_serves() {
    for (noun, verb) in verbs() {
        for rpc in rpcs_of(verb) {
            assert!(method(rpc).is_ok(), "{noun} {}: {rpc}", verb.name);
            assert!(!served_by(rpc).is_empty(), "{noun} {}: {rpc}", verb.name);
        }
    }
}

#[test]
fn what_a_verb_looks_at_before_is_named_by_an_argument_of_its_own() {
    for (noun, verb) in verbs() {
        let (Effect::Changes { look: Some(look) } | Effect::Final { look: Some(look), .. }) = &verb.effect else {
            continue;
        };
        assert!(verb.all_arguments().any(|argument| argument.name == look.argument), "{noun} {}", verb.name);
        for (rpc, field) in look.rpcs {
            let found = field_at(&method(rpc).unwrap().input(), field);
            assert!(found.is_some_and(|found| found.kind() == Kind::String), "{noun} {}: {rpc} {field}", verb.name);
        }
        let looks_at = |role| look.rpcs.iter().any(|(rpc, _)| served_by(rpc).contains(role));
        assert!(verb.rpcs.iter().all(|rpc| served_by(rpc).iter().any(looks_at)), "{noun} {}", verb.name);
    }
}

#[test]
fn every_verbs_example_is_a_command_line_that_calls_it() {
    for (noun, verb) in verbs() {
        let matches = parse(verb.example);
        let given = called(&matches).unwrap_or_else(|| panic!("{}", verb.example));
        assert!(std::ptr::eq(given.verb, verb), "{}", verb.example);
        let start = format!("countersign {noun} {} ", verb.name);
        assert!(format!("{} ", verb.example).starts_with(&start), "{}", verb.example);
    }
}

#[test]
fn names_are_said_once_and_sentences_are_sentences() {
    let mut seen = BTreeSet::new();
    for (noun, verb) in verbs() {
        assert!(seen.insert((noun, verb.name)), "{noun} {} stands there twice", verb.name);
        assert!(verb.about.ends_with('.'), "{noun} {}: {}", verb.name, verb.about);
        for argument in verb.all_arguments() {
            assert!(
                !argument.about.ends_with('.') && !argument.about.is_empty(),
                "{noun} {} {}",
                verb.name,
                argument.name
            );
        }
    }
    crate::command().debug_assert();
}

/// The field at a path, in the requests that have it.
fn field_at(message: &MessageDescriptor, path: &str) -> Option<prost_reflect::FieldDescriptor> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let field = message.get_field_by_name(name)?;
    match rest {
        None => Some(field),
        Some(rest) => field_at(field.kind().as_message()?, rest),
    }
}

fn suits(form: Form, kind: &Kind) -> bool {
    let message = kind.as_message().map(MessageDescriptor::full_name).unwrap_or_default();
    match form {
        Form::Text | Form::TextFile | Form::Choice(_) => *kind == Kind::String,
        Form::Number | Form::Seconds => matches!(kind, Kind::Uint32 | Kind::Uint64 | Kind::Int32 | Kind::Int64),
        Form::Quantity => message == "countersign.custody.v1.Quantity",
        Form::Time => message == "google.protobuf.Timestamp",
        Form::Digest | Form::PublicKeyFile | Form::DigestOfCertificateFile => *kind == Kind::Bytes,
        Form::Route => message == "countersign.order.v1.Route",
        Form::Flag => *kind == Kind::Bool,
        Form::Path => false,
    }
}

#[test]
fn every_argument_goes_into_a_field_of_its_kind() {
    for (noun, verb) in verbs() {
        let arguments = verb.all_arguments().filter(|argument| !argument.field.is_empty());
        for (Argument { name, form, field, .. }, path) in
            arguments.flat_map(|argument| argument.field.split(' ').map(move |path| (argument, path)))
        {
            let found: Vec<_> =
                verb.rpcs.iter().filter_map(|rpc| field_at(&method(rpc).unwrap().input(), path)).collect();
            assert!(!found.is_empty(), "{noun} {} {name}: no request has {field}", verb.name);
            assert!(found.iter().all(|found| suits(*form, &found.kind())), "{noun} {} {name}: {field}", verb.name);
        }
    }
}

/// What a request must say, but for what a verb's own function puts in: a new field of a request is thought about here.
#[test]
fn every_field_of_a_request_has_an_argument_or_a_verbs_own_function() {
    let by_itself = ["request_id", "page_size", "page_token"];
    for (noun, verb) in verbs().filter(|(_, verb)| matches!(verb.run, Run::Call)) {
        for rpc in verb.rpcs {
            for field in method(rpc).unwrap().input().fields().filter(|field| !by_itself.contains(&field.name())) {
                let covers = |argument: &Argument| {
                    argument.field.split(' ').any(|path| path.split('.').next() == Some(field.name()))
                };
                assert!(verb.all_arguments().any(covers), "{noun} {}: {rpc} has {}", verb.name, field.name());
            }
        }
    }
}

#[test]
fn what_is_listed_is_a_list_with_those_columns() {
    for (noun, verb) in verbs() {
        let Shows::Rows { field, columns } = verb.shows else { continue };
        for rpc in verb.rpcs {
            let answer = method(rpc).unwrap().output();
            let list = field.split(' ').find_map(|name| answer.get_field_by_name(name));
            let list = list.unwrap_or_else(|| panic!("{noun} {}: {rpc} has no {field}", verb.name));
            assert!(list.is_list());
        }
        let entry = |rpc: &&str| {
            let answer = method(rpc).unwrap().output();
            field.split(' ').find_map(|name| answer.get_field_by_name(name)).unwrap().kind().as_message().cloned()
        };
        for (_, path) in columns {
            let is_there = verb.rpcs.iter().filter_map(entry).any(|entry| field_at(&entry, path).is_some());
            assert!(is_there, "{noun} {}: no {path}", verb.name);
        }
    }
}

#[test]
fn what_cannot_be_undone_is_confirmed_and_can_be_tried_dry() {
    for (noun, verb) in verbs() {
        let Effect::Final { named, .. } = verb.effect else { continue };
        assert!(verb.all_arguments().any(|argument| argument.name == named), "{noun} {}", verb.name);
        let matches = parse(&format!("{} --dry-run", verb.example));
        assert!(called(&matches).unwrap().is_dry_run());
    }
    let final_verbs: Vec<_> =
        verbs().filter(|(_, v)| matches!(v.effect, Effect::Final { .. })).map(|(noun, v)| (noun, v.name)).collect();
    for named in [("order", "cancel"), ("lot", "close"), ("lot", "scrap-blanks"), ("device", "scrap")] {
        assert!(final_verbs.contains(&named), "{named:?}");
    }
}

/// The JSON of the request that a command line makes.
fn request_of(line: &str) -> serde_json::Value {
    let matches = parse(line);
    let given = called(&matches).unwrap();
    let built = request::build(&method(given.verb.rpcs.first().unwrap()).unwrap(), &given);
    super::answer::as_json(&built.unwrap_or_else(|e| panic!("{line}: {e}")))
}

fn refused(line: &str) -> String {
    let matches = parse(line);
    let given = called(&matches).unwrap();
    let built = request::build(&method(given.verb.rpcs.first().unwrap()).unwrap(), &given);
    built.unwrap_err().to_string()
}

#[test]
fn routes_become_handoffs_and_shared_ones_stand_there_once() {
    let order = "countersign order create po-7 --program p --units unlimited --sign-from 2026-01-02T03:04:05Z";
    let json = request_of(&format!("{order} --route x,y,z --route x,y,w"));
    assert_eq!(
        json["draft"]["routes"],
        serde_json::json!([{"from":"x","to":"y"},{"from":"y","to":"z"},{"from":"y","to":"w"}])
    );
    assert_eq!(json["draft"]["order"], "po-7");
    assert_eq!(json["draft"]["quantity"], "unlimited");
    assert_eq!(json["draft"]["signing_window"]["not_before"], "2026-01-02T03:04:05Z");
    let offer = request_of("countersign handoff offer b1 --source po-7 --to y --units 5");
    assert_eq!((&offer["quantity"], &offer["ttl_seconds"]), (&5.into(), &604_800.into()));
}

#[test]
fn an_argument_that_is_not_of_its_form_is_a_flag_error() {
    let order = "countersign order create po-7 --program p --route x,y --units";
    for (line, said) in [
        (format!("{order} 0"), "units"),
        (format!("{order} -- -1"), "units"),
        (format!("{order} 5 --rework-cap 4294967296"), "rework-cap"),
        (format!("{order} 5 --sign-from yesterday"), "sign-from"),
        (format!("{order} 5 --manifest-sha256 00"), "manifest-sha256"),
        (format!("{order} 5 --route x"), "route"),
        (format!("{order} 5 --route x,,y"), "route"),
        ("countersign handoff offer b1 --source s --to y --units 5 --expires-in 91d".to_owned(), "expires-in"),
    ] {
        let line = line.replace(" -- -1", "=-1");
        let said_it = refused(&line);
        assert!(said_it.starts_with("error[USAGE]: ") && said_it.contains(said), "{line}: {said_it}");
    }
}
