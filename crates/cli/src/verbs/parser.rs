//! From the table to the command line, and back to what was given.

use std::path::PathBuf;

use clap::{
    Arg, ArgAction, Command,
    builder::{PossibleValuesParser, Str, ValueParser},
    value_parser,
};

use super::{
    session::{self, Pages},
    table::{Argument, Effect, Form, Given, Need, Noun, Verb},
};
use crate::{args::Output, failure::Failure, profile};

const ASKING: &str = "Who and how";
const WHO: &str = "Who you are and where services are says a profile: --as FILE, or the environment's";
const MOST_IN_A_PAGE: u32 = 1000;

/// Adds the nouns; one that is there already (for verbs that are no row) keeps what it has.
pub(super) fn add_to(mut command: Command, nouns: &'static [Noun]) -> Command {
    for noun in nouns {
        let verbs = || noun.verbs.iter().map(verb);
        let first = noun.verbs.first().map(|verb| verb.example).unwrap_or_default();
        let finish = |command: Command| {
            command
                .about(title(noun.about))
                .after_help(format!("Example:\n  {first}\n\n{WHO} {}.", profile::VARIABLE))
                .subcommand_required(true)
                .arg_required_else_help(true)
                .subcommands(verbs())
        };
        command = if command.find_subcommand(noun.name).is_some() {
            command.mut_subcommand(noun.name, finish)
        } else {
            command.subcommand(finish(Command::new(noun.name)))
        };
    }
    command
}

fn verb(verb: &'static Verb) -> Command {
    let mut command =
        Command::new(verb.name).about(title(verb.about)).after_help(format!("Example:\n  {}", verb.example));
    for row in verb.all_arguments() {
        command = command.arg(argument(row));
    }
    let asking = |name: &'static str| Arg::new(name).long(name).help_heading(ASKING);
    if !verb.rpcs.is_empty() {
        command = command
            .arg(
                asking("as")
                    .value_name("FILE")
                    .value_parser(value_parser!(PathBuf))
                    .help(format!("Your profile [env: {}]", profile::VARIABLE)),
            )
            .arg(
                asking("at")
                    .value_name("ROLE")
                    .help("Which of the profile's services, by its role; without it the first that serves this"),
            );
    }
    if session::pages(verb) {
        command = command
            .arg(
                asking("limit")
                    .value_name("N")
                    .default_value("100")
                    .value_parser(value_parser!(u32).range(1..=i64::from(MOST_IN_A_PAGE)))
                    .help("Most entries"),
            )
            .arg(asking("page").value_name("TOKEN").help("Where the page before ended"))
            .arg(asking("all").action(ArgAction::SetTrue).conflicts_with("page").help("Every entry, page after page"));
    }
    match verb.effect {
        Effect::Reads => {}
        Effect::Changes { .. } | Effect::Final { .. } if verb.rpcs.is_empty() => {}
        Effect::Changes { .. } => command = command.args(for_changes(asking)),
        Effect::Final { named, .. } => {
            let help =
                format!("Confirms what cannot be undone: the value of {named} once more; without it, it is asked for");
            command = command.args(for_changes(asking)).arg(asking("yes").value_name("NAME").help(help));
        }
    }
    command.arg(
        asking("output")
            .short('o')
            .value_name("OUTPUT")
            .default_value("text")
            .value_parser(value_parser!(Output))
            .help("Words or JSON"),
    )
}

/// Help's own style: a sentence without its full stop.
fn title(sentence: &'static str) -> &'static str {
    sentence.strip_suffix('.').unwrap_or(sentence)
}

fn for_changes(asking: impl Fn(&'static str) -> Arg) -> [Arg; 2] {
    [
        asking("dry-run")
            .action(ArgAction::SetTrue)
            .help("Shows what would be sent and what it would change; sends nothing"),
        asking("request-id").value_name("UUID").help("Repeats an earlier call: the id that it was made with"),
    ]
}

fn argument(row: &'static Argument) -> Arg {
    let is_positional = row.name.chars().all(|c| c.is_ascii_uppercase() || c == '-');
    let mut arg = Arg::new(row.name).help(row.about);
    if !is_positional {
        arg = arg.long(row.name);
    }
    arg = match row.form {
        Form::Flag => return arg.action(ArgAction::SetTrue),
        Form::Choice(words) => arg.value_parser(PossibleValuesParser::new(words)),
        Form::Text
        | Form::Number
        | Form::Quantity
        | Form::Seconds
        | Form::Time
        | Form::Digest
        | Form::PublicKeyFile
        | Form::DigestOfCertificateFile
        | Form::TextFile
        | Form::Route
        | Form::Path => arg.value_parser(ValueParser::string()),
    };
    if !is_positional {
        arg = arg.value_name(value_name(row.form));
    }
    match row.need {
        Need::Required => arg.required(true),
        Need::Optional => arg,
        Need::Default(value) => arg.default_value(Str::from(value)),
        Need::Repeated => arg.action(ArgAction::Append),
        Need::AtLeastOnce => arg.action(ArgAction::Append).required(true),
    }
}

fn value_name(form: Form) -> &'static str {
    match form {
        Form::Text | Form::Flag => "TEXT",
        Form::Number => "N",
        Form::Quantity => "N|unlimited",
        Form::Seconds => "TIME",
        Form::Time => "RFC3339",
        Form::Digest => "HEX",
        Form::PublicKeyFile | Form::DigestOfCertificateFile | Form::TextFile => "FILE",
        Form::Route => "A,B,..",
        Form::Choice(_) => "WORD",
        Form::Path => "PATH",
    }
}

impl Given<'_> {
    /// What goes to standard output.
    pub(crate) fn output(&self) -> Output {
        self.matches.try_get_one::<Output>("output").ok().flatten().copied().unwrap_or(Output::Text)
    }

    /// The profile that was named.
    pub(super) fn profile(&self) -> Option<&PathBuf> {
        self.matches.try_get_one::<PathBuf>("as").ok().flatten()
    }

    /// Whether nothing is to be sent.
    pub(super) fn is_dry_run(&self) -> bool {
        self.flag("dry-run")
    }

    /// How much of a list is wanted.
    pub(super) fn pages(&self) -> Result<Option<Pages>, Failure> {
        let limit = self.matches.try_get_one::<u32>("limit").ok().flatten().copied();
        let Some(limit) = limit else { return Ok(None) };
        Ok(Some(match (self.flag("all"), self.text("page")) {
            (true, _) => Pages::All { size: MOST_IN_A_PAGE },
            (false, token) => Pages::One { size: limit, token: token.unwrap_or_default().to_owned() },
        }))
    }
}
