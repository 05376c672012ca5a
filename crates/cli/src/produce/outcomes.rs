//! What became of each line, on stdout.
//!
//! In: outcomes, in order. Out: a line for each, at once if stdout is idle, and else together with those that came meanwhile. Does
//! I/O, on a thread of its own: whoever adds a line waits only where much more comes than stdout takes.

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

/// As many bytes are written without waiting for more.
const MUCH: usize = 64 * 1024;
/// Nobody may add to more than this.
const MOST: usize = 1024 * 1024;
/// How long lines that follow others may wait for more of them: they are written two hundred times a second at most.
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
    /// No line will be added.
    ended: bool,
    /// No line will be written: stdout takes none.
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

    /// How they are printed.
    pub(super) fn format(&self) -> Format {
        self.format
    }

    /// Adds a line. That stdout takes none is no reason to stop sending.
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

/// What was added is written first.
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

    /// A stdout that hands over what is written, and takes something only when it is told to.
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
    fn a_line_is_written_at_once_and_those_that_come_meanwhile_together() {
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
    fn nobody_waits_for_a_stdout_that_takes_nothing_more() {
        let (mut outcomes, written, take) = slow();
        take.send(Err(io::ErrorKind::BrokenPipe.into())).unwrap();
        add(&mut outcomes, 0..200_000);
        drop(outcomes);
        assert_eq!(written.into_iter().count(), 1);
    }
}
