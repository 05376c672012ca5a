//! A client in a process of its own, which can be killed.
//!
//! In: which records to send. Out: its history from its standard output, also if it was killed. The process is this
//! test binary with an environment variable that makes one test the client, or another producer for comparison. It
//! prints each record before it sends it, so every record in the log was printed. All clients have the same protocol,
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
    load::{Fate, History, Load, Order, Step},
    oracle::{Id, Place, Told},
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
    /// Starts a client; `test` is the full name of the test that calls [`obey`].
    pub(crate) fn start(test: &str, bootstrap_servers: &str, order: &Order) -> Self {
        let mut command = Command::new(env::current_exe().expect("this binary has a path"));
        command.args(["--exact", test, "--nocapture"]).env(VARIABLE, words(bootstrap_servers, order).join(" "));
        Self::spawn(command)
    }

    /// Starts Apache's own producer.
    pub(crate) fn start_java(bootstrap_servers: &str, order: &Order) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/fault/JavaLoad.java");
        let mut command = java::java("ERROR");
        command.arg(source).args(words(bootstrap_servers, order));
        Self::spawn(command)
    }

    /// Starts a program that understands our words.
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

    /// How many records were handed over.
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

    /// Kills the client (SIGKILL). Returns what it told, and whether it was killed rather than done.
    pub(crate) fn kill(mut self) -> (History, bool) {
        self.process.kill().expect("a child can be killed");
        let status = self.process.wait().expect("a child can be waited for");
        (self.listener.join().expect("the listener understands"), status.signal() == Some(SIGKILL))
    }

    /// Tells the client that it may end once it has sent all it was to send.
    pub(crate) fn end(&mut self) {
        drop(self.process.stdin.take());
    }

    /// Tells the client so and waits until every record has its outcome.
    pub(crate) fn finish(mut self) -> History {
        self.end();
        let status = self.process.wait().expect("a child can be waited for");
        assert!(status.success(), "the client failed: {status}");
        self.listener.join().expect("the listener understands")
    }
}

fn words(bootstrap_servers: &str, order: &Order) -> [String; 5] {
    let Order { topic, client, first, at_least } = order;
    [bootstrap_servers.to_owned(), topic.clone(), client.to_string(), first.to_string(), at_least.to_string()]
}

/// A record is unknown until it is told otherwise.
fn listen(stdout: ChildStdout, progress: &Progress) -> History {
    let mut history = History::new();
    for line in BufReader::new(stdout).lines().map_while(Result::ok) {
        let now = Instant::now();
        match parse(&line) {
            Some(Step::Sent(id)) => {
                progress.sent.fetch_add(1, Ordering::Relaxed);
                history.insert(id, Fate { told: Told::Unknown, partition: -1, sent_at: now, told_at: now });
            }
            Some(Step::Told(id, partition, told)) => {
                let sent = history.get_mut(&id).expect("what is answered was told as sent");
                *sent = Fate { told, partition, told_at: now, ..*sent };
                progress.acked.fetch_add(usize::from(matches!(told, Told::Acked(_))), Ordering::Relaxed);
            }
            None => {}
        }
    }
    history
}

/// In a process that is to be a client: is one, and returns true when all is sent and answered.
pub(crate) fn obey() -> bool {
    let Ok(words) = env::var(VARIABLE) else { return false };
    let words: Vec<_> = words.split(' ').collect();
    let number = |at: usize| words[at].parse().expect("a number");
    let order = Order { topic: words[1].to_owned(), client: number(2), first: number(3), at_least: number(4) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    runtime.expect("a runtime can be built").block_on(async {
        let producer = Producer::builder(words[0]).request_timeout(REQUEST_TIMEOUT).build().await.expect("valid");
        let load = Load::start(producer, order, tell);
        tokio::task::spawn_blocking(|| io::copy(&mut io::stdin(), &mut io::sink()))
            .await
            .expect("a copy does not panic")
            .ok();
        load.finish().await;
    });
    true
}

fn tell(step: Step) {
    println!("{}", show(step));
}

fn show(step: Step) -> String {
    match step {
        Step::Sent(Id { client, number }) => format!("sent {client} {number}"),
        Step::Told(Id { client, number }, partition, told) => {
            let told = match told {
                Told::Acked(Some(place)) => format!("at {}", place.offset),
                Told::Acked(None) => "written".to_owned(),
                Told::No => "no".to_owned(),
                Told::Unknown => "unknown".to_owned(),
            };
            format!("told {client} {number} {partition} {told}")
        }
    }
}

/// Anything else that stands on standard output is the test harness's.
fn parse(line: &str) -> Option<Step> {
    let words: Vec<_> = line.split(' ').collect();
    let id = |client: &str, number: &str| Some(Id { client: client.parse().ok()?, number: number.parse().ok()? });
    match words[..] {
        ["sent", client, number] => Some(Step::Sent(id(client, number)?)),
        ["told", client, number, partition, ref told @ ..] => {
            let partition = partition.parse().ok()?;
            let told = match *told {
                ["at", offset] => Told::Acked(Some(Place { partition, offset: offset.parse().ok()? })),
                ["written"] => Told::Acked(None),
                ["no"] => Told::No,
                ["unknown"] => Told::Unknown,
                _ => return None,
            };
            Some(Step::Told(id(client, number)?, partition, told))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_client_tells_is_understood_and_what_the_harness_says_is_passed_over() {
        let id = Id { client: 1, number: 2 };
        let place = Place { partition: 3, offset: 4 };
        let told = [Told::Acked(Some(place)), Told::Acked(None), Told::No, Told::Unknown];
        let steps: Vec<_> = told.into_iter().map(|told| Step::Told(id, 3, told)).chain([Step::Sent(id)]).collect();
        for step in steps {
            assert_eq!(format!("{:?}", parse(&show(step))), format!("{:?}", Some(step)));
        }
        for line in ["", "running 1 test", "sent 1", "told 1 2 3 at", "test x ... ok"] {
            assert!(parse(line).is_none(), "{line}");
        }
    }
}
