//! What a publishing process called, and what it was told: a file for each life.
//!
//! In: calls and answers, a line each. A line is in the file before the process goes on. Out: the calls, also those of a process that was
//! killed.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::Path,
};

use crate::judge::{Answer, Call};

/// A diary that is written.
#[derive(Debug)]
pub(crate) struct Diary(File);

impl Diary {
    pub(crate) fn create(path: &Path) -> Self {
        Self(File::options().create(true).append(true).open(path).unwrap())
    }

    /// The event is about to be published.
    pub(crate) fn called(&self, number: u64, key: &str) {
        self.write(&format!("call {number} {key}\n"));
    }

    pub(crate) fn told(&self, number: u64, answer: Answer) {
        self.write(&format!("told {number} {answer:?}\n"));
    }

    /// One write for a line, so that it is there as a whole or, if the process is killed, cut.
    fn write(&self, line: &str) {
        (&self.0).write_all(line.as_bytes()).unwrap();
    }
}

/// How long a diary is, in bytes.
pub(crate) fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |file| file.len())
}

/// The calls of a life, in order. A life may have ended before its diary began.
pub(crate) fn read(path: &Path) -> Vec<Call> {
    calls(&fs::read_to_string(path).unwrap_or_default())
}

fn calls(text: &str) -> Vec<Call> {
    let mut calls = BTreeMap::new();
    // A last line without an end was not finished, so what it announces had not begun.
    for line in text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n')) {
        let words: Vec<_> = line.split(' ').collect();
        let [word, number, what] = words[..] else { panic!("not a line of a diary: {line}") };
        let number: u64 = number.parse().unwrap();
        if word == "call" {
            calls.insert(number, Call { number, key: what.to_owned(), answer: None });
        } else {
            calls.get_mut(&number).unwrap().answer = Some(answer(what));
        }
    }
    calls.into_values().collect()
}

fn answer(word: &str) -> Answer {
    let all = [Answer::Published, Answer::Stored, Answer::NotWritten, Answer::Unknown];
    all.into_iter().find(|answer| format!("{answer:?}") == word).unwrap_or_else(|| panic!("no answer: {word}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diary_is_read_as_it_was_written_and_a_line_that_was_cut_does_not_count() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("diary");
        assert_eq!(read(&path), []);
        let diary = Diary::create(&path);
        diary.called(1, "a");
        diary.called(2, "b");
        diary.told(2, Answer::NotWritten);
        diary.write("told 1 Publi");
        let call = |number, key: &str, answer| Call { number, key: key.into(), answer };
        assert_eq!(read(&path), [call(1, "a", None), call(2, "b", Some(Answer::NotWritten))]);
    }
}
