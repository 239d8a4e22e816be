//! The verbs: `countersign program|manufacturer|order|lot|handoff|device VERB`, one for every RPC that people use.
//!
//! [`table`] is the form of a row, [`NOUNS`] has them all. The rest works from the rows: [`parser`] makes the command line, [`request`]
//! the message, [`session`] calls the service as the one who the [`profile`](crate::profile) says, [`care`] shows and asks before something is spent or
//! destroyed, [`answer`] prints. A new RPC is a new row; a verb that does more than one call has a small function beside it.

mod answer;
mod approve;
mod brand;
mod care;
mod files_out;
mod handoff;
mod line;
mod manifest;
mod manufacturer_side;
mod parser;
mod possession;
mod preflight;
mod provision;
mod request;
mod rotation;
mod session;
mod stores;
mod table;
mod terms;
#[cfg(test)]
mod tests;
mod words;

use std::process::ExitCode;

use clap::ArgMatches;

use crate::failure::Failure;
use answer::Answer;
use session::Session;
use table::{Effect, Given, Noun, Run, Verb};

/// Every noun with its verbs.
static NOUNS: &[Noun] = &[
    Noun { name: "program", about: "Product families: create, show, the trust bundle.", verbs: brand::PROGRAM },
    Noun { name: "manufacturer", about: "Organisations: register, keys, suspend.", verbs: brand::MANUFACTURER },
    Noun { name: "order", about: "Production orders: propose, approve, amend, cancel.", verbs: brand::ORDER },
    Noun {
        name: "handoff",
        about: "Lots handed to receivers: offer, cancel, files.",
        verbs: manufacturer_side::HANDOFF,
    },
    Noun { name: "lot", about: "Lots received: receive, show, scrap, close, files.", verbs: manufacturer_side::LOT },
    Noun { name: "ca", about: "The CAs whose keys are here: show, prove to a hub.", verbs: possession::CA },
    Noun { name: "store", about: "A service's store: show, what others saw, reconcile.", verbs: stores::STORE },
    Noun { name: "device", about: "Devices: provision, confirm, scrap, and a simulated one.", verbs: line::DEVICE },
];

/// The command line with every noun and verb in it.
pub(crate) fn add_to(command: clap::Command) -> clap::Command {
    parser::add_to(command, NOUNS)
}

/// The verb that was called, with its arguments; none for a command that is not of the table.
pub(crate) fn called(matches: &ArgMatches) -> Option<Given<'_>> {
    let (noun, matches) = matches.subcommand()?;
    let (verb, matches) = matches.subcommand()?;
    let noun = NOUNS.iter().find(|known| known.name == noun)?;
    let verb = noun.verbs.iter().find(|known| known.name == verb)?;
    Some(Given { verb, matches })
}

/// Does what was asked.
pub(crate) fn run(given: &Given<'_>) -> Result<ExitCode, Failure> {
    let output = given.output();
    let session = Session::open(given)?;
    let answer = match &given.verb.run {
        Run::Own { run, .. } => run(&session, given)?,
        Run::Call => call(&session, given)?,
    };
    answer.print(output);
    Ok(answer.code())
}

/// The arguments become the request; it is shown, confirmed or sent.
fn call(session: &Session, given: &Given<'_>) -> Result<Answer, Failure> {
    let method = session.method()?;
    let mut message = request::build(&method, given)?;
    request::stamp(&mut message, given)?;
    match &given.verb.effect {
        Effect::Reads => {
            let pages = given.pages()?;
            return Ok(Answer::of(given.verb, session.read(&method, message, pages)?));
        }
        Effect::Changes { .. } | Effect::Final { .. } => {}
    }
    if given.is_dry_run() {
        return care::dry_run(session, given, &method, &message);
    }
    care::confirm(session, given)?;
    Ok(Answer::of(given.verb, session.change(&method, &message)?))
}

impl Verb {
    /// Whether it changes nothing.
    fn only_reads(&self) -> bool {
        match self.effect {
            Effect::Reads => true,
            Effect::Changes { .. } | Effect::Final { .. } => false,
        }
    }
}
