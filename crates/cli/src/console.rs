//! Standard output and standard error, with their write errors.
//!
//! In: lines. Out: the same lines on stdout or stderr, and whether stdout accepted all of them. Does I/O. A reader that closed the
//! pipe (`| head`) is no failure: nothing more is written. Any other error, such as a full disk, is reported once, and the command
//! fails with it at the end. Deliberately absent: `println!` and similar macros, which panic.

use std::{
    io::{self, ErrorKind, Write},
    sync::{Mutex, PoisonError},
};

/// The error of the first write to stdout that failed.
static FAILED: Mutex<Option<ErrorKind>> = Mutex::new(None);

/// Standard output of this process. After the first error every write fails, so the output never has a gap.
#[derive(Debug, Default)]
pub(crate) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        attempt(|| io::stdout().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        attempt(|| io::stdout().lock().flush())
    }
}

/// Prints a line on stdout. The caller continues even if the write fails.
pub(crate) fn to_stdout(line: &str) {
    let _ = attempt(|| {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    });
}

/// Prints a line on stderr. An error here cannot be reported anywhere, so it is ignored.
pub(crate) fn to_stderr(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether stdout accepted every write, or its reader closed the pipe.
pub(crate) fn all_taken() -> bool {
    let _ = Stdout.flush();
    matches!(failed(), None | Some(ErrorKind::BrokenPipe))
}

/// Writes, unless an earlier write failed. The first error is printed on stderr, unless the reader closed the pipe.
pub(crate) fn attempt<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if let Some(before) = failed() {
        return Err(before.into());
    }
    let written = write();
    if let Err(error) = &written
        && error.kind() != ErrorKind::Interrupted
        && note(error.kind())
    {
        to_stderr(&format!("error: cannot write to standard output: {error}"));
    }
    written
}

fn failed() -> Option<ErrorKind> {
    *FAILED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Stores the first error. Returns whether this error is the first and must be reported.
fn note(kind: ErrorKind) -> bool {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    let first = failed.is_none();
    failed.get_or_insert(kind);
    first && kind != ErrorKind::BrokenPipe
}
