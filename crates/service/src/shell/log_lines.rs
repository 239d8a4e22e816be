//! Log lines on their way to stderr. What tells of every day's work waits a moment and is written together with others, beside the
//! requests that it tells of; a warning is written at once, after all that came before it.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

/// Octets of lines that may wait. Where nobody reads stderr, what comes beyond is lost, and counted.
const MOST: usize = 1 << 20;
/// How long lines wait for others.
const MOMENT: Duration = Duration::from_millis(5);

/// Lines of this process that were lost.
static DROPPED: AtomicU64 = AtomicU64::new(0);

/// How many lines were lost because too many waited.
pub(super) fn dropped() -> u64 {
    DROPPED.load(Ordering::Relaxed)
}

/// Where lines go. Dropping it writes those that wait.
pub(super) struct LogLines<W: Write + Send + 'static>(Arc<Shared<W>>);

/// Who writes lines.
pub(super) struct Pen<W>(Arc<Shared<W>>);

struct Shared<W> {
    waiting: Mutex<Waiting>,
    arrived: Condvar,
    /// Taken before `waiting`, so that lines stay in order.
    out: Mutex<W>,
}

#[derive(Default)]
struct Waiting {
    octets: Vec<u8>,
    ended: bool,
}

impl<W: Write + Send + 'static> LogLines<W> {
    /// Starts the thread that writes.
    pub(super) fn start(out: W) -> io::Result<Self> {
        let shared = Arc::new(Shared { waiting: Mutex::default(), arrived: Condvar::new(), out: Mutex::new(out) });
        let writing = Arc::clone(&shared);
        thread::Builder::new().name("log".to_owned()).spawn(move || writing.run())?;
        Ok(Self(shared))
    }

    pub(super) fn pen(&self) -> Pen<W> {
        Pen(Arc::clone(&self.0))
    }
}

impl<W: Write + Send + 'static> Drop for LogLines<W> {
    fn drop(&mut self) {
        self.0.waiting().ended = true;
        self.0.arrived.notify_one();
        self.0.write_out(b"");
    }
}

impl<W: Write> Shared<W> {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self) {
        loop {
            let mut waiting = self.waiting();
            while waiting.octets.is_empty() && !waiting.ended {
                waiting = self.arrived.wait(waiting).unwrap_or_else(PoisonError::into_inner);
            }
            if waiting.ended {
                return;
            }
            drop(waiting);
            thread::sleep(MOMENT);
            self.write_out(b"");
        }
    }

    /// Writes what waits, then `line`.
    fn write_out(&self, line: &[u8]) {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let mut octets = std::mem::take(&mut self.waiting().octets);
        octets.extend_from_slice(line);
        // A line that cannot be written, to a full disk or a closed pipe, is lost.
        let _ = out.write_all(&octets);
    }

    fn add(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.ended {
            drop(waiting);
            return self.write_out(line);
        }
        if waiting.octets.len().saturating_add(line.len()) > MOST {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = waiting.octets.is_empty();
        waiting.octets.extend_from_slice(line);
        drop(waiting);
        if first {
            self.arrived.notify_one();
        }
    }
}

/// One line.
pub(super) struct Line<'a, W> {
    shared: &'a Shared<W>,
    at_once: bool,
}

impl<W: Write> Write for Line<'_, W> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.at_once {
            self.shared.write_out(line)
        } else {
            self.shared.add(line)
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a, W: Write + 'a> MakeWriter<'a> for Pen<W> {
    type Writer = Line<'a, W>;

    fn make_writer(&'a self) -> Line<'a, W> {
        Line { shared: &self.0, at_once: true }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> Line<'a, W> {
        Line { shared: &self.0, at_once: *meta.level() <= Level::WARN }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;

    use super::*;

    /// Notes every write, and does not take one before it is told to.
    struct Gate {
        passes: mpsc::Receiver<()>,
        written: Arc<Mutex<Vec<String>>>,
    }

    impl Write for Gate {
        fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
            // A test that has ended lets everything pass.
            let _ = self.passes.recv();
            self.written.lock().unwrap().push(String::from_utf8_lossy(octets).into_owned());
            Ok(octets.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_written_together_and_in_order_before_a_warning_and_at_the_end() {
        let (pass, passes) = mpsc::channel();
        let written = Arc::new(Mutex::new(Vec::new()));
        let lines = LogLines::start(Gate { passes, written: Arc::clone(&written) }).unwrap();
        let pen = lines.pen();
        drop(pass);
        let soon = |text: &str| Line { shared: &pen.0, at_once: false }.write_all(text.as_bytes()).unwrap();
        let at_once = |text: &str| Line { shared: &pen.0, at_once: true }.write_all(text.as_bytes()).unwrap();
        soon("one\n");
        soon("two\n");
        at_once("warning\n");
        assert_eq!(written.lock().unwrap().concat(), "one\ntwo\nwarning\n");
        soon("last\n");
        drop(lines);
        assert_eq!(written.lock().unwrap().concat(), "one\ntwo\nwarning\nlast\n");
        soon("late\n");
        assert_eq!(written.lock().unwrap().concat(), "one\ntwo\nwarning\nlast\nlate\n");
    }

    #[test]
    fn where_nobody_reads_lines_are_lost_and_counted_and_nobody_waits() {
        let (pass, passes) = mpsc::channel();
        let lines = LogLines::start(Gate { passes, written: Arc::default() }).unwrap();
        let pen = lines.pen();
        let before = dropped();
        let line = [b'x'; 1000];
        for _ in 0..3 * MOST / line.len() {
            Line { shared: &pen.0, at_once: false }.write_all(&line).unwrap();
        }
        assert!(dropped() > before);
        drop(pass);
    }
}
