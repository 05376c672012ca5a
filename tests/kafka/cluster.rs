//! The two kinds of cluster that every scenario runs against.
//!
//! In: the needs of a scenario. Out: a running cluster and its topics. Most scenarios share one real broker. It starts
//! with the first of them and ends with the process, and each scenario uses its own topics. Embedded brokers start
//! quickly, so each scenario has its own.

use std::{
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use milena::{Producer, ProducerBuilder, admin::Admin, broker::EmbeddedBroker};
use milena_test_support::kafka::RealKafka;
use tokio::task::block_in_place;

/// Which kind of cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Embedded,
    #[cfg_attr(not(feature = "kafka-tests"), expect(dead_code, reason = "only these tests start a real one"))]
    Real,
}

/// The settings of a cluster that a scenario does not share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) nodes: usize,
    pub(crate) auto_create: bool,
}

/// A cluster, running or not.
pub(crate) enum Cluster {
    Embedded(EmbeddedBroker),
    Real(Arc<RealKafka>),
}

/// The partitions of an auto-created topic; more than one, to check that the setting is used.
pub(crate) const DEFAULT_PARTITIONS: usize = 4;

impl Kind {
    /// A running single-node cluster that creates topics on demand, possibly shared with other scenarios.
    pub(crate) async fn shared(self) -> Cluster {
        static SHARED: OnceLock<Arc<RealKafka>> = OnceLock::new();
        let setup = Setup { nodes: 1, auto_create: true };
        match self {
            Self::Embedded => self.own(setup).await,
            Self::Real => {
                let kafka = block_in_place(|| SHARED.get_or_init(|| Arc::new(start_real(setup))));
                Cluster::Real(Arc::clone(kafka))
            }
        }
    }

    /// A running cluster for one scenario alone, which may stop its nodes.
    pub(crate) async fn own(self, setup: Setup) -> Cluster {
        match self {
            Self::Embedded => Cluster::Embedded(start_embedded(setup).await),
            Self::Real => Cluster::Real(Arc::new(block_in_place(|| start_real(setup)))),
        }
    }

    /// A cluster whose addresses are known, but whose nodes have not been started.
    pub(crate) async fn not_started(self, setup: Setup) -> Cluster {
        match self {
            Self::Embedded => {
                let cluster = self.own(setup).await;
                cluster.stop_all().await;
                cluster
            }
            Self::Real => Cluster::Real(Arc::new(block_in_place(|| prepare_real(setup)))),
        }
    }
}

async fn start_embedded(setup: Setup) -> EmbeddedBroker {
    let builder = EmbeddedBroker::builder().nodes(setup.nodes).auto_create(setup.auto_create);
    builder.default_partitions(DEFAULT_PARTITIONS).start().await.expect("the embedded broker starts")
}

fn start_real(setup: Setup) -> RealKafka {
    let kafka = prepare_real(setup);
    kafka.start_all();
    kafka
}

fn prepare_real(setup: Setup) -> RealKafka {
    let (auto_create, partitions) = (setup.auto_create.to_string(), DEFAULT_PARTITIONS.to_string());
    RealKafka::prepare(setup.nodes, &[("auto.create.topics.enable", &auto_create), ("num.partitions", &partitions)])
}

impl Cluster {
    /// `host:port,host:port`.
    pub(crate) fn bootstrap_servers(&self) -> String {
        match self {
            Self::Embedded(broker) => broker.bootstrap_servers(),
            Self::Real(kafka) => kafka.bootstrap_servers(),
        }
    }

    /// A builder for a producer on this cluster, with milena's defaults.
    pub(crate) fn builder(&self) -> ProducerBuilder {
        Producer::builder(&self.bootstrap_servers())
    }

    /// A producer with milena's defaults.
    pub(crate) async fn producer(&self) -> Producer {
        self.builder().build().await.expect("the defaults are valid")
    }

    /// A new topic whose name begins with `name`.
    pub(crate) async fn topic(&self, name: &str, partitions: i32, configs: &[(&str, &str)]) -> String {
        let topic = unique(name);
        self.create(&topic, partitions, configs).await;
        topic
    }

    /// Creates a topic of exactly this name.
    pub(crate) async fn create(&self, topic: &str, partitions: i32, configs: &[(&str, &str)]) {
        let mut admin = self.admin().await;
        admin.create_topic(topic, partitions, 1, configs).await.expect("the topic can be created");
    }

    pub(crate) async fn admin(&self) -> Admin {
        Admin::connect(&self.bootstrap_servers()).await.expect("the cluster responds")
    }

    /// Stops every node. It keeps its port and its log.
    pub(crate) async fn stop_all(&self) {
        match self {
            Self::Embedded(broker) => {
                for node in broker.nodes() {
                    broker.stop_node(node).await;
                }
            }
            Self::Real(kafka) => block_in_place(|| (0..kafka.nodes()).for_each(|node| kafka.stop_node(node))),
        }
    }

    /// Starts every node on its port.
    pub(crate) async fn start_all(&self) {
        match self {
            Self::Embedded(broker) => {
                for node in broker.nodes() {
                    broker.restart_node(node).await.expect("the node starts again");
                }
            }
            Self::Real(kafka) => block_in_place(|| kafka.start_all()),
        }
    }

    /// Freezes every node (SIGSTOP): connections stay open, and no node responds.
    pub(crate) fn freeze(&self) {
        match self {
            Self::Embedded(broker) => broker.nodes().into_iter().try_for_each(|node| broker.pause(node)).unwrap(),
            Self::Real(kafka) => (0..kafka.nodes()).for_each(|node| kafka.freeze_node(node)),
        }
    }

    /// Ends a freeze.
    pub(crate) fn thaw(&self) {
        match self {
            Self::Embedded(broker) => broker.nodes().into_iter().try_for_each(|node| broker.resume(node)).unwrap(),
            Self::Real(kafka) => (0..kafka.nodes()).for_each(|node| kafka.thaw_node(node)),
        }
    }

    /// The files of a topic's log segments; `None` for the embedded broker, which has no files.
    pub(crate) fn segments(&self, topic: &str) -> Option<Vec<PathBuf>> {
        match self {
            Self::Embedded(_) => None,
            Self::Real(kafka) => Some((0..kafka.nodes()).flat_map(|node| kafka.segments(node, topic)).collect()),
        }
    }
}

/// A name that no other scenario uses.
pub(crate) fn unique(name: &str) -> String {
    static TOPICS: AtomicUsize = AtomicUsize::new(0);
    format!("{name}-{}", TOPICS.fetch_add(1, Ordering::Relaxed))
}
