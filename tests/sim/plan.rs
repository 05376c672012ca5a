//! What one run is made of, all of it drawn from the seed.
//!
//! In: a seed. Out: a cluster, a producer's settings, tasks that send, and faults with the times at which they strike.
//! Pure. How likely each kind of fault is, is itself drawn for each seed, so that some runs have one kind only and some
//! have them all.

use std::collections::BTreeMap;

use crate::sender::Chance;

/// What can go wrong, and how it is counted in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The connection breaks before a request went out whole.
    CutBefore,
    /// The connection breaks when a request went out whole; the broker gets it.
    CutAfter,
    /// The broker handles a request, and the connection breaks before the answer arrives.
    AnswerLost,
    /// The connection goes silent; what the client sent arrives, late, perhaps when the client has gone.
    HalfOpen,
    /// Both directions of a connection become slow.
    Slow,
    /// A leader moves and the old one tells where.
    MoveWithHint,
    /// A leader moves and nobody tells.
    MoveSilently,
    /// A node stops and starts again a while later.
    Restart,
    /// A node holds every request for a while.
    Pause,
    /// A Produce request is answered with an error and nothing is appended.
    Error,
    /// A Produce request is appended and answered with an error.
    ErrorAfterAppend,
    /// A metadata request is answered with an error for its topics.
    MetadataError,
    /// A request for a producer id is answered with an error.
    IdentityError,
    /// A broker asks to be left alone for a while.
    Throttle,
    /// A broker answers with something that is no answer.
    Garbage,
    /// Too few replicas are in sync.
    FewReplicas,
    /// The brokers forget what they know of producers.
    Forget,
    /// The end of a log is lost.
    Truncate,
    /// The wall clock jumps.
    ClockJump,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 19] = [
        Self::CutBefore,
        Self::CutAfter,
        Self::AnswerLost,
        Self::HalfOpen,
        Self::Slow,
        Self::MoveWithHint,
        Self::MoveSilently,
        Self::Restart,
        Self::Pause,
        Self::Error,
        Self::ErrorAfterAppend,
        Self::MetadataError,
        Self::IdentityError,
        Self::Throttle,
        Self::Garbage,
        Self::FewReplicas,
        Self::Forget,
        Self::Truncate,
        Self::ClockJump,
    ];

    /// Faults of a single request or connection; the others strike the cluster at a time of their own.
    pub(crate) fn is_of_the_network(self) -> bool {
        matches!(self, Self::CutBefore | Self::CutAfter | Self::AnswerLost | Self::HalfOpen | Self::Slow)
    }
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Everything heals, and every record gets its outcome.
    Heal,
    /// The producer is closed by force in the middle.
    Close,
    /// The producer is dropped in the middle.
    Drop,
}

/// Everything that a run is made of.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) nodes: usize,
    pub(crate) partitions: usize,
    /// Java names and values.
    pub(crate) properties: Vec<(&'static str, String)>,
    pub(crate) idempotent: bool,
    pub(crate) acks_0: bool,
    pub(crate) max_message_bytes: usize,
    pub(crate) tasks: u32,
    pub(crate) records_per_task: u32,
    pub(crate) largest_record: usize,
    /// Between two records of a task, in microseconds, at most.
    pub(crate) pause_us: u64,
    /// One-way delay, in microseconds, at most.
    pub(crate) delay_us: u64,
    /// Of a thousand requests, how many meet a fault of the network, by kind.
    pub(crate) network: BTreeMap<Kind, u64>,
    /// Faults of the cluster: when, in milliseconds from the start, and which.
    pub(crate) faults: Vec<(u64, Kind)>,
    pub(crate) ending: Ending,
    /// When a run that does not heal ends, in milliseconds.
    pub(crate) ends_ms: u64,
}

impl Plan {
    /// The plan of a seed. `control` takes idempotence away and nothing else.
    pub(crate) fn draw(chance: &mut Chance, control: bool) -> Self {
        let nodes = 1 + chance.below(5);
        let mut one_of = |choices: &[u64]| choices[chance.below(choices.len())];
        let acks = ["all", "all", "all", "all", "1", "0"][one_of(&[0, 1, 2, 3, 4, 5]) as usize];
        let idempotent = acks == "all" && one_of(&[0, 1, 1, 1]) == 1;
        let delivery_ms = one_of(&[3_000, 10_000, 30_000, 120_000]);
        let request_ms = one_of(&[300, 1_000, 2_500]);
        let batch = one_of(&[1, 100, 300, 1_000, 16_384]);
        let memory = one_of(&[4_000, 20_000, 1_000_000, 33_554_432]);
        let properties = vec![
            ("acks", acks.to_owned()),
            ("enable.idempotence", (idempotent && !control).to_string()),
            ("linger.ms", one_of(&[0, 0, 1, 5, 50]).to_string()),
            ("batch.size", batch.to_string()),
            ("buffer.memory", memory.to_string()),
            ("max.request.size", one_of(&[2_500, 10_000, 1_048_576]).to_string()),
            ("max.in.flight.requests.per.connection", one_of(&[1, 2, 5, 5]).to_string()),
            ("delivery.timeout.ms", delivery_ms.to_string()),
            ("request.timeout.ms", request_ms.to_string()),
            ("retry.backoff.ms", one_of(&[5, 50, 100]).to_string()),
            ("reconnect.backoff.max.ms", one_of(&[50, 1_000]).to_string()),
            ("metadata.max.age.ms", one_of(&[500, 10_000, 300_000]).to_string()),
            ("connections.max.idle.ms", one_of(&[700, 540_000]).to_string()),
            ("metadata.recovery.rebootstrap.trigger.ms", one_of(&[1_500, 300_000]).to_string()),
        ];
        let partitions = one_of(&[1, 1, 2, 3, 8]) as usize;
        let (tasks, records_per_task) = (one_of(&[1, 1, 2, 4]) as u32, one_of(&[3, 10, 25, 60]) as u32);
        let max_message_bytes = one_of(&[600, 1_048_588, 1_048_588, 1_048_588]) as usize;
        let largest_record = one_of(&[1, 40, 200, 700]) as usize;
        let (pause_us, delay_us) = (one_of(&[1, 300, 5_000, 50_000]), one_of(&[50, 500, 5_000, 40_000]));
        let ending = [Ending::Heal, Ending::Close, Ending::Drop][one_of(&[0, 0, 0, 0, 0, 0, 0, 0, 1, 2]) as usize];
        let ends_ms = one_of(&[1, 20, 200, 2_000]);
        let (network, faults) = faults(chance);
        Self {
            nodes,
            partitions,
            properties,
            idempotent: idempotent && !control,
            acks_0: acks == "0",
            max_message_bytes,
            tasks,
            records_per_task,
            largest_record,
            pause_us,
            delay_us,
            network,
            faults,
            ending,
            ends_ms,
        }
    }
}

/// Some kinds, each as likely as chance has it.
fn faults(chance: &mut Chance) -> (BTreeMap<Kind, u64>, Vec<(u64, Kind)>) {
    let span_ms = [50, 300, 2_000, 8_000][chance.below(4)];
    let (mut network, mut cluster) = (BTreeMap::new(), Vec::new());
    let density = [1, 3, 6][chance.below(3)];
    for kind in Kind::ALL {
        // What only brokers can be blamed for is rarer: it weakens what can be checked.
        let rare = matches!(kind, Kind::Forget | Kind::Truncate);
        if chance.below(if rare { 24 } else { 3 }) != 0 {
            continue;
        }
        if kind.is_of_the_network() {
            network.insert(kind, 10 + chance.below(190) as u64);
        } else {
            let times = 1 + chance.below(density);
            cluster.extend((0..times).map(|_| (chance.below(span_ms) as u64, kind)));
        }
    }
    cluster.sort();
    (network, cluster)
}
