//! The one thread that writes a log: what waits together is written together and shares one sync.

use std::{io, os::unix::fs::FileExt as _, sync::Arc, sync::PoisonError, thread};

use api::Refusal;
use bytes::Bytes;
use service::shell::Stop;
use tokio::sync::{mpsc, oneshot};

use super::{Bounds, Position, Shared, segment::Segment, segment::frame};

/// Most records in one sync.
const BATCH: usize = 1024;
/// Octets after which a batch is written although more wait.
const BATCH_OCTETS: usize = 4 * 1024 * 1024;

/// A record that is to be written, and who waits for it.
pub(super) struct Append {
    pub(super) record: Bytes,
    pub(super) answer: oneshot::Sender<Result<Position, Refusal>>,
}

/// Starts the thread; it ends when every handle of the log is gone.
pub(super) fn start(
    shared: Arc<Shared>,
    name: &'static str,
    bounds: Bounds,
    stop: Stop,
    appends: mpsc::Receiver<Append>,
) -> io::Result<()> {
    let writer = Writer { shared, bounds };
    thread::Builder::new().name(name.to_owned()).spawn(move || writer.run(name, &stop, appends)).map(drop)
}

struct Writer {
    shared: Arc<Shared>,
    bounds: Bounds,
}

impl Writer {
    fn run(self, name: &'static str, stop: &Stop, mut appends: mpsc::Receiver<Append>) {
        let mut waiting = Vec::with_capacity(BATCH);
        let mut failed = false;
        while appends.blocking_recv_many(&mut waiting, BATCH) > 0 {
            // After a failed sync nothing can be said about what is on the disk: nothing more is written to this handle.
            let written = if failed { Err(io::ErrorKind::BrokenPipe.into()) } else { self.write(&waiting) };
            match written {
                Ok(positions) => {
                    for (append, position) in waiting.drain(..).zip(positions) {
                        answer(append, Ok(position));
                    }
                }
                Err(error) => {
                    if !failed {
                        stop.fatal("LOG_FAILED", format!("writing the log of {name}: {error}"));
                    }
                    failed = true;
                    let refusal = Refusal::new("LOG_FAILED", format!("the log of {name} cannot be written"));
                    waiting.drain(..).for_each(|append| answer(append, Err(refusal.clone())));
                }
            }
        }
    }

    /// Writes a batch, in as many pieces as segments and octets ask for, and syncs each.
    fn write(&self, batch: &[Append]) -> io::Result<Vec<Position>> {
        let mut positions = Vec::with_capacity(batch.len());
        let mut octets = Vec::new();
        let mut at = *self.shared.end.borrow();
        for append in batch {
            let before = octets.len();
            frame(&mut octets, &append.record);
            let end = u64::from(at.offset) + octets.len() as u64;
            let full = end > u64::from(self.bounds.segment_octets) && (at.offset > 0 || before > 0);
            if full || before > BATCH_OCTETS {
                let rest = octets.split_off(before);
                at = self.sync(at, &octets)?;
                octets = rest;
            }
            if full {
                at = self.rotate(at)?;
            }
            let ahead = octets.len() - frame_len(append);
            positions.push(Position { segment: at.segment, offset: at.offset.saturating_add(small(ahead)) });
        }
        self.sync(at, &octets)?;
        Ok(positions)
    }

    /// Makes octets durable at a position, and shows them; answers the position after them.
    fn sync(&self, at: Position, octets: &[u8]) -> io::Result<Position> {
        let Some((file, _)) = self.shared.file(at.segment) else { return Err(io::ErrorKind::NotFound.into()) };
        let after = Position { segment: at.segment, offset: at.offset.saturating_add(small(octets.len())) };
        if !octets.is_empty() {
            file.write_all_at(octets, u64::from(at.offset))?;
            file.sync_data()?;
            let mut kept = self.shared.kept.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = kept.back_mut() {
                last.set_length(after.offset);
            }
        }
        self.shared.end.send_replace(after);
        Ok(after)
    }

    /// Begins the next segment, and lets go of what is beyond the bound.
    fn rotate(&self, at: Position) -> io::Result<Position> {
        let next = Segment::create(&self.shared.directory, at.segment + 1)?;
        let start = next.end();
        let mut old = Vec::new();
        {
            let mut kept = self.shared.kept.write().unwrap_or_else(PoisonError::into_inner);
            kept.push_back(next);
            while kept.len() > self.bounds.segments.max(1) {
                old.extend(kept.pop_front());
            }
        }
        for segment in old {
            segment.delete(&self.shared.directory)?;
        }
        Ok(start)
    }
}

fn frame_len(append: &Append) -> usize {
    super::HEADER + append.record.len()
}

fn small(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}

fn answer(append: Append, outcome: Result<Position, Refusal>) {
    let _ = append.answer.send(outcome);
}
