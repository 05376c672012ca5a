//! Standard output and standard error, also where they do not take what is written.
//!
//! In: lines. Out: the same on stdout or stderr, and in the end whether stdout took everything. Does I/O. That a reader went away
//! (`| head`) is no failure: nothing more is written. Any other failure, such as a full disk, is told once, and fails the command
//! in the end, however well all else went. Deliberately absent: `println!` and its kin, which panic.

use std::{
    io::{self, ErrorKind, Write},
    sync::{Mutex, PoisonError},
};

/// How the first write that stdout did not take failed.
static FAILED: Mutex<Option<ErrorKind>> = Mutex::new(None);

/// Standard output of this process. After the first failure it takes nothing more, so that what was written is never a part with a
/// gap in it.
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

/// Prints a line on stdout. Whoever calls goes on, whether it was taken or not.
pub(crate) fn say(line: &str) {
    let _ = attempt(|| {
        let mut out = io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()
    });
}

/// Prints a line on stderr. Where that fails, there is nobody left to tell.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Whether stdout took everything, or nobody wanted it.
pub(crate) fn all_taken() -> bool {
    let _ = Stdout.flush();
    matches!(failed(), None | Some(ErrorKind::BrokenPipe))
}

/// Writes, unless a write failed before. The first failure is told unless it is a reader's who went away.
pub(crate) fn attempt<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    if let Some(before) = failed() {
        return Err(before.into());
    }
    let written = write();
    if let Err(error) = &written
        && error.kind() != ErrorKind::Interrupted
        && note(error.kind())
    {
        tell(&format!("error: cannot write to standard output: {error}"));
    }
    written
}

fn failed() -> Option<ErrorKind> {
    *FAILED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Notes a failure, and says whether it is the first and somebody has to know.
fn note(kind: ErrorKind) -> bool {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    let first = failed.is_none();
    failed.get_or_insert(kind);
    first && kind != ErrorKind::BrokenPipe
}
