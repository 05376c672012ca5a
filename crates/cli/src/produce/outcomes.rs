//! Writes the outcome of each line to stdout.
//!
//! In: outcomes, in order. Out: a line for each, written at once if stdout is idle, and otherwise together with those added
//! meanwhile. Does I/O, on a separate thread: a caller waits only if the buffer is full because stdout is slow.

use std::{
    io::Write,
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::{
    console::Stdout,
    output::{Dates, Format, Outcome, put_outcome},
};

/// A buffer of this size is written at once, without waiting for more lines.
const MUCH: usize = 64 * 1024;
/// A caller waits while the buffer is larger than this.
const MOST: usize = 1024 * 1024;
/// The pause between two writes, so there are at most two hundred writes a second.
const PAUSE: Duration = Duration::from_millis(5);

/// Prints outcomes.
#[derive(Debug)]
pub(super) struct Outcomes {
    format: Format,
    dates: Dates,
    shared: Arc<Shared>,
    writing: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

/// Lines that are not written yet.
#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// No more lines will be added.
    ended: bool,
    /// No more lines will be written, because a write failed.
    refused: bool,
}

impl Outcomes {
    /// Starts the thread that writes.
    pub(super) fn new(format: Format) -> Self {
        Self::to(format, Stdout)
    }

    fn to(format: Format, out: impl Write + Send + 'static) -> Self {
        let shared = Arc::<Shared>::default();
        let writer = Arc::clone(&shared);
        let writing = thread::spawn(move || writer.write_to(out));
        Self { format, dates: Dates::default(), shared, writing: Some(writing) }
    }

    /// The format of the lines.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Adds a line. After a failed write it does nothing, so that sending continues.
    pub(super) fn add(&mut self, line: u64, outcome: Outcome<'_>) {
        let mut waiting = self.shared.wait_while(|waiting| waiting.lines.len() > MOST && !waiting.refused);
        if waiting.refused {
            return;
        }
        let before = waiting.lines.len();
        put_outcome(&mut waiting.lines, &mut self.dates, self.format, line, outcome);
        if before == 0 || (before < MUCH && waiting.lines.len() >= MUCH) {
            drop(waiting);
            self.shared.changed.notify_all();
        }
    }
}

/// Writes the remaining lines before it returns.
impl Drop for Outcomes {
    fn drop(&mut self) {
        self.shared.waiting().ended = true;
        self.shared.changed.notify_all();
        // A thread that panicked has nothing more to write.
        let _ = self.writing.take().map(JoinHandle::join);
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&Waiting) -> bool) -> MutexGuard<'_, Waiting> {
        self.changed.wait_while(self.waiting(), |waiting| condition(waiting)).unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut out: impl Write) {
        let mut lines = Vec::new();
        loop {
            let mut waiting = self.wait_while(|waiting| waiting.lines.is_empty() && !waiting.ended);
            mem::swap(&mut lines, &mut waiting.lines);
            if lines.is_empty() {
                return;
            }
            drop(waiting);
            self.changed.notify_all();
            if out.write_all(&lines).and_then(|()| out.flush()).is_err() {
                self.waiting().refused = true;
                self.changed.notify_all();
                return;
            }
            lines.clear();
            let few = |waiting: &mut Waiting| waiting.lines.len() < MUCH && !waiting.ended;
            drop(self.changed.wait_timeout_while(self.waiting(), PAUSE, few));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{io, sync::mpsc};

    use super::*;
    use crate::output::Failure;

    /// A stdout that passes each write to the test, and completes it with the result that the test sends.
    struct Slow(mpsc::Sender<Vec<u8>>, mpsc::Receiver<io::Result<()>>);

    impl Write for Slow {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).unwrap();
            self.1.recv().unwrap_or(Ok(())).map(|()| bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn slow() -> (Outcomes, mpsc::Receiver<Vec<u8>>, mpsc::Sender<io::Result<()>>) {
        let ((written, write), (take, taken)) = (mpsc::channel(), mpsc::channel());
        (Outcomes::to(Format::Text, Slow(written, taken)), write, take)
    }

    fn add(outcomes: &mut Outcomes, numbers: std::ops::Range<u64>) {
        let failure = Failure::refused("no".into());
        numbers.for_each(|number| outcomes.add(number, Err(&failure)));
    }

    #[test]
    fn a_line_is_written_at_once_and_those_added_meanwhile_together() {
        let (mut outcomes, written, take) = slow();
        add(&mut outcomes, 0..1);
        assert_eq!(written.recv().unwrap(), b"line 0: failed: no\n");
        add(&mut outcomes, 1..3);
        take.send(Ok(())).unwrap();
        assert_eq!(written.recv().unwrap(), b"line 1: failed: no\nline 2: failed: no\n");
    }

    #[test]
    fn everything_is_written_before_the_end_and_in_order() {
        let (mut outcomes, written, take) = slow();
        drop(take);
        add(&mut outcomes, 0..50_000);
        drop(outcomes);
        let all = written.into_iter().flatten().collect::<Vec<_>>();
        let expected: String = (0..50_000).map(|number| format!("line {number}: failed: no\n")).collect();
        assert!(all == expected.as_bytes());
    }

    #[test]
    fn after_a_failed_write_adding_a_line_does_not_wait() {
        let (mut outcomes, written, take) = slow();
        take.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        add(&mut outcomes, 0..200_000);
        drop(outcomes);
        assert_eq!(written.into_iter().count(), 1);
    }
}
