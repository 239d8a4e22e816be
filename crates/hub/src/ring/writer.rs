//! The one thread that writes a log: what waits together is written together and shares one sync.

use std::{io, os::unix::fs::FileExt as _, sync::Arc, sync::PoisonError, thread};

use api::Refusal;
use bytes::Bytes;
use service::shell::Stop;
use tokio::sync::{mpsc, oneshot};

use super::{
    Bounds, HEADER, Position, Shared,
    segment::{Segment, frame},
};

/// Most records in one sync.
const BATCH: usize = 1024;
/// Octets after which a batch is written although more wait.
const BATCH_OCTETS: usize = 4 * 1024 * 1024;

/// A record that is to be written, and who waits for it.
pub(super) struct Append {
    pub(super) name: Arc<str>,
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

/// Records on their way to the disk, all of one segment.
struct Piece {
    /// Where they will stand.
    at: Position,
    octets: Vec<u8>,
    placed: Vec<(Position, Arc<str>)>,
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
        let mut piece = Piece { at: *self.shared.end.borrow(), octets: Vec::new(), placed: Vec::new() };
        for append in batch {
            let (before, size) = (piece.octets.len(), HEADER + append.record.len());
            let end = u64::from(piece.at.offset) + before as u64 + size as u64;
            let full = end > u64::from(self.bounds.segment_octets) && (piece.at.offset > 0 || before > 0);
            if full || before > BATCH_OCTETS {
                piece = self.sync(piece)?;
            }
            if full {
                piece.at = self.rotate(piece.at)?;
            }
            let offset = piece.at.offset.saturating_add(small(piece.octets.len()));
            let position = Position { segment: piece.at.segment, offset };
            frame(&mut piece.octets, &append.record);
            piece.placed.push((position, Arc::clone(&append.name)));
            positions.push(position);
        }
        self.sync(piece)?;
        Ok(positions)
    }

    /// Makes a piece durable, and only then shows it; answers the empty piece after it.
    fn sync(&self, piece: Piece) -> io::Result<Piece> {
        let Piece { at, octets, placed } = piece;
        let Some((file, _)) = self.shared.file(at.segment) else { return Err(io::ErrorKind::NotFound.into()) };
        let after = Position { segment: at.segment, offset: at.offset.saturating_add(small(octets.len())) };
        if !octets.is_empty() {
            file.write_all_at(&octets, u64::from(at.offset))?;
            file.sync_data()?;
            for (position, name) in placed {
                self.shared.index.placed(position, &name);
            }
            let mut kept = self.shared.kept.write().unwrap_or_else(PoisonError::into_inner);
            if let Some(last) = kept.back_mut() {
                last.set_length(after.offset);
            }
        }
        self.shared.end.send_replace(after);
        Ok(Piece { at: after, octets: Vec::new(), placed: Vec::new() })
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
            self.shared.index.forget_before(Position { segment: segment.number() + 1, offset: 0 });
            segment.delete(&self.shared.directory)?;
        }
        Ok(start)
    }
}

fn small(octets: usize) -> u32 {
    u32::try_from(octets).unwrap_or(u32::MAX)
}

fn answer(append: Append, outcome: Result<Position, Refusal>) {
    let _ = append.answer.send(outcome);
}
