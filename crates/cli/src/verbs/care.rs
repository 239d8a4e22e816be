//! Before something is spent or destroyed: what would be sent, what is there now, and the name typed once more.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use prost_reflect::{DynamicMessage, MethodDescriptor, Value as Field};
use serde_json::{Map, Value, json};

use super::{
    answer::{Answer, as_json, in_words},
    session::{self, Session},
    table::{Effect, Given, Look},
};
use crate::failure::Failure;

/// What a verb would send and what it would change; nothing is sent but what reads.
pub(super) fn dry_run(
    session: &Session,
    given: &Given<'_>,
    method: &MethodDescriptor,
    request: &DynamicMessage,
) -> Result<Answer, Failure> {
    let rpc = format!("{}/{}", method.parent_service().full_name(), method.name());
    let mut json = Map::new();
    json.insert("dry_run".to_owned(), Value::from(true));
    json.insert("rpc".to_owned(), Value::from(rpc.as_str()));
    json.insert("request".to_owned(), as_json(request));
    let mut words = format!("Would call {rpc} with\n{}", indented(&in_words(request)));
    if let Some(found) = look(session, given)? {
        words.push_str(&format!("\nAs it is now\n{}", indented(&in_words(&found))));
        json.insert("now".to_owned(), as_json(&found));
    }
    words.push_str("\nNothing was sent.");
    Ok(Answer::new(Value::Object(json), words))
}

/// Has the name typed of what cannot be undone.
pub(super) fn confirm(session: &Session, given: &Given<'_>) -> Result<(), Failure> {
    match &given.verb.effect {
        Effect::Reads | Effect::Changes { .. } => Ok(()),
        Effect::Final { named, .. } => {
            let name = given.required(named)?;
            if given.text("yes").is_none()
                && io::stdin().is_terminal()
                && let Some(found) = look(session, given)?
            {
                eprintln!("{}", in_words(&found));
            }
            typed(name, given, given.verb.about)
        }
    }
}

/// The name of what is about to be done, from `--yes` or the terminal.
pub(super) fn typed(name: &str, given: &Given<'_>, what: &str) -> Result<(), Failure> {
    let missing = |words: String| Failure::named("CONFIRMATION_MISSING", words);
    match given.text("yes") {
        Some(yes) if yes == name => return Ok(()),
        Some(yes) => return Err(missing(format!("--yes {yes} is not {name}"))),
        None if !io::stdin().is_terminal() => {
            return Err(missing(format!("this cannot be undone, and nobody can be asked: --yes {name} confirms it")));
        }
        None => {}
    }
    let failed = |e: io::Error| Failure::unavailable("SETUP_FAILED", format!("the terminal: {e}"));
    let mut err = io::stderr().lock();
    write!(err, "{what}\nThis cannot be undone. Type {name} to confirm: ")
        .and_then(|()| err.flush())
        .map_err(failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    if line.trim() == name { Ok(()) } else { Err(missing(format!("{name} was not typed"))) }
}

/// Reads what a verb would change, if its row says how.
fn look(session: &Session, given: &Given<'_>) -> Result<Option<DynamicMessage>, Failure> {
    let (Effect::Changes { look: Some(look) } | Effect::Final { look: Some(look), .. }) = &given.verb.effect else {
        return Ok(None);
    };
    let Look { rpcs, argument } = look;
    let Some((rpc, field)) = session.served(rpcs) else { return Ok(None) };
    let method = session::method(rpc)?;
    let mut request = DynamicMessage::new(method.input());
    request.set_field_by_name(field, Field::String(given.required(argument)?.to_owned()));
    session.send(&method, &request).map(Some)
}

/// A dry run of a verb that does more than one call.
pub(super) fn would(words: impl Into<String>, facts: Value) -> Answer {
    Answer::new(json!({ "dry_run": true, "would": facts }), format!("{}\nNothing was sent.", words.into()))
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}
