//! The table of the long form.
//!
//! In: one row for each run, in a file to which rows are added, so that an interrupted run loses none. Out: one row for
//! each fault. Pure but for the file.

use std::{
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use super::oracle::{Judgement, Violation};

const COLUMNS: [&str; 14] = [
    "fault",
    "runs",
    "records",
    "acked",
    "lost",
    "wrong",
    "duplicates",
    "reordered",
    "`No`",
    "`No` in log",
    "`Unknown` in log",
    "`Unknown` not in log",
    "phantoms",
    "silence: median, worst",
];
/// The columns between `runs` and `silence`.
const COUNTS: usize = COLUMNS.len() - 3;

/// One run of one fault, or several added up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) fault: String,
    counts: [usize; COUNTS],
    silences: Vec<Duration>,
    pub(crate) seen: String,
}

impl Row {
    pub(crate) fn new(fault: String, judged: &Judgement, silence: Duration, seen: String) -> Self {
        let count = |kind: fn(&Violation) -> bool| judged.count(kind);
        let counts = [
            judged.records,
            judged.acked,
            count(|v| matches!(v, Violation::Lost(_))),
            count(|v| matches!(v, Violation::Wrong { .. })),
            count(|v| matches!(v, Violation::Duplicate { .. })),
            count(|v| matches!(v, Violation::Reordered { .. })),
            judged.no,
            count(|v| matches!(v, Violation::Written(_))),
            judged.unknown_in_log,
            judged.unknown_not_in_log,
            count(|v| matches!(v, Violation::Phantom(_))),
        ];
        Self { fault, counts, silences: vec![silence], seen }
    }

    /// One line of the file: tab-separated, the silence in milliseconds.
    pub(crate) fn line(&self) -> String {
        let counts = self.counts.map(|count| count.to_string()).join("\t");
        let silence = self.silences.iter().max().map_or(0, Duration::as_millis);
        format!("{}\t{counts}\t{silence}\t{}\n", self.fault, self.seen)
    }

    fn parse(line: &str) -> Option<Self> {
        let words: Vec<_> = line.split('\t').collect();
        let numbers: Vec<usize> = words.get(1..=COUNTS)?.iter().map_while(|word| word.parse().ok()).collect();
        let silence = Duration::from_millis(words.get(COUNTS + 1)?.parse().ok()?);
        let (counts, seen) = (numbers.try_into().ok()?, (*words.get(COUNTS + 2)?).to_owned());
        Some(Self { fault: words[0].to_owned(), counts, silences: vec![silence], seen })
    }

    fn add(&mut self, other: Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(sum, count)| *sum += count);
        self.silences.extend(other.silences);
    }

    fn cells(mut self) -> Vec<String> {
        self.silences.sort_unstable();
        let (median, worst) = (self.silences[self.silences.len() / 2], self.silences[self.silences.len() - 1]);
        let silence = format!("{:.2} s, {:.2} s", median.as_secs_f64(), worst.as_secs_f64());
        let counts = self.counts.iter().map(ToString::to_string);
        [self.fault, self.silences.len().to_string()].into_iter().chain(counts).chain([silence]).collect()
    }
}

/// The table of all runs in a file, faults in the order in which they first appear.
pub(crate) fn table(file: &str) -> String {
    let mut rows: Vec<Row> = Vec::new();
    for row in file.lines().filter_map(Row::parse) {
        match rows.iter_mut().find(|known| known.fault == row.fault) {
            Some(known) => known.add(row),
            None => rows.push(row),
        }
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let head = line(COLUMNS.map(str::to_owned).to_vec()) + &line(vec!["---".to_owned(); COLUMNS.len()]);
    head + &rows.into_iter().map(|row| line(row.cells())).collect::<String>()
}

/// The folder for results and evidence: `$MILENA_FAULTS_FOLDER`, or `target/faults`.
pub(crate) fn folder() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/faults");
    let folder = env::var_os("MILENA_FAULTS_FOLDER").map_or_else(default, PathBuf::from);
    fs::create_dir_all(&folder).expect("the folder for results is writable");
    folder
}

/// Appends a run's line to a file of the folder.
pub(crate) fn keep(file: &str, line: &str) {
    let file = fs::OpenOptions::new().create(true).append(true).open(folder().join(file));
    file.and_then(|mut file| file.write_all(line.as_bytes())).expect("the results can be written");
}

/// All runs so far.
pub(crate) fn all(file: &str) -> String {
    fs::read_to_string(folder().join(file)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fault: &str, lost: usize, silence_ms: u64) -> Row {
        let id = crate::fault::oracle::Id { client: 0, number: 0 };
        let violations = vec![Violation::Lost(id); lost];
        let judged = Judgement { records: 10, acked: 8, unknown_in_log: 2, violations, ..Judgement::default() };
        Row::new(fault.to_owned(), &judged, Duration::from_millis(silence_ms), "a node was gone".to_owned())
    }

    #[test]
    fn a_row_is_parsed_from_its_line() {
        let row = row("kill", 1, 1_234);
        assert_eq!(Row::parse(row.line().trim_end()), Some(row));
        assert_eq!(Row::parse("kill\t1\t2"), None);
    }

    #[test]
    fn runs_of_one_fault_are_added_up_with_their_median_and_worst_silence() {
        let file = [row("kill", 1, 400), row("cut", 0, 70), row("kill", 0, 200), row("kill", 2, 9_000)];
        let table = table(&file.map(|row| row.line()).concat());
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2], "| kill | 3 | 30 | 24 | 3 | 0 | 0 | 0 | 0 | 0 | 6 | 0 | 0 | 0.40 s, 9.00 s |");
        assert_eq!(lines[3], "| cut | 1 | 10 | 8 | 0 | 0 | 0 | 0 | 0 | 0 | 2 | 0 | 0 | 0.07 s, 0.07 s |");
    }
}
