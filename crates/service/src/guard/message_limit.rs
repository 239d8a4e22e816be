//! Refuses a gRPC message by its length prefix, before anything is allocated for it.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use api::Refusal;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Bytes;

/// Compressed flag and four octets of length (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// `body`, which fails with `MESSAGE_TOO_LARGE` at the first message of more than `limit` octets.
pub(super) fn limited(body: Body, limit: u32) -> Body {
    Body::new(Limited { body, limit, scanner: Scanner::default() })
}

struct Limited {
    body: Body,
    limit: u32,
    scanner: Scanner,
}

/// Where we are within the sequence of messages.
#[derive(Default)]
struct Scanner {
    prefix: [u8; PREFIX],
    /// Octets of the prefix seen so far.
    seen: usize,
    /// Octets of the message's content still to come.
    content: usize,
}

impl Scanner {
    /// Follows `data`; answers the first length above `limit`.
    fn follow(&mut self, mut data: &[u8], limit: u32) -> Result<(), u32> {
        while !data.is_empty() {
            let content = self.content.min(data.len());
            self.content -= content;
            data = data.get(content..).unwrap_or_default();
            // Also leaves when the data ends within or right before a prefix.
            for slot in self.prefix.iter_mut().skip(self.seen) {
                let Some((first, rest)) = data.split_first() else { return Ok(()) };
                *slot = *first;
                data = rest;
                self.seen += 1;
            }
            let [_, a, b, c, d] = self.prefix;
            let length = u32::from_be_bytes([a, b, c, d]);
            if length > limit {
                return Err(length);
            }
            self.seen = 0;
            self.content = usize::try_from(length).unwrap_or(usize::MAX);
        }
        Ok(())
    }
}

impl HttpBody for Limited {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(data)) = frame.as_ref().map(|found| found.as_ref().map(Frame::data_ref)) {
            let limit = self.limit;
            let followed = self.scanner.follow(data.map_or(&[], |data| data), limit);
            if let Err(length) = followed {
                return Poll::Ready(Some(Err(too_large(length, limit))));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

fn too_large(length: u32, limit: u32) -> Status {
    let message = format!("a message has {length} octets, the limit is {limit}");
    Refusal::new("MESSAGE_TOO_LARGE", message).with("limit", limit).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_found_however_the_octets_are_cut() {
        let mut octets = Vec::new();
        for length in [3_u32, 0, 7] {
            octets.push(0);
            octets.extend(length.to_be_bytes());
            octets.extend(std::iter::repeat_n(0xff, usize::try_from(length).unwrap_or(0)));
        }
        for cut in 1..=octets.len() {
            let run = |limit| {
                let mut scanner = Scanner::default();
                octets.chunks(cut).try_for_each(|chunk| scanner.follow(chunk, limit))
            };
            assert_eq!(run(7), Ok(()), "cut {cut}");
            assert_eq!(run(6), Err(7), "cut {cut}");
        }
    }
}
