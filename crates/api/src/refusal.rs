//! A named refusal: one value for gRPC statuses, items of streams, commands and logs.

use std::{collections::HashMap, fmt, time::Duration};

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    reason::v1 as wire,
    reason_table::{self, Explanation},
};

/// The domain of every `google.rpc.ErrorInfo` that the services answer.
pub const DOMAIN: &str = "countersign";

/// Most octets of a refusal's message. Much of it is what a caller sent or a peer answered, and it travels in HTTP/2 trailers
/// twice (the status and its details, the latter in base64), which peers take 16 KiB of by default.
pub const MAX_MESSAGE: usize = 1024;
/// Most octets of one fact for machines, and of what is said about one field.
pub const MAX_FACT: usize = 256;
/// Most octets of a fact's or a field's name.
pub const MAX_NAME: usize = 64;
/// Most facts of one refusal, and most fields that it names; more are left out.
pub const MAX_FACTS: usize = 8;
/// What stands where a text was cut.
const ELLIPSIS: &str = "...";

/// When to retry what is unavailable, where nothing better is known.
const RETRY_UNAVAILABLE: Duration = Duration::from_secs(1);

/// Why something was refused, with what a machine needs to act on it.
///
/// Made from a published reason name; the gRPC code follows from the name, by the table in `reason.proto`. Every text in it is bounded
/// ([`MAX_MESSAGE`], [`MAX_FACT`], [`MAX_NAME`]) and cut where it is longer, because callers and peers can influence it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    explanation: &'static Explanation,
    message: String,
    metadata: HashMap<String, String>,
    violations: Vec<(String, String)>,
    retry_after: Option<Duration>,
}

impl Refusal {
    /// A refusal with a published reason and a message in lower case that says what was attempted and what stood against it.
    #[must_use]
    pub fn new(reason: &str, message: impl Into<String>) -> Self {
        let explanation = reason_table::explain(reason).unwrap_or(reason_table::UNSPECIFIED);
        Self {
            explanation,
            message: bounded(message.into(), MAX_MESSAGE),
            metadata: HashMap::new(),
            violations: Vec::new(),
            // Who is told to come back is told when.
            retry_after: (explanation.code == Code::Unavailable).then_some(RETRY_UNAVAILABLE),
        }
    }

    /// A refusal for an error that names its own reason: the message is the error and its causes.
    #[must_use]
    pub fn from_error(reason: &str, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        // What is beyond the bound is cut, so that a long or endless row of causes need not be walked.
        while let Some(error) = cause.filter(|_| message.len() <= MAX_MESSAGE) {
            message.push_str(": ");
            message.push_str(&error.to_string());
            cause = error.source();
        }
        Self::new(reason, message)
    }

    /// A malformed field, `REQUEST_MALFORMED` with the field named.
    #[must_use]
    pub fn malformed(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self::new("REQUEST_MALFORMED", format!("{field}: {description}")).violation(field, description)
    }

    /// Adds a fact for machines; beyond [`MAX_FACTS`] it is left out.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        let key = bounded(key.to_owned(), MAX_NAME);
        if self.metadata.len() < MAX_FACTS || self.metadata.contains_key(&key) {
            self.metadata.insert(key, bounded(value.to_string(), MAX_FACT));
        }
        self
    }

    /// Names a field of the request and what is wrong with it; beyond [`MAX_FACTS`] it is left out.
    #[must_use]
    pub fn violation(mut self, field: &str, description: impl Into<String>) -> Self {
        if self.violations.len() < MAX_FACTS {
            self.violations.push((bounded(field.to_owned(), MAX_NAME), bounded(description.into(), MAX_FACT)));
        }
        self
    }

    /// Takes over what a peer says; in the order of the names, so that the same ones are left out every time.
    fn with_all(self, facts: HashMap<String, String>) -> Self {
        let mut facts: Vec<_> = facts.into_iter().collect();
        facts.sort_unstable();
        facts.into_iter().fold(self, |refusal, (key, value)| refusal.with(&key, value))
    }

    /// Says when a retry makes sense.
    #[must_use]
    pub fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// The published name.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.explanation.reason
    }

    /// The gRPC code that belongs to the reason.
    #[must_use]
    pub fn code(&self) -> Code {
        self.explanation.code
    }

    /// What was attempted and what stood against it.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Facts for machines.
    #[must_use]
    pub fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// When a retry makes sense, if it does.
    #[must_use]
    pub fn retry_delay(&self) -> Option<Duration> {
        self.retry_after
    }

    /// What it means and what to do.
    #[must_use]
    pub fn explanation(&self) -> &'static Explanation {
        self.explanation
    }

    /// Reads a refusal back from a status. A status without our `ErrorInfo` (a transport's own error) keeps its message; a call
    /// that could not reach the service or ran out of time gets the reason that says so.
    #[must_use]
    pub fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let mut refusal = match details.error_info() {
            Some(info) if info.domain == DOMAIN => {
                Self::new(&info.reason, status.message()).with_all(info.metadata.clone())
            }
            Some(_) | None => {
                Self::new(transport_reason(status.code()), format!("{:?}: {}", status.code(), status.message()))
            }
        };
        refusal.retry_after = details.retry_info().and_then(|r| r.retry_delay).or(refusal.retry_after);
        let violations = details.bad_request().map(|bad| bad.field_violations.as_slice()).unwrap_or_default();
        violations.iter().fold(refusal, |refusal, v| refusal.violation(&v.field, v.description.as_str()))
    }

    /// The same refusal as an item of a stream.
    #[must_use]
    pub fn to_wire(&self) -> wire::Refusal {
        wire::Refusal {
            reason: self.explanation.number,
            code: self.code() as i32,
            message: self.message.clone(),
            metadata: self.metadata.clone(),
            retry_after: self.retry_after.and_then(|d| prost_types::Duration::try_from(d).ok()),
        }
    }

    /// Reads an item of a stream.
    #[must_use]
    pub fn from_wire(item: wire::Refusal) -> Self {
        let name = wire::Reason::try_from(item.reason).map_or("UNSPECIFIED", reason_table::name_of);
        let mut refusal = Self::new(name, item.message).with_all(item.metadata);
        refusal.retry_after = item.retry_after.and_then(|d| Duration::try_from(d).ok()).or(refusal.retry_after);
        refusal
    }
}

/// The text, cut between two characters so that it and the mark of the cut have at most `most` octets.
fn bounded(mut text: String, most: usize) -> String {
    if text.len() > most {
        text.truncate(text.floor_char_boundary(most.saturating_sub(ELLIPSIS.len())));
        text.push_str(ELLIPSIS);
    }
    text
}

/// The published reason behind an error of the transport itself.
fn transport_reason(code: Code) -> &'static str {
    match code {
        Code::Unavailable | Code::Cancelled => "UPSTREAM_UNREACHABLE",
        Code::DeadlineExceeded => "DEADLINE_TOO_SHORT",
        Code::OutOfRange => "MESSAGE_TOO_LARGE",
        Code::Unimplemented => "RPC_NOT_ALLOWED",
        Code::Unauthenticated => "PEER_WITHOUT_IDENTITY",
        Code::PermissionDenied => "PEER_NOT_ALLOWED",
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::DataLoss => "INTERNAL",
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason(), self.message)
    }
}

impl std::error::Error for Refusal {}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let mut details = ErrorDetails::new();
        details.set_error_info(refusal.reason(), DOMAIN, refusal.metadata.clone());
        for (field, description) in &refusal.violations {
            details.add_bad_request_violation(field, description);
        }
        if let Some(delay) = refusal.retry_after {
            details.set_retry_info(Some(delay));
        }
        if refusal.code() == Code::ResourceExhausted {
            let subject = refusal.metadata.get("lot").cloned().unwrap_or_default();
            details.add_quota_failure_violation(subject, refusal.message.clone());
        }
        Status::with_error_details(refusal.code(), refusal.message, details)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_survives_the_way_as_a_status_and_as_an_item() {
        let refusal = Refusal::new("QUANTITY_SPENT", "lot t7 has 0 units left")
            .with("lot", "t7")
            .retry_after(Duration::from_secs(3));
        assert_eq!(refusal.code(), Code::ResourceExhausted);
        let status = Status::from(refusal.clone());
        assert_eq!(status.get_error_details().quota_failure().map(|q| q.violations.len()), Some(1));
        assert_eq!(Refusal::from_status(&status), refusal);
        assert_eq!(Refusal::from_wire(refusal.to_wire()), refusal);
    }

    #[test]
    fn a_malformed_field_is_named() {
        let status = Status::from(Refusal::malformed("lot", "is empty"));
        assert_eq!(status.code(), Code::InvalidArgument);
        let details = status.get_error_details();
        assert_eq!(details.bad_request().map(|b| b.field_violations.len()), Some(1));
    }

    #[test]
    fn a_foreign_status_is_unreachable_not_unnamed() {
        let refusal = Refusal::from_status(&Status::unavailable("connection refused"));
        assert_eq!(refusal.reason(), "UPSTREAM_UNREACHABLE");
        assert!(refusal.retry_delay().is_some(), "what is unavailable may be asked for again, and when is said");
    }

    fn longest(refusal: &Refusal) -> [usize; 5] {
        let longest = |texts: &mut dyn Iterator<Item = &String>| texts.map(String::len).max().unwrap_or_default();
        [
            refusal.message.len(),
            longest(&mut refusal.metadata.values()),
            longest(&mut refusal.violations.iter().map(|(_, description)| description)),
            longest(&mut refusal.metadata.keys().chain(refusal.violations.iter().map(|(field, _)| field))),
            refusal.metadata.len().max(refusal.violations.len()),
        ]
    }

    fn assert_bounded(refusal: &Refusal) {
        let bounds = [MAX_MESSAGE, MAX_FACT, MAX_FACT, MAX_NAME, MAX_FACTS];
        for (found, bound) in longest(refusal).into_iter().zip(bounds) {
            assert!(found <= bound, "{:?} beyond {bounds:?}", longest(refusal));
        }
    }

    #[test]
    fn no_text_that_a_caller_sends_makes_a_refusal_longer_than_its_bounds() {
        // Characters of 1 to 4 octets, so that every bound falls inside one at some shift.
        for (filler, shift) in ["a", "ä", "€", "🦀"].into_iter().flat_map(|filler| (0..4).map(move |s| (filler, s)))
        {
            let hostile = "x".repeat(shift) + &filler.repeat(100_000);
            let mut refusal = Refusal::malformed(&hostile, &*hostile);
            for number in 0..100 {
                refusal = refusal.with(&format!("{number}{hostile}"), &hostile).violation(&hostile, &*hostile);
            }
            assert_bounded(&refusal);
            assert!(refusal.message().ends_with(ELLIPSIS) && refusal.message().len() > MAX_MESSAGE - 8);
            let status = Status::from(refusal.clone());
            // As trailers: the details in base64, the message percent-encoded.
            let trailers = status.details().len() * 4 / 3 + status.message().len() * 3;
            assert!(trailers < 15 * 1024, "{trailers} octets of trailers");
            assert_eq!(Refusal::from_status(&status), refusal);
        }
    }

    #[test]
    fn a_peer_that_answers_too_much_is_cut_too() {
        let long = "ä".repeat(10_000);
        let metadata: HashMap<String, String> = (0..100).map(|n| (format!("{n}{long}"), long.clone())).collect();
        let mut details = ErrorDetails::new();
        details.set_error_info("LOT_UNKNOWN", DOMAIN, metadata.clone());
        for _ in 0..100 {
            details.add_bad_request_violation(&long, &long);
        }
        let refusal = Refusal::from_status(&Status::with_error_details(Code::NotFound, &long, details));
        assert_eq!(refusal.reason(), "LOT_UNKNOWN");
        assert_bounded(&refusal);
        assert_bounded(&Refusal::from_status(&Status::unavailable(&long)));
        let item = wire::Refusal { reason: 96, message: long, metadata, ..wire::Refusal::default() };
        assert_bounded(&Refusal::from_wire(item.clone()));
        assert_eq!(Refusal::from_wire(item.clone()), Refusal::from_wire(item));
    }

    #[test]
    fn what_fits_is_not_touched() {
        for text in ["", "é", &"a".repeat(MAX_MESSAGE)] {
            assert_eq!(Refusal::new("INTERNAL", text).message(), text);
        }
    }

    #[test]
    fn an_unpublished_name_shows_as_unspecified() {
        assert_eq!(Refusal::new("NOT_PUBLISHED", "x").reason(), "UNSPECIFIED");
    }
}
