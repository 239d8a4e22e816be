//! A small REST face for CA certificates and devices, with the shapes that the usual tools speak (management API 2021-07-02, service
//! API 2021-04-12). It stands behind the HTTPS door beside the devices' telemetry; docs/hub-rest.md lists its paths.
//!
//! A caller is an operator's service certificate, judged as at the gRPC face: own organisation, operator to change, auditor to read.

mod cas;
mod devices;
mod request;
mod shapes;

use std::sync::Arc;

use api::Refusal;
use axum::{
    Router,
    extract::DefaultBodyLimit,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use service::{identity::Manufacturer, tls::Credentials};
use tonic::Code;

use crate::registry::Registry;

/// Most octets of a body: a hundred devices with thumbprints, or a certificate.
const MAX_BODY: usize = 256 * 1024;

/// What the handlers need.
pub(crate) struct Rest {
    pub(crate) registry: Arc<Registry>,
    pub(crate) credentials: Arc<Credentials>,
    /// Whose operators may come.
    pub(crate) own: Manufacturer,
}

/// The routes. Every request must carry who calls among its extensions.
pub(crate) fn router(rest: Rest) -> Router {
    let certificates = Router::new()
        .route("/", get(cas::list))
        .route("/{name}", get(cas::show).put(cas::put).delete(cas::delete))
        .route("/{name}/generateVerificationCode", post(cas::generate))
        .route("/{name}/verify", post(cas::verify));
    let management =
        "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Devices/IotHubs/{hub}/certificates";
    Router::new()
        .nest("/certificates", certificates.clone())
        .nest(management, certificates)
        .route("/devices", get(devices::list).post(devices::bulk))
        .route("/devices/{device}", get(devices::show).put(devices::put).delete(devices::delete))
        .fallback(|| async { Failure(Refusal::new("REST_PATH_UNKNOWN", "there is no such resource or method here")) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .with_state(Arc::new(rest))
}

/// A refusal as an HTTP answer.
#[derive(Debug)]
pub(super) struct Failure(pub(super) Refusal);

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let refusal = self.0;
        let status = status(&refusal);
        let body = json!({
            "code": refusal.reason(),
            "httpStatusCode": status.canonical_reason().unwrap_or_default(),
            "message": refusal.message(),
        });
        answer(status, &body)
    }
}

/// A JSON answer.
pub(super) fn answer(status: StatusCode, body: &Value) -> Response {
    let json = HeaderValue::from_static("application/json; charset=utf-8");
    (status, [(header::CONTENT_TYPE, json)], body.to_string()).into_response()
}

fn status(refusal: &Refusal) -> StatusCode {
    if refusal.reason() == "ETAG_STALE" {
        return StatusCode::PRECONDITION_FAILED;
    }
    match refusal.code() {
        Code::Ok => StatusCode::OK,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::FailedPrecondition => StatusCode::BAD_REQUEST,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
