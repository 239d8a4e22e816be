//! The form of the table: what a verb is, as data.
//!
//! A verb names its RPC and says which argument goes into which field of the request. From that come the parser, the help, the request,
//! the paging, the dry run, the confirmation, and what is printed. Only a verb that does more than one call, or works with files, has a
//! function of its own.

use super::{answer::Answer, session::Session};
use crate::failure::Failure;

/// A thing that people work with, and what they can do with it.
pub(crate) struct Noun {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) verbs: &'static [Verb],
}

/// One row of the table.
pub(crate) struct Verb {
    pub(crate) name: &'static str,
    /// One sentence.
    pub(crate) about: &'static str,
    /// A whole command line, which a test parses.
    pub(crate) example: &'static str,
    /// `package.Service/Method`. Several: the same request at different services; the profile decides. None: a verb without a service.
    pub(crate) rpcs: &'static [&'static str],
    pub(crate) arguments: &'static [Argument],
    /// Further arguments, which it shares with other verbs.
    pub(crate) shared: &'static [Argument],
    pub(crate) effect: Effect,
    pub(crate) shows: Shows,
    pub(crate) run: Run,
}

/// How a verb does its work.
pub(crate) enum Run {
    /// The arguments become the request, the response is shown.
    Call,
    /// By a function of its own, and these further RPCs.
    Own {
        #[cfg_attr(not(test), expect(dead_code, reason = "what a test compares with the protos"))]
        calls: &'static [&'static str],
        run: fn(&Session, &Given<'_>) -> Result<Answer, Failure>,
    },
}

/// What a verb does to the world.
pub(crate) enum Effect {
    /// Nothing.
    Reads,
    /// It makes or changes something that can be changed again.
    Changes { look: Option<Look> },
    /// It cannot be undone: the value of this argument is typed to confirm it.
    Final { named: &'static str, look: Option<Look> },
}

/// How to see, before it happens, what a verb would change.
pub(crate) struct Look {
    /// The RPCs that read it, each with the field of its request that names it; the session's service serves one of them.
    pub(crate) rpcs: &'static [(&'static str, &'static str)],
    /// The argument that says which.
    pub(crate) argument: &'static str,
}

/// What people see of a response.
pub(crate) enum Shows {
    /// All of it.
    Message,
    /// A repeated field as a table.
    Rows { field: &'static str, columns: &'static [(&'static str, &'static str)] },
}

/// An argument of a verb.
pub(crate) struct Argument {
    /// In capitals for one without a flag.
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) form: Form,
    /// The request's field that it goes into, with dots; several with spaces between; empty for a verb's own function.
    pub(crate) field: &'static str,
    pub(crate) need: Need,
}

/// Whether an argument must be given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    Required,
    Optional,
    /// This when it is not given.
    Default(&'static str),
    /// Any number of times.
    Repeated,
    /// At least once.
    AtLeastOnce,
}

/// How an argument is written, and what it becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Text as it is.
    Text,
    /// A number of the field's range.
    Number,
    /// A number of at least 1, or `unlimited`.
    Quantity,
    /// A time such as 90s, 12h or 7d, in whole seconds.
    Seconds,
    /// RFC 3339.
    Time,
    /// A digest: 64 hex digits.
    Digest,
    /// A file with a public key, PEM or DER; its SubjectPublicKeyInfo.
    PublicKeyFile,
    /// A file with a certificate, PEM or DER; the SHA-256 of its DER.
    DigestOfCertificateFile,
    /// A file whose text goes in as it is.
    TextFile,
    /// `a,b,c`: from a to b, and from b to c.
    Route,
    /// Present or not.
    Flag,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A path that a verb's own function uses.
    Path,
}

/// The arguments of one call of a verb.
pub(crate) struct Given<'a> {
    pub(crate) verb: &'static Verb,
    pub(crate) matches: &'a clap::ArgMatches,
}

impl Given<'_> {
    /// The text of an argument, if it was given.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
    }

    /// The text of an argument that must be given.
    pub(crate) fn required(&self, name: &str) -> Result<&str, Failure> {
        self.text(name).ok_or_else(|| Failure::usage(format!("{name} is missing")))
    }

    /// Every text of a repeated argument.
    pub(crate) fn texts(&self, name: &str) -> Vec<&str> {
        let found = self.matches.try_get_many::<String>(name).ok().flatten();
        found.map(|texts| texts.map(String::as_str).collect()).unwrap_or_default()
    }

    /// Whether a flag was given.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.matches.try_get_one::<bool>(name).ok().flatten().copied().unwrap_or_default()
    }
}

const fn argument(name: &'static str, form: Form, field: &'static str, about: &'static str, need: Need) -> Argument {
    Argument { name, about, form, field, need }
}

/// An argument that must be given; without a flag when its name is in capitals.
pub(crate) const fn required(name: &'static str, form: Form, field: &'static str, about: &'static str) -> Argument {
    argument(name, form, field, about, Need::Required)
}

/// An argument that may be given.
pub(crate) const fn optional(name: &'static str, form: Form, field: &'static str, about: &'static str) -> Argument {
    argument(name, form, field, about, Need::Optional)
}

/// An argument that is this when it is not given.
pub(crate) const fn default(
    name: &'static str,
    form: Form,
    field: &'static str,
    about: &'static str,
    value: &'static str,
) -> Argument {
    argument(name, form, field, about, Need::Default(value))
}

/// An argument that must be given and may be repeated.
pub(crate) const fn at_least_once(
    name: &'static str,
    form: Form,
    field: &'static str,
    about: &'static str,
) -> Argument {
    argument(name, form, field, about, Need::AtLeastOnce)
}

/// An argument that may be given any number of times.
pub(crate) const fn repeated(name: &'static str, form: Form, field: &'static str, about: &'static str) -> Argument {
    argument(name, form, field, about, Need::Repeated)
}

/// A verb that shows something.
pub(crate) const fn reads(
    name: &'static str,
    about: &'static str,
    example: &'static str,
    rpcs: &'static [&'static str],
    arguments: &'static [Argument],
) -> Verb {
    Verb {
        name,
        about,
        example,
        rpcs,
        arguments,
        shared: &[],
        effect: Effect::Reads,
        shows: Shows::Message,
        run: Run::Call,
    }
}

/// A verb that changes something.
pub(crate) const fn changes(
    name: &'static str,
    about: &'static str,
    example: &'static str,
    rpcs: &'static [&'static str],
    arguments: &'static [Argument],
) -> Verb {
    let effect = Effect::Changes { look: None };
    Verb { name, about, example, rpcs, arguments, shared: &[], effect, shows: Shows::Message, run: Run::Call }
}

impl Verb {
    /// Lists, as a table.
    pub(crate) const fn rows(mut self, field: &'static str, columns: &'static [(&'static str, &'static str)]) -> Self {
        self.shows = Shows::Rows { field, columns };
        self
    }

    /// Takes these arguments too.
    pub(crate) const fn and(mut self, shared: &'static [Argument]) -> Self {
        self.shared = shared;
        self
    }

    /// Every argument.
    pub(crate) fn all_arguments(&self) -> impl Iterator<Item = &'static Argument> + use<> {
        self.arguments.iter().chain(self.shared)
    }

    /// Shows before what it would change.
    pub(crate) const fn look(mut self, rpcs: &'static [(&'static str, &'static str)], argument: &'static str) -> Self {
        self.effect = Effect::Changes { look: Some(Look { rpcs, argument }) };
        self
    }

    /// Cannot be undone: the value of `argument` is typed to confirm it. Shows before what it would change.
    pub(crate) const fn irrevocable(
        mut self,
        rpcs: &'static [(&'static str, &'static str)],
        argument: &'static str,
    ) -> Self {
        self.effect = Effect::Final { named: argument, look: Some(Look { rpcs, argument }) };
        self
    }

    /// Does its work by a function.
    pub(crate) const fn own(
        mut self,
        calls: &'static [&'static str],
        run: fn(&Session, &Given<'_>) -> Result<Answer, Failure>,
    ) -> Self {
        self.run = Run::Own { calls, run };
        self
    }
}
