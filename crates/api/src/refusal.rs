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

/// Why something was refused, with what a machine needs to act on it.
///
/// Made from a published reason name; the gRPC code follows from the name, by the table in `reason.proto`.
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
        Self {
            explanation: reason_table::explain(reason).unwrap_or(reason_table::UNSPECIFIED),
            message: message.into(),
            metadata: HashMap::new(),
            violations: Vec::new(),
            retry_after: None,
        }
    }

    /// A refusal for an error that names its own reason: the message is the error and its causes.
    #[must_use]
    pub fn from_error(reason: &str, error: &dyn std::error::Error) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
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

    /// Adds a fact for machines.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.metadata.insert(key.to_owned(), value.to_string());
        self
    }

    /// Names a field of the request and what is wrong with it.
    #[must_use]
    pub fn violation(mut self, field: &str, description: impl Into<String>) -> Self {
        self.violations.push((field.to_owned(), description.into()));
        self
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
                let mut refusal = Self::new(&info.reason, status.message());
                refusal.metadata.clone_from(&info.metadata);
                refusal
            }
            Some(_) | None => {
                Self::new(transport_reason(status.code()), format!("{:?}: {}", status.code(), status.message()))
            }
        };
        refusal.retry_after = details.retry_info().and_then(|r| r.retry_delay);
        if let Some(bad) = details.bad_request() {
            refusal.violations =
                bad.field_violations.iter().map(|v| (v.field.clone(), v.description.clone())).collect();
        }
        refusal
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
        let mut refusal = Self::new(name, item.message);
        refusal.metadata = item.metadata;
        refusal.retry_after = item.retry_after.and_then(|d| Duration::try_from(d).ok());
        refusal
    }
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
        assert_eq!(Refusal::from_status(&Status::unavailable("connection refused")).reason(), "UPSTREAM_UNREACHABLE");
    }

    #[test]
    fn an_unpublished_name_shows_as_unspecified() {
        assert_eq!(Refusal::new("NOT_PUBLISHED", "x").reason(), "UNSPECIFIED");
    }
}
