//! Calls that a connection takes with it are made again.
//!
//! A server that lets a connection grow no older says GOAWAY, and which call was the last that it takes (RFC 9113, section 6.8). A call
//! that was on its way then fails, and the library gives its request back to nobody. Here the body is only lent to the transport, and what
//! was taken of it is remembered until the answer begins, so that the same request can be made over the next connection.
//!
//! Three failures are repaired. None of the body was taken: the server has no message of the call. Its GOAWAY without an error names an
//! earlier call as the last: it has not begun. The connection broke, possibly before its GOAWAY was read, or was given up with the call in
//! its hands: whether the server has begun is not known, and does not matter, because services answer a repeated request with what came
//! of it the first time. This is why only services call this way.

mod lent;

use std::error::Error as _;

use http::{HeaderMap, Method, Request, Response, Uri};
use tonic::body::Body;
use tonic::transport::{Channel, Error};
use tower::{Service as _, ServiceExt as _};

use lent::{Kept, Taken};

/// Most times that one call is made: each time its connection must have ended just then.
const MOST_TRIES: usize = 4;

/// What a request is but for its body.
struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: http::Extensions,
}

/// Makes the call; again when its connection ended before the answer began. `channel` was polled ready.
pub(super) async fn call(mut channel: Channel, request: Request<Body>) -> Result<Response<Body>, Error> {
    let (parts, body) = request.into_parts();
    let http::request::Parts { method, uri, headers, extensions, .. } = parts;
    let (head, kept) = (Head { method, uri, headers, extensions }, Kept::new(body));
    let mut tries = 1;
    loop {
        let error = match channel.call(head.with(kept.lend())).await {
            Ok(answer) => {
                kept.forget();
                return Ok(answer);
            }
            Err(error) => error,
        };
        let repairable = match kept.taken() {
            Taken::Nothing => failed_over(&error, |_: &hyper::Error| true),
            Taken::Remembered => {
                failed_over(&error, names_an_earlier_call)
                    || failed_over(&error, |_: &std::io::Error| true)
                    || failed_over(&error, hyper::Error::is_canceled)
            }
            Taken::Forgotten => false,
        };
        if !repairable || tries == MOST_TRIES {
            return Err(error);
        }
        tries += 1;
        tracing::debug!(%error, "a connection ended before a call was answered, making it again");
        channel.ready().await?;
    }
}

impl Head {
    fn with(&self, body: Body) -> Request<Body> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = http::Version::HTTP_2;
        *request.headers_mut() = self.headers.clone();
        *request.extensions_mut() = self.extensions.clone();
        request
    }
}

/// Whether such an error is among the causes.
fn failed_over<E: std::error::Error + 'static>(error: &Error, is_it: impl Fn(&E) -> bool) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.downcast_ref::<E>().is_some_and(&is_it) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A stream gets the peer's GOAWAY for its error when it comes after the last one that the peer takes.
fn names_an_earlier_call(error: &h2::Error) -> bool {
    error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
}
