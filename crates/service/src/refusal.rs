//! Failures on the way to the caller and to the log.

use std::error::Error;

use http::Response;
use tonic::body::Body;
use tonic::{Code, Status};

pub use api::Refusal;

/// Answers a failure of ours: the log gets the whole story, the caller an error id to ask about.
#[must_use]
pub fn internal(error: &(dyn Error + 'static)) -> Status {
    let error_id = error_id();
    tracing::error!(error_id, error = %chain(error), "internal error");
    Refusal::new("INTERNAL", format!("internal error {error_id}")).with("error_id", &error_id).into()
}

/// The published reason of an answer that is a refusal. A response that ends without a body has its status in the headers; that of a
/// stream comes at its end, and is not looked for.
pub(crate) fn reason_of(response: &Response<Body>) -> Option<&'static str> {
    let status = Status::from_header_map(response.headers())?;
    (status.code() != Code::Ok).then(|| Refusal::from_status(&status).reason())
}

/// An error with all its causes, in one line.
#[must_use]
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        line.push_str(": ");
        line.push_str(&cause.to_string());
        next = cause.source();
    }
    line
}

fn error_id() -> String {
    let mut octets = [0; 8];
    // Without randomness the id is merely not unique; the error is still logged and answered.
    let _ = crate::tls::provider().secure_random.fill(&mut octets);
    format!("{:016x}", u64::from_be_bytes(octets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_internal_error_tells_the_caller_only_its_id() {
        let secret = std::io::Error::other("disk /secret/path is on fire");
        let status = internal(&secret);
        assert_eq!(status.code(), tonic::Code::Internal);
        let refusal = Refusal::from_status(&status);
        assert_eq!(refusal.reason(), "INTERNAL");
        assert!(refusal.metadata().contains_key("error_id"));
        assert!(!format!("{status:?}").contains("secret"));
        assert_ne!(refusal.metadata(), Refusal::from_status(&internal(&secret)).metadata());
    }

    #[test]
    fn causes_are_told_in_one_line() {
        let error = crate::shell::StartError::refused("X", std::io::Error::other("b"));
        assert_eq!(chain(&error), "refused: b");
    }
}
