//! The plan of one run, drawn from its seed.
//!
//! In: a seed. Out: a cluster, a producer's settings, tasks that send, and faults with the times at which they strike.
//! Pure. The probability of each kind of fault is drawn for each seed, so some runs have one kind only and some have
//! all. Every fault and every task has its own seed, so removing one leaves the rest of a plan unchanged. That is
//! how a failing plan is made smaller.

use std::{collections::BTreeMap, fmt};

use crate::sender::Chance;

/// All topics. A plan has the first few.
pub(crate) const TOPICS: [&str; 3] = ["orders", "payments", "audit"];

/// The kinds of faults, which reports count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// The connection breaks before any byte of a request was sent.
    CutBefore,
    /// The connection breaks a while after the first part of a request was sent.
    CutWithin,
    /// The connection breaks after a request was sent completely. The broker receives it.
    CutAfter,
    /// The connection breaks after a request was written completely. The broker never receives it.
    RequestLost,
    /// The broker handles a request, and the connection breaks before the response arrives.
    AnswerLost,
    /// The connection becomes silent. Requests arrive late, perhaps after the client has closed the connection.
    HalfOpen,
    /// Both directions of a connection become slow.
    Slow,
    /// A leader moves, and the old one names the new one.
    MoveWithHint,
    /// A leader moves, and the old one does not name the new one.
    MoveSilently,
    /// A node stops and starts again a while later.
    Restart,
    /// A node holds every request for a while.
    Pause,
    /// The response to a Produce request has an error, and nothing is appended.
    Error,
    /// A Produce request is appended, and its response has an error.
    ErrorAfterAppend,
    /// The response to a Metadata request has an error for its topics.
    MetadataError,
    /// The response to an InitProducerId request has an error.
    IdentityError,
    /// The response to an ApiVersions request has an error.
    VersionsError,
    /// A broker responds that a newer producer has the same identity. The producer must stop.
    Fenced,
    /// A broker throttles: it responds, and then reads nothing of the connection for a while (KIP-219).
    Throttle,
    /// A broker sends bytes that are no response.
    Garbage,
    /// Too few replicas are in sync.
    FewReplicas,
    /// The brokers lose their producer state.
    Forget,
    /// The end of a log is lost.
    Truncate,
    /// A topic is deleted, and a while later created again, perhaps with another number of partitions.
    Recreate,
    /// The wall clock jumps.
    ClockJump,
    /// One Metadata response is false. Those before and after it are correct.
    Lie,
    /// Brokers return at another address. Only the name in `bootstrap.servers` leads there.
    Move,
    /// The process that the producer runs in is stopped for a while.
    Stop,
    /// The brokers have another password for the producer for a while; or the source of tokens gives none, or some that no broker accepts.
    KeepOut,
    /// The brokers end the sessions of all connections before their time. The next request of each is not served.
    EndSessions,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 29] = [
        Self::CutBefore,
        Self::CutWithin,
        Self::CutAfter,
        Self::RequestLost,
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
        Self::VersionsError,
        Self::Fenced,
        Self::Throttle,
        Self::Garbage,
        Self::FewReplicas,
        Self::Forget,
        Self::Truncate,
        Self::Recreate,
        Self::ClockJump,
        Self::Lie,
        Self::Move,
        Self::Stop,
        Self::KeepOut,
        Self::EndSessions,
    ];

    /// Faults of a single request or connection. All others strike the cluster at a planned time.
    pub(crate) fn is_of_the_network(self) -> bool {
        use Kind::{AnswerLost, CutAfter, CutBefore, CutWithin, HalfOpen, RequestLost, Slow};
        matches!(self, CutBefore | CutWithin | CutAfter | RequestLost | AnswerLost | HalfOpen | Slow)
    }

    /// Faults of a cluster that wants to know who the producer is.
    fn is_of_sasl(self) -> bool {
        matches!(self, Self::KeepOut | Self::EndSessions)
    }

    /// One of this many seeds has the fault. Faults that only brokers can be blamed for, and faults that end a
    /// producer, are rarer, because they weaken the checks.
    fn rarity(self) -> usize {
        match self {
            Self::Forget | Self::Truncate | Self::Fenced => 24,
            Self::Recreate | Self::Move | Self::Stop => 6,
            _ => 3,
        }
    }
}

/// A fault of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fault {
    /// When it strikes, in milliseconds from the start.
    pub(crate) at_ms: u64,
    pub(crate) kind: Kind,
    /// The seed of its details.
    pub(crate) seed: u64,
}

/// The requests that are struck by a network fault.
#[derive(Clone, Debug)]
pub(crate) enum Network {
    /// How many of a thousand requests, by kind.
    ByChance(Vec<(Kind, u64)>),
    /// The requests with these numbers, counted from 0.
    Exactly(BTreeMap<u64, Kind>),
}

/// How a run ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// All faults end, and every record is completed.
    Heal,
    /// The producer is closed, and delivers its records. All faults end.
    Leave,
    /// The producer is closed in the middle, with a time limit.
    Close,
    /// The producer is dropped in the middle.
    Drop,
}

/// The plan of a run.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// The seed of chance during the run.
    pub(crate) seed: u64,
    pub(crate) nodes: usize,
    /// How many partitions each topic has.
    pub(crate) topics: Vec<usize>,
    /// Java property names and values.
    pub(crate) properties: Vec<(&'static str, String)>,
    pub(crate) idempotent: bool,
    pub(crate) acks_0: bool,
    pub(crate) max_message_bytes: usize,
    /// If the brokers want to know who the producer is, how long it may be known for, in milliseconds; 0 is for ever.
    pub(crate) session_ms: Option<u64>,
    /// If the producer says who it is by tokens, how long each is valid, in seconds.
    pub(crate) token_life_s: Option<u64>,
    /// How many silent addresses each name has before the true one.
    pub(crate) silent_addresses: usize,
    pub(crate) tasks: u32,
    pub(crate) records_per_task: u32,
    pub(crate) largest_record: usize,
    /// Whether each record has a callback.
    pub(crate) callbacks: bool,
    /// When the producer is flushed, in milliseconds.
    pub(crate) flushes: Vec<u64>,
    /// The longest pause between two records of a task, in microseconds.
    pub(crate) pause_us: u64,
    /// The longest one-way delay, in microseconds.
    pub(crate) delay_us: u64,
    pub(crate) network: Network,
    pub(crate) faults: Vec<Fault>,
    pub(crate) ending: Ending,
    /// When a producer ends that does not run to the end, in milliseconds.
    pub(crate) ends_ms: u64,
}

impl Plan {
    /// Draws the plan of a seed. `control` removes idempotence and nothing else.
    pub(crate) fn draw(seed: u64, control: bool) -> Self {
        let chance = &mut Chance::new(seed);
        let nodes = 1 + chance.below(5);
        let mut one_of = |choices: &[u64]| choices[chance.below(choices.len())];
        let acks = ["all", "all", "all", "all", "1", "0"][one_of(&[0, 1, 2, 3, 4, 5]) as usize];
        let idempotent = acks == "all" && one_of(&[0, 1, 1, 1]) == 1;
        let delivery_ms = one_of(&[3_000, 10_000, 30_000, 120_000]);
        let request_ms = one_of(&[300, 1_000, 2_500]);
        let setup_ms = one_of(&[300, 1_000, 10_000]);
        let batch = one_of(&[1, 100, 300, 1_000, 16_384, 16_384]);
        let memory = one_of(&[4_000, 20_000, 1_000_000, 33_554_432]);
        let mut properties = vec![
            ("acks", acks.to_owned()),
            ("enable.idempotence", (idempotent && !control).to_string()),
            ("linger.ms", one_of(&[0, 0, 1, 5, 50]).to_string()),
            ("batch.size", batch.to_string()),
            ("buffer.memory", memory.to_string()),
            ("max.request.size", one_of(&[2_500, 10_000, 1_048_576]).to_string()),
            ("max.in.flight.requests.per.connection", one_of(&[1, 2, 5, 5]).to_string()),
            ("delivery.timeout.ms", delivery_ms.to_string()),
            ("request.timeout.ms", request_ms.to_string()),
            ("max.block.ms", one_of(&[1_000, 10_000, 60_000]).to_string()),
            ("retry.backoff.ms", one_of(&[5, 50, 100]).to_string()),
            ("retry.backoff.max.ms", one_of(&[200, 1_000]).to_string()),
            ("socket.connection.setup.timeout.ms", setup_ms.to_string()),
            ("socket.connection.setup.timeout.max.ms", (3 * setup_ms).to_string()),
            ("reconnect.backoff.max.ms", one_of(&[50, 1_000]).to_string()),
            ("metadata.max.age.ms", one_of(&[500, 10_000, 300_000]).to_string()),
            ("metadata.max.idle.ms", one_of(&[5_000, 300_000]).to_string()),
            ("connections.max.idle.ms", one_of(&[700, 540_000]).to_string()),
            ("metadata.recovery.rebootstrap.trigger.ms", one_of(&[1_500, 300_000]).to_string()),
            ("compression.type", ["none", "none", "lz4", "snappy"][(seed % 4) as usize].to_owned()),
        ];
        let topics: &[usize] = [&[1][..], &[1], &[2], &[3], &[8], &[1, 1], &[2, 3], &[1, 4, 2]]
            [one_of(&[0, 1, 2, 3, 4, 5, 6, 7]) as usize];
        let (tasks, records_per_task) = (one_of(&[1, 1, 2, 4]) as u32, one_of(&[3, 10, 25, 60]) as u32);
        let largest_record = one_of(&[1, 40, 200, 700]) as usize;
        // Less than some records; more than any record, and less than a batch; more than a batch.
        let few = [600, largest_record + 150, 1_048_588, 1_048_588, 1_048_588];
        let max_message_bytes = few[one_of(&[0, 1, 2, 3, 4]) as usize];
        let (pause_us, delay_us) = (one_of(&[1, 300, 5_000, 50_000]), one_of(&[50, 500, 5_000, 40_000]));
        let endings = [Ending::Heal, Ending::Leave, Ending::Close, Ending::Drop];
        let ending = endings[one_of(&[0, 0, 0, 0, 0, 0, 0, 1, 2, 3]) as usize];
        let ends_ms = one_of(&[1, 20, 200, 2_000]);
        let callbacks = one_of(&[0, 1]) == 1;
        let flushes = (0..one_of(&[0, 0, 1, 3])).map(|_| one_of(&[0, 3, 30, 300, 3_000])).collect();
        let (network, mut faults) = faults(chance);
        let seed_of_run = chance.next();
        // Drawn separately, so that older seeds keep the rest of their plans.
        let session_ms = session(&mut Chance::new(seed.rotate_left(17)), &mut faults);
        let token_life_s = token_life(&mut Chance::new(seed.rotate_left(29)), session_ms);
        if token_life_s.is_some() {
            // Brokers judge tokens by the wall clock.
            faults.retain(|fault| fault.kind != Kind::ClockJump);
        }
        properties.extend(login(token_life_s).filter(|_| session_ms.is_some()));
        Self {
            seed: seed_of_run,
            nodes,
            topics: topics.to_vec(),
            properties,
            idempotent: idempotent && !control,
            acks_0: acks == "0",
            max_message_bytes,
            session_ms,
            token_life_s,
            // Drawn separately, so that older seeds keep the rest of their plans.
            silent_addresses: [0, 0, 0, 0, 0, 0, 1, 2][Chance::new(!seed).below(8)],
            tasks,
            records_per_task,
            largest_record,
            callbacks,
            flushes,
            pause_us,
            delay_us,
            network,
            faults,
            ending,
            ends_ms,
        }
    }
}

/// Who the producer is, and its password.
pub(crate) const USER: (&str, &str) = ("milena", "secret");

/// How the producer says who it is.
fn login(token_life_s: Option<u64>) -> impl Iterator<Item = (&'static str, String)> {
    let tokens = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.oauthbearer.token.endpoint.url", "file:///never/read"),
    ];
    let tokens = tokens.into_iter().filter(move |_| token_life_s.is_some());
    let tokens = tokens.map(|(name, value)| (name, value.to_owned()));
    tokens.chain(credentials().filter(move |_| token_life_s.is_none()))
}

/// Of two producers that say who they are, one does so by tokens.
fn token_life(chance: &mut Chance, session_ms: Option<u64>) -> Option<u64> {
    let has_tokens = cfg!(feature = "oauth") && session_ms.is_some() && chance.below(2) == 0;
    has_tokens.then(|| [3, 5, 20, 3_600][chance.below(4)])
}

/// By PLAIN: SCRAM differs by one more message, and takes milliseconds of hashing.
pub(crate) fn credentials() -> impl Iterator<Item = (&'static str, String)> {
    let (user, password) = USER;
    let settings = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "PLAIN"),
        ("sasl.username", user),
        ("sasl.password", password),
    ];
    settings.into_iter().map(|(name, value)| (name, value.to_owned()))
}

/// Whether the brokers want to know who the producer is, and for how long they then know. Adds faults of that kind.
fn session(chance: &mut Chance, faults: &mut Vec<Fault>) -> Option<u64> {
    if chance.below(4) != 0 {
        return None;
    }
    let span_ms = [300, 2_000, 8_000][chance.below(3)];
    for kind in Kind::ALL.into_iter().filter(|kind| kind.is_of_sasl()) {
        let times = [0, 0, 1, 3][chance.below(4)];
        let fault = |_| Fault { at_ms: chance.below(span_ms) as u64, kind, seed: chance.next() };
        faults.extend((0..times).map(fault));
    }
    faults.sort();
    Some([0, 1_200, 1_500, 10_000][chance.below(4)])
}

/// Some kinds of faults, with random probabilities. Some runs have none, to find faults of the producer alone.
fn faults(chance: &mut Chance) -> (Network, Vec<Fault>) {
    if chance.below(8) == 0 {
        return (Network::ByChance(Vec::new()), Vec::new());
    }
    let span_ms = [50, 300, 2_000, 8_000][chance.below(4)];
    let (mut network, mut cluster) = (Vec::new(), Vec::new());
    let density = [1, 3, 6][chance.below(3)];
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_of_sasl()) {
        if chance.below(kind.rarity()) != 0 {
            continue;
        }
        if kind.is_of_the_network() {
            network.push((kind, 10 + chance.below(190) as u64));
        } else {
            let times = 1 + chance.below(density);
            let fault = |_| Fault { at_ms: chance.below(span_ms) as u64, kind, seed: chance.next() };
            cluster.extend((0..times).map(fault));
        }
    }
    cluster.sort();
    (Network::ByChance(network), cluster)
}

impl Plan {
    /// The value of a property, in milliseconds or bytes.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.properties.iter().find(|(known, _)| *known == name)?.1.parse().ok()
    }

    pub(crate) fn has(&self, kind: Kind) -> bool {
        self.faults.iter().any(|fault| fault.kind == kind)
    }
}

impl fmt::Display for Plan {
    /// For a person who looks for the cause of a failure.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} nodes, topics of {:?} partitions", self.nodes, self.topics)?;
        let settings: Vec<String> = self.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let (limit, silent) = (self.max_message_bytes, self.silent_addresses);
        writeln!(f, "{}, max.message.bytes={limit}, {silent} silent addresses", settings.join(", "))?;
        let (tasks, records, bytes) = (self.tasks, self.records_per_task, self.largest_record);
        writeln!(
            f,
            "{tasks} tasks send {records} records each, of up to {bytes} bytes, up to {} us apart",
            self.pause_us
        )?;
        if let Some(session_ms) = self.session_ms {
            writeln!(f, "brokers want SASL, sessions last for {session_ms} ms, tokens for {:?} s", self.token_life_s)?;
        }
        writeln!(f, "flushes at {:?} ms; {:?} at {} ms", self.flushes, self.ending, self.ends_ms)?;
        match &self.network {
            Network::ByChance(rates) => writeln!(f, "of a thousand requests meet: {rates:?}")?,
            Network::Exactly(met) => met.iter().try_for_each(|(n, kind)| writeln!(f, "request {n} meets {kind:?}"))?,
        }
        self.faults
            .iter()
            .try_for_each(|fault| writeln!(f, "at {} ms {:?} ({:x})", fault.at_ms, fault.kind, fault.seed))
    }
}
