//! Reading answers: the one published reason of a refusal, in its code, and nothing half said.

use std::fmt::Debug;

use api::{
    DOMAIN, Refusal,
    reason::v1::{self as wire, Reason},
    reason_table,
};
use tonic::{Code, Response, Status};
use tonic_types::StatusExt as _;

/// The refusal in `answer`: a google.rpc.Status with our ErrorInfo, of this reason and code.
#[track_caller]
pub(crate) fn refused<T: Debug>(answer: Result<Response<T>, Status>, reason: Reason, code: Code) -> Refusal {
    let status = answer.expect_err("this must be refused");
    let details = status.get_error_details();
    let info = details.error_info().unwrap_or_else(|| panic!("no ErrorInfo in {status:?}"));
    assert_eq!(
        (info.domain.as_str(), info.reason.as_str(), status.code()),
        (DOMAIN, reason_table::name_of(reason), code),
        "{}",
        status.message()
    );
    assert!(!status.message().is_empty(), "a refusal says what stood against the request");
    Refusal::from_status(&status)
}

/// The reason of a refusal and its code, as text; whatever else it is where it is none of ours.
pub(crate) fn reason_of<T: Debug>(answer: &Result<Response<T>, Status>) -> String {
    match answer {
        Ok(_) => "answered".to_owned(),
        Err(status) => match status.get_error_details().error_info() {
            Some(info) if info.domain == DOMAIN && !status.message().is_empty() => {
                format!("{} as {:?}", info.reason, status.code())
            }
            Some(_) | None => format!("{status:?}"),
        },
    }
}

/// The same for an item of a stream.
#[track_caller]
pub(crate) fn refused_item(item: wire::Refusal, reason: Reason, code: Code) -> Refusal {
    assert_eq!(
        (item.reason, item.code),
        (i32::from(reason), i32::from(code)),
        "{} {}: {}",
        reason_table::name_of(item.reason()),
        item.code,
        item.message
    );
    assert!(!item.message.is_empty(), "a refusal says what stood against the request");
    Refusal::from_wire(item)
}

/// A refusal by the transport: no service of ours spoke, so there is no reason to read.
#[track_caller]
pub(crate) fn cut_off<T: Debug>(answer: Result<Response<T>, Status>) -> Status {
    let status = answer.expect_err("this must not get through");
    assert!(status.get_error_details().error_info().is_none(), "a handler answered: {status:?}");
    status
}

/// The field that the refusal blames.
#[track_caller]
pub(crate) fn blamed(status: &Status) -> String {
    let details = status.get_error_details();
    let fields = details.bad_request().map(|b| b.field_violations.clone()).unwrap_or_default();
    fields.first().unwrap_or_else(|| panic!("no field is blamed in {status:?}")).field.clone()
}
