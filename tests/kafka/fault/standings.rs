//! The tables of the race.
//!
//! In: one line for each run, in a file to which lines are added. Out: how long each client was silent under each
//! fault, with the best marked. Pure. One fault strikes all clients of a run at the same moment, so the differences
//! within a run say more than two medians.

use std::time::Duration;

/// A client's longest silences in one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Silence {
    /// The longest time in which no partition acknowledged a record.
    pub(crate) of_all: Duration,
    /// The longest silence of a single partition.
    pub(crate) of_one: Duration,
}

/// One run of the race.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lap {
    pub(crate) fault: String,
    /// milena first.
    pub(crate) silences: Vec<(String, Silence)>,
    pub(crate) seen: String,
}

impl Lap {
    /// One line of the file: tab-separated, silences in milliseconds.
    pub(crate) fn line(&self) -> String {
        let show = |(name, silence): &(String, Silence)| {
            format!("\t{name} {} {}", silence.of_all.as_millis(), silence.of_one.as_millis())
        };
        format!("{}{}\t{}\n", self.fault, self.silences.iter().map(show).collect::<String>(), self.seen)
    }

    fn parse(line: &str) -> Option<Self> {
        let [fault, silences @ .., seen] = &line.split('\t').collect::<Vec<_>>()[..] else { return None };
        let silences = silences.iter().map(|words| client(words)).collect::<Option<_>>()?;
        Some(Self { fault: (*fault).to_owned(), silences, seen: (*seen).to_owned() })
    }

    fn of(&self, name: &str, kind: fn(&Silence) -> Duration) -> Option<Duration> {
        self.silences.iter().find(|(known, _)| known == name).map(|(_, silence)| kind(silence))
    }

    /// How much longer the first client was silent than the best of the others, in seconds; negative if it was the best.
    fn behind(&self, kind: fn(&Silence) -> Duration) -> Option<f64> {
        let (first, others) = self.silences.split_first()?;
        let best = others.iter().map(|(_, silence)| kind(silence)).min()?;
        Some(kind(&first.1).as_secs_f64() - best.as_secs_f64())
    }
}

fn client(words: &str) -> Option<(String, Silence)> {
    let mut words = words.split(' ');
    let (name, mut millis) = (words.next()?, words.map(|word| word.parse().ok().map(Duration::from_millis)));
    Some((name.to_owned(), Silence { of_all: millis.next()??, of_one: millis.next()?? }))
}

/// The tables of all laps in a file.
pub(crate) fn tables(file: &str) -> String {
    let laps: Vec<_> = file.lines().filter_map(Lap::parse).collect();
    let of_all = table(&laps, |silence| silence.of_all);
    let of_one = table(&laps, |silence| silence.of_one);
    format!("Longest silence of all partitions (median, worst):\n\n{of_all}\nOf one partition:\n\n{of_one}")
}

fn table(laps: &[Lap], kind: fn(&Silence) -> Duration) -> String {
    let (faults, names) = (distinct(laps.iter().map(|lap| &lap.fault)), distinct(names(laps)));
    let heads = ["fault", "runs"].map(str::to_owned).into_iter().chain(names.iter().map(|name| (*name).clone()));
    let heads: Vec<_> = heads.chain(["the first behind the best other".to_owned()]).collect();
    let rule = vec!["---".to_owned(); heads.len()];
    let rows = faults.into_iter().map(|fault| {
        let laps: Vec<_> = laps.iter().filter(|lap| &lap.fault == fault).collect();
        let behind = two(laps.iter().filter_map(|lap| lap.behind(kind)));
        let counted = [fault.clone(), laps.len().to_string()].into_iter();
        counted.chain(cells(&laps, &names, kind)).chain([behind.map_or_else(String::new, show)]).collect()
    });
    [heads, rule].into_iter().chain(rows).map(|cells: Vec<_>| format!("| {} |\n", cells.join(" | "))).collect()
}

fn names(laps: &[Lap]) -> impl Iterator<Item = &String> {
    laps.iter().flat_map(|lap| lap.silences.iter().map(|(name, _)| name))
}

/// The distinct names, in the order in which they first appear.
fn distinct<'a>(all: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    all.fold(Vec::new(), |mut known, next| {
        if !known.contains(&next) {
            known.push(next);
        }
        known
    })
}

/// One cell for each client. The least median is marked, and every other that is the same when rounded.
fn cells(laps: &[&Lap], names: &[&String], kind: fn(&Silence) -> Duration) -> Vec<String> {
    let of = |name: &&String| two(laps.iter().filter_map(|lap| lap.of(name, kind)).map(|time| time.as_secs_f64()));
    let silences: Vec<_> = names.iter().map(of).collect();
    let best = silences.iter().flatten().map(|(median, _)| *median).fold(f64::INFINITY, f64::min);
    let cell = |silence: Option<(f64, f64)>| match silence {
        Some(silence) if hundredths(silence.0) == hundredths(best) => format!("**{}**", show(silence)),
        Some(silence) => show(silence),
        None => "-".to_owned(),
    };
    silences.into_iter().map(cell).collect()
}

/// Median (of two in the middle the mean) and largest.
fn two(of: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mut of: Vec<_> = of.collect();
    of.sort_unstable_by(f64::total_cmp);
    let (upper, lower) = (of.get(of.len() / 2)?, of.get(of.len().checked_sub(1)? / 2)?);
    Some((f64::midpoint(*lower, *upper), *of.last()?))
}

fn show((median, worst): (f64, f64)) -> String {
    format!("{}, {}", hundredths(median), hundredths(worst))
}

/// Rounds to hundredths, without a sign for 0.
fn hundredths(seconds: f64) -> String {
    format!("{:.2}", (seconds * 100.0).round() / 100.0 + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lap(fault: &str, silences: &[(&str, u64)]) -> Lap {
        let silence = |ms| Silence { of_all: Duration::from_millis(ms), of_one: Duration::from_millis(2 * ms) };
        let silences = silences.iter().map(|(name, ms)| ((*name).to_owned(), silence(*ms))).collect();
        Lap { fault: fault.to_owned(), silences, seen: "a node was gone".to_owned() }
    }

    #[test]
    fn a_lap_is_parsed_from_its_line() {
        let lap = lap("kill of a broker", &[("milena", 210), ("Java", 300)]);
        assert_eq!(Lap::parse(lap.line().trim_end()), Some(lap));
        assert_eq!(Lap::parse("kill\tmilena\tseen"), None);
    }

    #[test]
    fn the_best_of_each_fault_is_marked_and_the_runs_are_compared_one_by_one() {
        let laps = [
            lap("cut", &[("milena", 200), ("Java", 300), ("other", 100)]),
            lap("kill", &[("milena", 8_000), ("Java", 8_004)]),
            lap("move", &[("milena", 100)]),
            lap("move", &[("milena", 300)]),
            lap("cut", &[("milena", 300), ("Java", 400), ("other", 5_000)]),
            lap("cut", &[("milena", 210), ("Java", 200), ("other", 5_000)]),
        ];
        let text = tables(&laps.map(|lap| lap.line()).concat());
        let lines: Vec<_> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "| fault | runs | milena | Java | other | the first behind the best other |");
        assert_eq!(lines[2], "| cut | 3 | **0.21, 0.30** | 0.30, 0.40 | 5.00, 5.00 | 0.01, 0.10 |");
        assert_eq!(lines[3], "| kill | 1 | **8.00, 8.00** | **8.00, 8.00** | - | 0.00, 0.00 |");
        assert_eq!(lines[4], "| move | 2 | **0.20, 0.30** | - | - |  |");
        assert_eq!(lines[8], "| kill | 1 | **16.00, 16.00** | 16.01, 16.01 | - | -0.01, -0.01 |");
    }
}
