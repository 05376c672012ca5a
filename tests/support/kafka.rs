//! A real Apache Kafka in KRaft mode: one or several nodes on loopback, each of them broker and controller.
//!
//! In: the number of nodes, and broker settings that override those below. Out: a cluster that responds. Its nodes can
//! be stopped, killed, frozen and restarted on the same ports, and can be reached through proxies that cut connections.
//! `kafka/node.sh` ends it with the process that started it, however that process ends, so it may be in a static.
//! Deliberately absent: containers.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{self, Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{java, ports, proxy::Proxy};

/// The time limit of a start, which takes about four seconds on an idle core.
const START_LIMIT: Duration = Duration::from_secs(120);

/// The log line of a broker that has left the fenced state and serves requests.
const READY: &str = "Kafka Server started";

/// A cluster of real brokers.
#[derive(Debug)]
pub struct RealKafka {
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    folder: PathBuf,
    port: u16,
    /// By protocol, such as SASL_PLAINTEXT.
    secured: Vec<(&'static str, u16)>,
    proxy: Option<Proxy>,
    keeper: Mutex<Keeper>,
}

/// The ports of a node.
#[derive(Debug)]
struct Ports {
    client: u16,
    controller: u16,
    secured: Vec<(&'static str, u16)>,
    /// The port for connections from the proxy, and the proxy.
    behind: Option<(u16, Proxy)>,
}

/// The process that starts, stops and freezes a broker on command.
#[derive(Debug)]
struct Keeper {
    process: Child,
    /// `None` once the broker must end.
    orders: Option<ChildStdin>,
    responses: BufReader<ChildStdout>,
}

impl RealKafka {
    /// Starts `nodes` brokers and waits until all of them serve. `settings` are lines of a `server.properties`.
    ///
    /// # Panics
    /// When a broker does not start, with the end of its log.
    #[must_use]
    pub fn start(nodes: usize, settings: &[(&str, &str)]) -> Self {
        let kafka = Self::prepare(nodes, settings);
        kafka.start_all();
        kafka
    }

    /// As [`start`](Self::start), with a [`Proxy`] before each broker. A client that bootstraps with
    /// [`proxied_servers`](Self::proxied_servers) receives only the proxies' addresses; brokers connect to each other directly.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_proxies(nodes: usize, settings: &[(&str, &str)]) -> Self {
        Self::start_behind(Proxy::start, nodes, settings)
    }

    /// As [`start_with_proxies`](Self::start_with_proxies), where `settings` give the listener `PROXIED` a protocol that the proxies cannot read.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_opaque_proxies(nodes: usize, settings: &[(&str, &str)]) -> Self {
        Self::start_behind(Proxy::start_opaque, nodes, settings)
    }

    fn start_behind(proxy: fn(u16) -> Proxy, nodes: usize, settings: &[(&str, &str)]) -> Self {
        let ports = (0..nodes).map(|_| {
            let port = ports::free();
            Ports { behind: Some((port, proxy(port))), ..Ports::choose() }
        });
        let kafka = Self::format(ports.collect(), &[], settings);
        kafka.start_all();
        kafka
    }

    /// Starts a broker that listens for these protocols as well, such as `SASL_PLAINTEXT`. The `users` are those of SCRAM, as
    /// `SCRAM-SHA-256=[name=alice,password=secret]`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_secured(protocols: &[&'static str], users: &[&str], settings: &[(&str, &str)]) -> Self {
        let secured = protocols.iter().map(|protocol| (*protocol, ports::free())).collect();
        let kafka = Self::format(vec![Ports { secured, ..Ports::choose() }], users, settings);
        kafka.start_all();
        kafka
    }

    /// `host:port` of the first broker's listener for this protocol.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn secured_server(&self, protocol: &str) -> String {
        let port = self.nodes[0].secured.iter().find(|(of, _)| *of == protocol).expect("a listener of this protocol").1;
        format!("127.0.0.1:{port}")
    }

    /// Chooses ports and formats the folders of `nodes` brokers, without starting any.
    ///
    /// # Panics
    /// When Kafka's `StorageTool` refuses.
    #[must_use]
    pub fn prepare(nodes: usize, settings: &[(&str, &str)]) -> Self {
        Self::format((0..nodes).map(|_| Ports::choose()).collect(), &[], settings)
    }

    fn format(ports: Vec<Ports>, users: &[&str], settings: &[(&str, &str)]) -> Self {
        let folders = thread::scope(|scope| {
            let format = |id| Node::format(id, &ports, users, settings);
            let formats: Vec<_> = (1..=ports.len()).map(|id| scope.spawn(move || format(id))).collect();
            formats.into_iter().map(|folder| folder.join().expect("a node can be prepared")).collect::<Vec<_>>()
        });
        Self { nodes: folders.into_iter().zip(ports).map(|(folder, ports)| Node::new(folder, ports)).collect() }
    }

    /// `host:port,host:port`.
    #[must_use]
    pub fn bootstrap_servers(&self) -> String {
        self.nodes.iter().map(|n| format!("127.0.0.1:{}", n.port)).collect::<Vec<_>>().join(",")
    }

    /// `host:port,host:port` of the proxies.
    ///
    /// # Panics
    /// When the cluster has none.
    #[must_use]
    pub fn proxied_servers(&self) -> String {
        self.proxies().map(|proxy| proxy.address().to_string()).collect::<Vec<_>>().join(",")
    }

    /// The proxy before each node.
    ///
    /// # Panics
    /// When the cluster has none.
    pub fn proxies(&self) -> impl Iterator<Item = &Proxy> {
        self.nodes.iter().map(|node| node.proxy.as_ref().expect("the cluster was started with proxies"))
    }

    /// How many nodes there are, running or not.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes.len()
    }

    /// Starts every node and waits until all of them serve; they need each other for a quorum.
    pub fn start_all(&self) {
        self.nodes.iter().for_each(Node::launch);
        self.nodes.iter().for_each(Node::await_ready);
    }

    /// Starts node `index` (from 0) on the port it had and waits until it serves.
    pub fn start_node(&self, index: usize) {
        self.nodes[index].launch();
        self.nodes[index].await_ready();
    }

    /// Shuts down node `index` and waits until it has ended; after 30 seconds it is killed.
    pub fn stop_node(&self, index: usize) {
        self.nodes[index].order("stop");
    }

    /// Kills node `index` as a power failure of its process would (SIGKILL).
    pub fn kill_node(&self, index: usize) {
        self.nodes[index].order("kill");
    }

    /// Freezes node `index` (SIGSTOP): its connections stay open, and it does not respond.
    pub fn freeze_node(&self, index: usize) {
        self.nodes[index].order("freeze");
    }

    /// Continues a frozen node (SIGCONT).
    pub fn thaw_node(&self, index: usize) {
        self.nodes[index].order("thaw");
    }

    /// The log segments of `topic` on node `index`, by partition.
    #[must_use]
    pub fn segments(&self, index: usize, topic: &str) -> Vec<PathBuf> {
        let mut segments: Vec<_> = files_in(&self.nodes[index].folder.join("data"))
            .filter(|folder| partition_of(folder, topic).is_some())
            .flat_map(|folder| files_in(&folder).collect::<Vec<_>>())
            .filter(|file| file.extension().is_some_and(|e| e == "log"))
            .collect();
        segments.sort();
        segments
    }
}

fn files_in(folder: &Path) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn partition_of(folder: &Path, topic: &str) -> Option<u32> {
    folder.file_name()?.to_str()?.strip_prefix(topic)?.strip_prefix('-')?.parse().ok()
}

impl Node {
    /// Formats the folder of node `id`, which holds its settings and will hold its log.
    fn format(id: usize, ports: &[Ports], users: &[&str], settings: &[(&str, &str)]) -> PathBuf {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let run = RUNS.fetch_add(1, Ordering::Relaxed);
        let folder = java::cache().join("runs").join(format!("{}-{run}", process::id()));
        fs::create_dir_all(&folder).expect("the cache folder is writable");
        let properties = Self::properties(&folder);
        fs::write(&properties, server_properties(id, ports, &folder, settings)).expect("the folder is writable");
        let properties = properties.to_str().expect("a UTF-8 path");
        let users = users.iter().flat_map(|user| ["--add-scram", user]);
        let arguments = ["-t", "milenaTestCluster0000w", "-c", properties].into_iter().chain(users);
        java::format_storage(&arguments.collect::<Vec<_>>());
        folder
    }

    fn new(folder: PathBuf, ports: Ports) -> Self {
        let keeper = Mutex::new(Keeper::new(&folder, &Self::properties(&folder)));
        let Ports { client, secured, behind, .. } = ports;
        Self { folder, port: client, secured, proxy: behind.map(|(_, proxy)| proxy), keeper }
    }

    fn properties(folder: &Path) -> PathBuf {
        folder.join("server.properties")
    }

    fn order(&self, word: &str) {
        self.keeper.lock().expect("no order panics").order(word);
    }

    fn launch(&self) {
        fs::remove_file(self.folder.join("log")).ok();
        self.order("start");
    }

    fn await_ready(&self) {
        let deadline = Instant::now() + START_LIMIT;
        while !self.log().contains(READY) {
            let failed = self.log().contains("Exiting Kafka") || Instant::now() > deadline;
            assert!(!failed, "Kafka did not start in {}:\n{}", self.folder.display(), tail(&self.log()));
            thread::sleep(Duration::from_millis(50));
        }
        TcpStream::connect(("127.0.0.1", self.port)).expect("a broker that serves can be reached");
    }

    fn log(&self) -> String {
        fs::read(self.folder.join("log")).map_or_else(|_| String::new(), |b| String::from_utf8_lossy(&b).into_owned())
    }
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}

impl Keeper {
    fn new(folder: &Path, properties: &Path) -> Self {
        let broker = java::java_of_brokers("INFO");
        let mut command = Command::new("sh");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("kafka/node.sh")).arg(folder);
        command.arg(broker.get_program()).args(broker.get_args()).args(allowed(properties));
        command.arg("kafka.Kafka").arg(properties);
        // A separate process group: an interrupt at the terminal must not end the keeper before it has cleaned up.
        command.process_group(0);
        let mut process = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sh can be started");
        let orders = process.stdin.take();
        let responses = BufReader::new(process.stdout.take().expect("stdout is piped"));
        Self { process, orders, responses }
    }

    fn order(&mut self, word: &str) {
        let mut response = String::new();
        let orders = self.orders.as_mut().expect("a keeper takes orders until it is dropped");
        writeln!(orders, "{word}").expect("the keeper listens");
        self.responses.read_line(&mut response).expect("the keeper responds");
        assert_eq!(response, "ok\n", "the keeper of a broker did not carry out {word}");
    }
}

/// Since Kafka 4.0 a property of the virtual machine has to name each URL that tokens or their keys come from.
fn allowed(properties: &Path) -> Option<String> {
    let settings = fs::read_to_string(properties).expect("the settings were written");
    let url = settings.lines().find_map(|line| line.strip_prefix("sasl.oauthbearer.jwks.endpoint.url="))?;
    Some(format!("-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}"))
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.orders = None;
        self.process.wait().ok();
    }
}

impl Ports {
    /// Free ports, without a proxy.
    fn choose() -> Self {
        Self { client: ports::free(), controller: ports::free(), secured: Vec::new(), behind: None }
    }

    /// The listeners, and what they are advertised as.
    fn listeners(&self) -> (String, String) {
        let secured = self.secured.iter().map(|(protocol, port)| format!(",{protocol}://127.0.0.1:{port}"));
        let direct = format!("PLAINTEXT://127.0.0.1:{}{}", self.client, secured.collect::<String>());
        let listeners = format!("{direct},CONTROLLER://127.0.0.1:{}", self.controller);
        match &self.behind {
            Some((port, proxy)) => {
                (format!("{listeners},PROXIED://127.0.0.1:{port}"), format!("{direct},PROXIED://{}", proxy.address()))
            }
            None => (listeners, direct),
        }
    }
}

fn server_properties(id: usize, ports: &[Ports], folder: &Path, settings: &[(&str, &str)]) -> String {
    let (listeners, advertised) = ports[id - 1].listeners();
    let voters: Vec<_> = ports.iter().zip(1..).map(|(p, id)| format!("{id}@127.0.0.1:{}", p.controller)).collect();
    let replicas = ports.len().min(3).to_string();
    let mut lines = vec![
        format!("node.id={id}"),
        "process.roles=broker,controller".to_owned(),
        format!("controller.quorum.voters={}", voters.join(",")),
        format!("listeners={listeners}"),
        format!("advertised.listeners={advertised}"),
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED:PLAINTEXT,SSL:SSL,\
         SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL"
            .to_owned(),
        "controller.listener.names=CONTROLLER".to_owned(),
        format!("log.dirs={}", folder.join("data").display()),
        format!("offsets.topic.replication.factor={replicas}"),
        "offsets.topic.num.partitions=1".to_owned(),
        // The console consumer is the only member of its group, so there is no other to wait for.
        "group.initial.rebalance.delay.ms=0".to_owned(),
    ];
    lines.extend(settings.iter().map(|(name, value)| format!("{name}={value}")));
    lines.join("\n")
}
