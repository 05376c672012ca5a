//! A client in a separate process, which can be killed.
//!
//! In: which records to send. Out: its history from its standard output, also if it was killed. The process is this
//! test binary with an environment variable that makes one test the client, or another producer for comparison. It
//! prints each record before it sends it, so every record in the log was printed. All clients print in the same format,
//! and one clock measures all of them.

use std::{
    env,
    io::{self, BufRead, BufReader},
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use milena::Producer;
use milena_test_support::java;

use super::{
    REQUEST_TIMEOUT,
    load::{History, Load, Order, SentRecord, Step},
    oracle::{Id, Place, Reported},
    secured,
};

const VARIABLE: &str = "MILENA_FAULT_ORDER";
const SIGKILL: i32 = 9;

/// A running client.
pub(crate) struct Client {
    process: Child,
    progress: Arc<Progress>,
    listener: JoinHandle<History>,
}

#[derive(Default)]
struct Progress {
    sent: AtomicUsize,
    acked: AtomicUsize,
}

impl Client {
    /// Starts a client; `test` is the full name of the test that calls [`run_as_client`].
    pub(crate) fn start(test: &str, bootstrap_servers: &str, order: &Order) -> Self {
        let mut command = Command::new(env::current_exe().expect("this binary has a path"));
        command.args(["--exact", test, "--nocapture"]).env(VARIABLE, words(bootstrap_servers, order).join(" "));
        command.envs(secured::environment());
        Self::spawn(command)
    }

    /// Starts Apache's own producer.
    pub(crate) fn start_java(bootstrap_servers: &str, order: &Order) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/fault/JavaLoad.java");
        let mut command = java::java("ERROR");
        command.arg(source).args(words(bootstrap_servers, order));
        Self::spawn(command)
    }

    /// Starts a program that takes the same arguments.
    pub(crate) fn start_program(program: &Path, bootstrap_servers: &str, order: &Order) -> Self {
        let mut command = Command::new(program);
        command.args(words(bootstrap_servers, order));
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the client can be started");
        let (progress, stdout) = (Arc::new(Progress::default()), process.stdout.take().expect("stdout is piped"));
        let counted = Arc::clone(&progress);
        Self { process, progress, listener: thread::spawn(move || listen(stdout, &counted)) }
    }

    /// The number of records that the client has sent.
    pub(crate) fn sent(&self) -> usize {
        self.progress.sent.load(Ordering::Relaxed)
    }

    /// Waits until this many records are acknowledged.
    pub(crate) fn await_acked(&mut self, records: usize) {
        while self.progress.acked.load(Ordering::Relaxed) < records {
            let ended = self.process.try_wait().expect("a child can be waited for");
            assert!(ended.is_none(), "the client ended before {records} records were acknowledged: {ended:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the client (SIGKILL). Returns its history, and whether the signal ended it.
    pub(crate) fn kill(mut self) -> (History, bool) {
        self.process.kill().expect("a child can be killed");
        let status = self.process.wait().expect("a child can be waited for");
        (self.listener.join().expect("the listener does not panic"), status.signal() == Some(SIGKILL))
    }

    /// Signals the client to end once it has sent its minimum number of records.
    pub(crate) fn end(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Signals the client to end, and waits until every record is completed.
    pub(crate) fn finish(mut self) -> History {
        self.end();
        let status = self.process.wait().expect("a child can be waited for");
        assert!(status.success(), "the client failed: {status}");
        self.listener.join().expect("the listener does not panic")
    }
}

fn words(bootstrap_servers: &str, order: &Order) -> [String; 5] {
    let Order { topic, client, first, at_least } = order;
    [bootstrap_servers.to_owned(), topic.clone(), client.to_string(), first.to_string(), at_least.to_string()]
}

/// Reads the client's output. A record's outcome is unknown until the client prints another.
fn listen(stdout: ChildStdout, progress: &Progress) -> History {
    let mut history = History::new();
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let now = Instant::now();
        match parse(&line) {
            Some(Step::Sent(id)) => {
                progress.sent.fetch_add(1, Ordering::Relaxed);
                history.insert(
                    id,
                    SentRecord { reported: Reported::Unknown, partition: -1, sent_at: now, completed_at: now },
                );
            }
            Some(Step::Completed(id, partition, reported)) => {
                let sent = history.get_mut(&id).expect("a completed record was sent");
                *sent = SentRecord { reported, partition, completed_at: now, ..*sent };
                progress.acked.fetch_add(usize::from(matches!(reported, Reported::Acked(_))), Ordering::Relaxed);
            }
            None => {}
        }
    }
    history
}

/// Runs the client if the environment variable is set. Returns true when all records are completed, and false without the variable.
pub(crate) fn run_as_client() -> bool {
    let Ok(words) = env::var(VARIABLE) else { return false };
    let words: Vec<_> = words.split(' ').collect();
    let number = |at: usize| words[at].parse().expect("a number");
    let order = Order { topic: words[1].to_owned(), client: number(2), first: number(3), at_least: number(4) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(async {
        let builder = Producer::builder(words[0]).request_timeout(REQUEST_TIMEOUT).properties(secured::of_clients());
        let producer = builder.build().await.expect("valid");
        let load = Load::start(producer, order, print);
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()))
            .await
            .expect("a copy does not panic")
            .ok();
        load.finish().await;
    });
    true
}

fn print(step: Step) {
    println!("{}", show(step));
}

fn show(step: Step) -> String {
    match step {
        Step::Sent(Id { client, number }) => format!("sent {client} {number}"),
        Step::Completed(Id { client, number }, partition, reported) => {
            let reported = match reported {
                Reported::Acked(Some(place)) => format!("at {}", place.offset),
                Reported::Acked(None) => "written".to_owned(),
                Reported::No => "no".to_owned(),
                Reported::Unknown => "unknown".to_owned(),
            };
            format!("told {client} {number} {partition} {reported}")
        }
    }
}

/// Parses a line of a client. Other lines on standard output are of the test harness.
fn parse(line: &str) -> Option<Step> {
    let words: Vec<_> = line.split(' ').collect();
    let id = |client: &str, number: &str| Some(Id { client: client.parse().ok()?, number: number.parse().ok()? });
    match words[..] {
        ["sent", client, number] => Some(Step::Sent(id(client, number)?)),
        ["told", client, number, partition, ref reported @ ..] => {
            let partition = partition.parse().ok()?;
            let reported = match *reported {
                ["at", offset] => Reported::Acked(Some(Place { partition, offset: offset.parse().ok()? })),
                ["written"] => Reported::Acked(None),
                ["no"] => Reported::No,
                ["unknown"] => Reported::Unknown,
                _ => return None,
            };
            Some(Step::Completed(id(client, number)?, partition, reported))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_of_a_client_is_parsed_and_output_of_the_harness_is_ignored() {
        let id = Id { client: 1, number: 2 };
        let place = Place { partition: 3, offset: 4 };
        let reported = [Reported::Acked(Some(place)), Reported::Acked(None), Reported::No, Reported::Unknown];
        let steps: Vec<_> =
            reported.into_iter().map(|reported| Step::Completed(id, 3, reported)).chain([Step::Sent(id)]).collect();
        for step in steps {
            assert_eq!(format!("{:?}", parse(&show(step))), format!("{:?}", Some(step)));
        }
        for line in ["", "running 1 test", "sent 1", "told 1 2 3 at", "test x ... ok"] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
