//! The file of failed lines.
//!
//! In: lines, byte for byte. Out: a file that can be sent again with `--file`. Does I/O, on the calling thread. The file is created
//! with the first line, so a run without failures creates none.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// Keeps failed lines in a file.
#[derive(Debug)]
pub(crate) struct FailedLines {
    path: PathBuf,
    file: Option<File>,
    /// The last line of an input that ends with `\r`. A `\n` after it would make `\r\n` the end of the line, so it is written last.
    last: Vec<u8>,
    lines: u64,
    lost: Option<io::Error>,
}

impl FailedLines {
    /// Appends to `path`, which is created with the first line.
    pub(crate) fn at(path: PathBuf) -> Self {
        Self { path, file: None, last: Vec::new(), lines: 0, lost: None }
    }

    /// Keeps whole lines. Adds a `\n` if the last one lacks it. A last line that ends with `\r` is kept for `finish` instead.
    pub(crate) fn keep(&mut self, lines: &[u8]) {
        if lines.ends_with(b"\r") {
            let whole = lines.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
            self.append(&lines[..whole]);
            self.last.extend_from_slice(&lines[whole..]);
            self.lines += 1;
            return;
        }
        self.append(lines);
        if !lines.is_empty() && !lines.ends_with(b"\n") {
            self.append(b"\n");
        }
    }

    /// Writes the line that must be last. No line may follow.
    pub(crate) fn finish(&mut self) {
        let last = std::mem::take(&mut self.last);
        self.append(&last);
    }

    /// Keeps a part of a line.
    pub(crate) fn append(&mut self, part: &[u8]) {
        if part.is_empty() {
            return;
        }
        self.lines += part.iter().map(|&b| u64::from(b == b'\n')).sum::<u64>();
        if let Err(error) = self.try_append(part) {
            self.lost.get_or_insert(error);
        }
    }

    /// The number of lines that were kept.
    pub(crate) fn lines(&self) -> u64 {
        self.lines
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The first write error: lines after it were not kept.
    pub(crate) fn lost(&self) -> Option<&io::Error> {
        self.lost.as_ref()
    }

    fn try_append(&mut self, part: &[u8]) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(open(&self.path)?),
        };
        file.write_all(part)
    }
}

/// Opens a file to append to it, and ends its last line if necessary.
fn open(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut last = *b"\n";
    if file.seek(SeekFrom::End(-1)).is_ok() {
        file.read_exact(&mut last)?;
    }
    if last != *b"\n" {
        file.write_all(b"\n")?;
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A different path for each test, removed when the test is over.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("milena-test-{}-{name}", std::process::id())))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    #[test]
    fn lines_are_kept_byte_for_byte_and_one_without_an_end_gets_one() {
        let path = Scratch::new("kept");
        let mut failed = FailedLines::at(path.0.clone());
        for lines in [&b"\xff\x00\r\n"[..], b"", b"no end", b"two\nlines\n"] {
            failed.keep(lines);
        }
        assert_eq!(std::fs::read(&path.0).unwrap(), b"\xff\x00\r\nno end\ntwo\nlines\n");
        assert_eq!(failed.lines(), 4);
        assert!(failed.lost().is_none());
    }

    #[test]
    fn a_carriage_return_that_ends_the_input_is_no_end_of_a_line_in_the_file_either() {
        let path = Scratch::new("return");
        let mut failed = FailedLines::at(path.0.clone());
        failed.keep(b"two\r\nlast\r");
        failed.keep(b"one that failed later\n");
        failed.finish();
        assert_eq!(std::fs::read(&path.0).unwrap(), b"two\r\none that failed later\nlast\r");
        assert_eq!(failed.lines(), 3);
    }

    #[test]
    fn a_file_that_ends_within_a_line_gets_its_end_before_anything_else() {
        let path = Scratch::new("within");
        std::fs::write(&path.0, "before").unwrap();
        FailedLines::at(path.0.clone()).keep(b"after\n");
        assert_eq!(std::fs::read(&path.0).unwrap(), b"before\nafter\n");
    }

    #[test]
    fn without_a_failed_line_there_is_no_file() {
        let path = Scratch::new("none");
        let mut failed = FailedLines::at(path.0.clone());
        failed.keep(b"");
        assert_eq!(failed.lines(), 0);
        assert!(!path.0.exists());
    }

    #[test]
    fn lines_are_appended_to_an_existing_file() {
        let path = Scratch::new("stays");
        std::fs::write(&path.0, "before\n").unwrap();
        FailedLines::at(path.0.clone()).keep(b"after");
        assert_eq!(std::fs::read(&path.0).unwrap(), b"before\nafter\n");
    }

    #[test]
    fn an_error_of_the_file_is_kept() {
        let mut failed = FailedLines::at("/nowhere/at/all".into());
        failed.keep(b"line\n");
        assert_eq!(failed.lost().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
