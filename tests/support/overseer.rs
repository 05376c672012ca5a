//! Apache's admin client in a process that stays alive: it creates topics with chosen replicas, reports leaders and
//! replicas in sync, and moves leaders by reassignment.
//!
//! In: a bootstrap address, a topic. Out: its partitions. `kafka/Overseer.java` does the work.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::java;

/// The time limit until every replica is in sync, which takes seconds.
const HEAL_LIMIT: Duration = Duration::from_secs(120);

/// Apache's admin client in a separate process, which ends with this one.
#[derive(Debug)]
pub struct Overseer(Mutex<Process>);

#[derive(Debug)]
struct Process {
    _child: Child,
    commands: ChildStdin,
    responses: BufReader<ChildStdout>,
}

/// One partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// The node that leads it, if any; ids count from 1.
    pub leader: Option<usize>,
    /// How many replicas are in sync.
    pub in_sync: usize,
}

impl Overseer {
    /// Starts the process. It connects with the first command.
    ///
    /// # Panics
    /// When Java cannot be started.
    #[must_use]
    pub fn start(bootstrap_servers: &str) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/Overseer.java");
        let mut command = java::java("ERROR");
        command.arg(source).arg(bootstrap_servers).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("java can be started");
        let commands = child.stdin.take().expect("stdin is piped");
        let responses = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Self(Mutex::new(Process { _child: child, commands, responses }))
    }

    /// Creates a topic with `min.insync.replicas=2` whose partitions have these replicas, the leader first.
    ///
    /// # Panics
    /// When the cluster refuses.
    pub fn create(&self, topic: &str, replicas: &[Vec<usize>]) {
        let nodes = |of: &Vec<usize>| of.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        self.request(&format!("create {topic} {}", replicas.iter().map(nodes).collect::<Vec<_>>().join(" ")));
    }

    /// The partitions of a topic, in order.
    ///
    /// # Panics
    /// When no node responds.
    #[must_use]
    pub fn describe(&self, topic: &str) -> Vec<Partition> {
        partitions(&self.request(&format!("describe {topic}")))
    }

    /// Moves the leader of every partition: by a reassignment without it, and another that makes it a replica again.
    ///
    /// # Panics
    /// When the cluster refuses.
    #[must_use]
    pub fn move_leaders(&self, topic: &str) -> Vec<Partition> {
        partitions(&self.request(&format!("move {topic}")))
    }

    /// The id of the node that is the active controller.
    ///
    /// # Panics
    /// When no node responds.
    #[must_use]
    pub fn controller(&self) -> usize {
        self.request("controller").parse().expect("a node id")
    }

    /// Waits until `replicas` replicas of every partition are in sync, as reported by a node with current metadata: a node that was
    /// frozen, or has just started, reports older metadata at first. Returns the partitions.
    ///
    /// # Panics
    /// When that takes more than two minutes.
    pub fn await_in_sync(&self, topic: &str, replicas: usize) -> Vec<Partition> {
        static MARKS: AtomicUsize = AtomicUsize::new(0);
        let deadline = Instant::now() + HEAL_LIMIT;
        let mark = self.request(&format!("mark {topic}-mark-{}", MARKS.fetch_add(1, Ordering::Relaxed)));
        loop {
            // A node that does not know the mark yet responds with a failure.
            let response = self.exchange(&format!("describe-since {topic} {mark}"));
            let known = (!response.starts_with("failed")).then(|| partitions(&response));
            if let Some(healthy) = known.filter(|p| p.iter().all(|p| p.leader.is_some() && p.in_sync == replicas)) {
                return healthy;
            }
            assert!(Instant::now() < deadline, "{topic} does not heal: {response}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn request(&self, command: &str) -> String {
        let response = self.exchange(command);
        assert!(!response.starts_with("failed"), "{command}: {response}");
        response
    }

    fn exchange(&self, command: &str) -> String {
        let mut process = self.0.lock().expect("no command panics");
        writeln!(process.commands, "{command}").expect("the overseer listens");
        let mut response = String::new();
        process.responses.read_line(&mut response).expect("the overseer responds");
        assert!(!response.is_empty(), "the overseer ended");
        response.trim().to_owned()
    }
}

/// `1:1,2,3 -1:2` is a partition led by node 1 with three replicas in sync, and one without a leader.
fn partitions(response: &str) -> Vec<Partition> {
    response
        .split(' ')
        .map(|partition| parse(partition).unwrap_or_else(|| panic!("no partitions: {response:?}")))
        .collect()
}

fn parse(partition: &str) -> Option<Partition> {
    let (leader, in_sync) = partition.split_once(':')?;
    let leader: i32 = leader.parse().ok()?;
    Some(Partition { leader: usize::try_from(leader).ok(), in_sync: in_sync.split(',').count() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_is_parsed_to_partitions() {
        let expected = [Partition { leader: Some(1), in_sync: 3 }, Partition { leader: None, in_sync: 1 }];
        assert_eq!(partitions("1:1,2,3 -1:2"), expected);
    }
}
