//! The file of failed lines.
//!
//! In: lines, byte for byte. Out: a file that can be sent again with `--file`. Does I/O, on the calling thread. The file is created
//! with the first line, so a run without failures creates none.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use super::ends::Ends;

/// Keeps failed lines in a file.
#[derive(Debug)]
pub(crate) struct FailedLines {
    path: PathBuf,
    ends: Ends,
    /// What a new file begins with: the names of columns.
    heading: Vec<u8>,
    file: Option<File>,
    /// The last line of an input that ends with `\r`. A `\n` after it would make `\r\n` the end of the line, so it is written last.
    last: Vec<u8>,
    lines: u64,
    lost: Option<io::Error>,
}

impl FailedLines {
    /// Appends to `path`, which is created with the first line, lines that end so.
    pub(crate) fn at(path: PathBuf, ends: Ends) -> Self {
        Self { path, ends, heading: Vec::new(), file: None, last: Vec::new(), lines: 0, lost: None }
    }

    /// The same with a heading, which a new file begins with.
    pub(crate) fn with_heading(self, heading: &[u8]) -> Self {
        Self { heading: heading.to_vec(), ..self }
    }

    /// Keeps whole lines. Adds an end if the last one lacks it. A last line that ends with `\r` is kept for `finish` instead.
    pub(crate) fn keep(&mut self, lines: &[u8]) {
        if self.ends == Ends::Line && lines.ends_with(b"\r") {
            let whole = lines.iter().rposition(|&b| b == b'\n').map_or(0, |end| end + 1);
            self.append(&lines[..whole]);
            self.last.extend_from_slice(&lines[whole..]);
            self.lines += 1;
            return;
        }
        self.append(lines);
        let end = self.ends.text().to_vec();
        if !lines.is_empty() && !lines.ends_with(&end) {
            self.append(&end);
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
        self.lines += self.ends.count(part);
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
            none => none.insert(open(&self.path, &self.ends, &self.heading)?),
        };
        file.write_all(part)
    }
}

/// Opens a file to append to it. A new one gets the heading; in one that there is the last line is ended if necessary.
fn open(path: &Path, ends: &Ends, heading: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let (len, end) = (file.seek(SeekFrom::End(0))?, ends.text());
    let mut last = vec![0; end.len().min(usize::try_from(len).unwrap_or(usize::MAX))];
    file.seek(SeekFrom::End(-i64::try_from(last.len()).unwrap_or(0)))?;
    file.read_exact(&mut last)?;
    if len == 0 {
        file.write_all(heading)?;
    } else if last != end {
        file.write_all(end)?;
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
        let mut failed = FailedLines::at(path.0.clone(), Ends::Line);
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
        let mut failed = FailedLines::at(path.0.clone(), Ends::Line);
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
        FailedLines::at(path.0.clone(), Ends::Line).keep(b"after\n");
        assert_eq!(std::fs::read(&path.0).unwrap(), b"before\nafter\n");
    }

    #[test]
    fn without_a_failed_line_there_is_no_file() {
        let path = Scratch::new("none");
        let mut failed = FailedLines::at(path.0.clone(), Ends::Line);
        failed.keep(b"");
        assert_eq!(failed.lines(), 0);
        assert!(!path.0.exists());
    }

    #[test]
    fn lines_are_appended_to_an_existing_file() {
        let path = Scratch::new("stays");
        std::fs::write(&path.0, "before\n").unwrap();
        FailedLines::at(path.0.clone(), Ends::Line).keep(b"after");
        assert_eq!(std::fs::read(&path.0).unwrap(), b"before\nafter\n");
    }

    #[test]
    fn records_with_another_end_are_kept_with_that_one() {
        let path = Scratch::new("zero");
        let mut failed = FailedLines::at(path.0.clone(), Ends::Text(b"\0".to_vec()));
        failed.keep(b"one\ntwo\0");
        failed.keep(b"three\r");
        failed.finish();
        assert_eq!(std::fs::read(&path.0).unwrap(), b"one\ntwo\0three\r\0");
        assert_eq!(failed.lines(), 2);
    }

    #[test]
    fn a_new_file_begins_with_the_heading_and_one_that_there_is_goes_on() {
        let path = Scratch::new("heading");
        for row in [b"1,2\n", b"3,4\n"] {
            FailedLines::at(path.0.clone(), Ends::Row(b',')).with_heading(b"a,b\n").keep(row);
        }
        assert_eq!(std::fs::read(&path.0).unwrap(), b"a,b\n1,2\n3,4\n");
    }

    #[test]
    fn an_error_of_the_file_is_kept() {
        let mut failed = FailedLines::at("/nowhere/at/all".into(), Ends::Line);
        failed.keep(b"line\n");
        assert_eq!(failed.lost().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
