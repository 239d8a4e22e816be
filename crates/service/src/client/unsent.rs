//! Calls that were never sent are made again.
//!
//! A server that lets a connection grow no older says GOAWAY (RFC 9113, section 6.8). A call that the client had accepted and not sent
//! by then fails, and the library gives its request back to nobody. Here the body is only lent to the transport: as long as none of it was
//! taken, the server has no message of the call, and making it again is safe for every RPC.

use std::error::Error as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::{HeaderMap, Method, Request, Response, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;
use tonic::transport::{Channel, Error};
use tower::{Service as _, ServiceExt as _};

/// Most times that one call is tried: each time its connection must have ended just then.
const MOST_TRIES: usize = 3;

/// What a request is but for its body.
pub(super) struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: http::Extensions,
}

/// Makes the call; again when nothing of it was sent. `channel` was polled ready.
pub(super) async fn call(mut channel: Channel, request: Request<Body>) -> Result<Response<Body>, Error> {
    let (head, body) = head(request);
    let kept = Kept(Arc::new(Mutex::new(Some(body))));
    for _ in 1..MOST_TRIES {
        match channel.call(head.with(Body::new(kept.clone_lent()))).await {
            Err(error) if is_of_connection(&error) && kept.is_whole() => {
                tracing::debug!("a connection ended before a call was sent, making it again");
                channel.ready().await?;
            }
            outcome => return outcome,
        }
    }
    channel.call(head.with(Body::new(kept.clone_lent()))).await
}

fn head(request: Request<Body>) -> (Head, Body) {
    let (parts, body) = request.into_parts();
    let http::request::Parts { method, uri, headers, extensions, .. } = parts;
    (Head { method, uri, headers, extensions }, body)
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

/// Whether a connection that had stood failed the call: it was given up unsent, or the peer's GOAWAY was there first. That nobody can be
/// reached is no such failure, nor is that time ran out.
fn is_of_connection(error: &Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<hyper::Error>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A body of which nothing was taken yet, or nothing is left here.
struct Kept(Arc<Mutex<Option<Body>>>);

impl Kept {
    fn clone_lent(&self) -> Lent {
        Lent { kept: Arc::clone(&self.0), taken: None }
    }

    /// Nothing was sent: the transport asks for the body as soon as the headers went out.
    fn is_whole(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

/// Takes the body when it is first asked for some of it.
struct Lent {
    kept: Arc<Mutex<Option<Body>>>,
    taken: Option<Body>,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        if this.taken.is_none() {
            this.taken = this.kept.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
        match &mut this.taken {
            Some(body) => Pin::new(body).poll_frame(context),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.taken {
            Some(body) => body.is_end_stream(),
            None => {
                self.kept.lock().unwrap_or_else(PoisonError::into_inner).as_ref().is_none_or(HttpBody::is_end_stream)
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.taken {
            Some(body) => body.size_hint(),
            None => {
                let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use super::*;

    async fn frame(body: &mut Lent) -> Option<Bytes> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn a_body_is_lent_again_until_somebody_took_of_it() {
        let kept = Kept(Arc::new(Mutex::new(Some(Body::new(String::from("message"))))));
        let dropped = kept.clone_lent();
        assert!(!dropped.is_end_stream() && dropped.size_hint().exact() == Some(7));
        drop(dropped);
        assert!(kept.is_whole(), "nobody asked for any of it");
        let mut sent = kept.clone_lent();
        assert_eq!(frame(&mut sent).await.as_deref(), Some(b"message".as_slice()));
        assert!(!kept.is_whole());
        assert_eq!(frame(&mut sent).await, None);
        assert!(kept.clone_lent().is_end_stream(), "there is nothing left to send twice");
    }
}
