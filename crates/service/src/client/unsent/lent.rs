//! A request's body that can be lent twice.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

/// Octets that are remembered of one call; beyond, it is made once. They are shared with the transport, not copied.
const MOST_REMEMBERED: usize = 1024 * 1024;

/// The owner's side.
pub(super) struct Kept(Arc<Mutex<State>>);

/// What the transport took of the body so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// Nothing: nothing of it was sent.
    Nothing,
    /// Some, and all of that can be given again.
    Remembered,
    /// More than is remembered.
    Forgotten,
}

struct State {
    body: Body,
    taken: Taken,
    frames: Vec<Bytes>,
    octets: usize,
    /// Counts how often it was lent: only the newest borrower gets anything.
    lent: u32,
}

impl Kept {
    pub(super) fn new(body: Body) -> Self {
        let state = State { body, taken: Taken::Nothing, frames: Vec::new(), octets: 0, lent: 0 };
        Self(Arc::new(Mutex::new(state)))
    }

    /// The body from its beginning. What was lent before ends.
    pub(super) fn lend(&self) -> Body {
        let number = {
            let mut state = locked(&self.0);
            state.lent += 1;
            state.lent
        };
        // The body is asked whether it has ended as soon as it is made, so nothing may be locked here.
        Body::new(Lent { state: Arc::clone(&self.0), number, at: 0 })
    }

    /// What was taken so far.
    pub(super) fn taken(&self) -> Taken {
        match locked(&self.0).taken {
            Taken::Nothing => Taken::Nothing,
            Taken::Remembered => Taken::Remembered,
            Taken::Forgotten => Taken::Forgotten,
        }
    }

    /// It will not be lent again.
    pub(super) fn forget(&self) {
        locked(&self.0).forget();
    }
}

impl State {
    fn forget(&mut self) {
        self.taken = Taken::Forgotten;
        self.frames = Vec::new();
    }

    fn remember(&mut self, data: &Bytes) {
        self.octets = self.octets.saturating_add(data.len());
        match self.taken {
            Taken::Forgotten => {}
            Taken::Nothing | Taken::Remembered if self.octets <= MOST_REMEMBERED => {
                self.taken = Taken::Remembered;
                self.frames.push(data.clone());
            }
            Taken::Nothing | Taken::Remembered => self.forget(),
        }
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The transport's side.
struct Lent {
    state: Arc<Mutex<State>>,
    number: u32,
    /// The frame that comes next, of those that are remembered.
    at: usize,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let this = &mut *self;
        let mut state = locked(&this.state);
        if state.lent != this.number {
            return Poll::Ready(None);
        }
        if let Some(data) = state.frames.get(this.at) {
            this.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        let frame = ready!(Pin::new(&mut state.body).poll_frame(context));
        if let Some(Some(data)) = frame.as_ref().map(|frame| frame.as_ref().ok().and_then(Frame::data_ref)) {
            state.remember(data);
            this.at += 1;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let state = locked(&self.state);
        self.at >= state.frames.len() && state.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let state = locked(&self.state);
        let again: usize = state.frames.iter().skip(self.at).map(Bytes::len).sum();
        let (again, rest) = (u64::try_from(again).unwrap_or(u64::MAX), state.body.size_hint());
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(again));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(again));
        }
        hint
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::future::poll_fn;

    use super::*;

    async fn frame(body: &mut Body) -> Option<Bytes> {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
        frame.map(|frame| frame.unwrap().into_data().unwrap())
    }

    #[tokio::test]
    async fn the_same_body_is_lent_again_from_its_beginning() {
        let kept = Kept::new(Body::new(String::from("message")));
        let unsent = kept.lend();
        assert!(!unsent.is_end_stream() && unsent.size_hint().exact() == Some(7));
        drop(unsent);
        assert_eq!(kept.taken(), Taken::Nothing);
        let mut first = kept.lend();
        assert_eq!(frame(&mut first).await.as_deref(), Some(b"message".as_slice()));
        assert_eq!(kept.taken(), Taken::Remembered);
        let mut second = kept.lend();
        assert_eq!(frame(&mut first).await, None, "what was lent before ends");
        assert!(!second.is_end_stream() && second.size_hint().exact() == Some(7));
        assert_eq!(frame(&mut second).await.as_deref(), Some(b"message".as_slice()));
        assert_eq!(frame(&mut second).await, None);
        assert!(second.is_end_stream());
    }

    #[tokio::test]
    async fn what_is_answered_or_too_long_is_not_remembered() {
        let answered = Kept::new(Body::new(String::from("message")));
        frame(&mut answered.lend()).await.unwrap();
        answered.forget();
        assert_eq!(answered.taken(), Taken::Forgotten);
        let long = Kept::new(Body::new("x".repeat(MOST_REMEMBERED + 1)));
        frame(&mut long.lend()).await.unwrap();
        assert_eq!(long.taken(), Taken::Forgotten);
    }
}
