//! Encodes responses with any content, true or false.
//!
//! In: the request, and the content. Out: the bytes of a response without the frame's length. Pure. Each `Default` is correct for
//! the one topic of these tests, so a false response changes one field.

use crate::writing::Writing;

pub(crate) const TOPIC: &str = "orders";
pub(crate) const PARTITIONS: i32 = 3;

pub(crate) const PRODUCE: i16 = 0;
pub(crate) const FETCH: i16 = 1;
pub(crate) const LIST_OFFSETS: i16 = 2;
pub(crate) const METADATA: i16 = 3;
pub(crate) const API_VERSIONS: i16 = 18;
pub(crate) const INIT_PRODUCER_ID: i16 = 22;

/// A request, with all that is needed for its response.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) api: i16,
    pub(crate) version: i16,
    pub(crate) correlation: i32,
    /// The port of the proxy.
    pub(crate) port: i32,
    /// The topic's id; zeros until a Metadata response of the broker had it.
    pub(crate) topic_id: [u8; 16],
    /// The broker's response, without the frame's length.
    pub(crate) original: Vec<u8>,
}

impl Request {
    fn begin(&self, flexible_from: i16) -> Writing {
        let flexible = self.version >= flexible_from;
        Writing::new(self.correlation, flexible, flexible && self.api != API_VERSIONS)
    }
}

/// An ApiVersions response with these versions: `(key, lowest, highest)`.
pub(crate) fn api_versions(request: &Request, error: i16, keys: &[(i16, i16, i16)]) -> Writing {
    let mut out = request.begin(3);
    out.i16(error);
    out.list(keys.len(), false);
    for (key, lowest, highest) in keys {
        out.i16(*key);
        out.i16(*lowest);
        out.i16(*highest);
        out.tags();
    }
    if request.version >= 1 {
        out.i32(0);
    }
    out.tags();
    out
}

/// The response of a broker that does not support the request's version: in the format of version 0 (KIP-511).
pub(crate) fn unsupported(request: &Request, keys: &[(i16, i16, i16)]) -> Writing {
    api_versions(&Request { version: 0, ..request.clone() }, 35, keys)
}

/// The content of a Metadata response.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) throttle_ms: i32,
    /// `(id, host, port)`; port 0 stands for the proxy's port.
    pub(crate) brokers: Vec<(i32, String, i32)>,
    pub(crate) cluster_id: &'static str,
    pub(crate) topics: Vec<Topic>,
    /// Unknown tagged fields.
    pub(crate) extra: Vec<(u64, Vec<u8>)>,
}

/// One topic of a Metadata response.
#[derive(Clone, Debug)]
pub(crate) struct Topic {
    pub(crate) error: i16,
    pub(crate) name: &'static str,
    pub(crate) partitions: Vec<Partition>,
}

/// One partition of a Metadata response.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Partition {
    pub(crate) index: i32,
    pub(crate) error: i16,
    pub(crate) leader: i32,
    pub(crate) epoch: i32,
}

impl Default for Cluster {
    fn default() -> Self {
        let brokers = vec![(1, "127.0.0.1".to_owned(), 0)];
        Self {
            throttle_ms: 0,
            brokers,
            cluster_id: "milena-embedded-broker",
            topics: vec![Topic::default()],
            extra: Vec::new(),
        }
    }
}

impl Default for Topic {
    fn default() -> Self {
        Self { error: 0, name: TOPIC, partitions: (0..PARTITIONS).map(partition).collect() }
    }
}

pub(crate) fn partition(index: i32) -> Partition {
    Partition { index, error: 0, leader: 1, epoch: 0 }
}

/// A topic with these partitions and no others.
pub(crate) fn topic_of(partitions: impl IntoIterator<Item = Partition>) -> Cluster {
    let topic = Topic { partitions: partitions.into_iter().collect(), ..Topic::default() };
    Cluster { topics: vec![topic], ..Cluster::default() }
}

/// A Metadata response, versions 4 to 13.
pub(crate) fn metadata(request: &Request, cluster: &Cluster) -> Writing {
    let version = request.version;
    let mut out = request.begin(9);
    out.i32(cluster.throttle_ms);
    out.list(cluster.brokers.len(), false);
    for (id, host, port) in &cluster.brokers {
        out.i32(*id);
        out.text(host, false);
        out.i32(if *port == 0 { request.port } else { *port });
        out.no_text();
        out.tags();
    }
    out.text(cluster.cluster_id, true);
    out.i32(1);
    out.list(cluster.topics.len(), false);
    for topic in &cluster.topics {
        out.i16(topic.error);
        out.text(topic.name, version >= 12);
        if version >= 10 {
            out.raw(&request.topic_id);
        }
        out.i8(0);
        out.list(topic.partitions.len(), false);
        for partition in &topic.partitions {
            write_partition(&mut out, version, *partition);
        }
        if version >= 8 {
            out.i32(i32::MIN);
        }
        out.tags();
    }
    if (8..=10).contains(&version) {
        out.i32(i32::MIN);
    }
    if version >= 13 {
        out.i16(0);
    }
    out.tagged(&cluster.extra);
    out
}

fn write_partition(out: &mut Writing, version: i16, partition: Partition) {
    out.i16(partition.error);
    out.i32(partition.index);
    out.i32(partition.leader);
    if version >= 7 {
        out.i32(partition.epoch);
    }
    for _replicas_and_in_sync in 0..2 {
        out.list(1, false);
        out.i32(1);
    }
    if version >= 5 {
        out.list(0, false);
    }
    out.tags();
}

/// An InitProducerId response, versions 0 to 5.
pub(crate) fn init_producer_id(
    request: &Request,
    throttle_ms: i32,
    error: i16,
    producer_id: i64,
    epoch: i16,
) -> Writing {
    let mut out = request.begin(2);
    out.i32(throttle_ms);
    out.i16(error);
    out.i64(producer_id);
    out.i16(epoch);
    out.tags();
    out
}

/// The content of a Produce response.
#[derive(Clone, Debug)]
pub(crate) struct Produced {
    pub(crate) throttle_ms: i32,
    pub(crate) topics: Vec<(&'static str, Vec<Appended>)>,
    /// Whether an unknown id or name replaces that of the topic.
    pub(crate) strange_id: bool,
    /// Unknown tagged fields.
    pub(crate) extra: Vec<(u64, Vec<u8>)>,
}

/// One partition of a Produce response; by default partition 0, appended at offset 0.
#[derive(Clone, Debug, Default)]
pub(crate) struct Appended {
    pub(crate) index: i32,
    pub(crate) error: i16,
    pub(crate) base_offset: i64,
    /// The batch indexes of records with an error (KIP-467).
    pub(crate) refused: Vec<i32>,
    /// `(leader, epoch)` of the current leader (KIP-951).
    pub(crate) leader: Option<(i32, i32)>,
}

impl Default for Produced {
    fn default() -> Self {
        Self { throttle_ms: 0, topics: vec![(TOPIC, vec![Appended::default()])], strange_id: false, extra: Vec::new() }
    }
}

/// A response for these partitions of the topic and no others.
pub(crate) fn appended(partitions: impl IntoIterator<Item = Appended>) -> Produced {
    Produced { topics: vec![(TOPIC, partitions.into_iter().collect())], ..Produced::default() }
}

/// A Produce response, versions 3 to 13.
pub(crate) fn produce(request: &Request, produced: &Produced) -> Writing {
    let version = request.version;
    let mut out = request.begin(9);
    out.list(produced.topics.len(), false);
    for (name, partitions) in &produced.topics {
        if version >= 13 {
            out.raw(&if produced.strange_id { [7; 16] } else { request.topic_id });
        } else {
            out.text(if produced.strange_id { "others" } else { name }, false);
        }
        out.list(partitions.len(), false);
        for partition in partitions {
            write_appended(&mut out, version, partition);
        }
        out.tags();
    }
    out.i32(produced.throttle_ms);
    out.tagged(&produced.extra);
    out
}

fn write_appended(out: &mut Writing, version: i16, partition: &Appended) {
    out.i32(partition.index);
    out.i16(partition.error);
    out.i64(partition.base_offset);
    out.i64(-1);
    if version >= 5 {
        out.i64(0);
    }
    if version >= 8 {
        out.list(partition.refused.len(), false);
        for record in &partition.refused {
            out.i32(*record);
            out.no_text();
            out.tags();
        }
        out.no_text();
    }
    let leader = partition.leader.filter(|_| version >= 10).map(|(leader, epoch)| {
        // Leader, epoch, and an empty list of tagged fields.
        (0, [&leader.to_be_bytes()[..], &epoch.to_be_bytes(), &[0]].concat())
    });
    out.tagged(leader.as_slice());
}

/// A Fetch response of version 12 with these bytes as records of partition 0.
pub(crate) fn fetch(request: &Request, records: &[u8]) -> Writing {
    let mut out = request.begin(12);
    out.i32(0);
    out.i16(0);
    out.i32(0);
    out.list(1, false);
    out.text(TOPIC, false);
    out.list(1, false);
    out.i32(0);
    out.i16(0);
    out.i64(1);
    out.i64(1);
    out.i64(0);
    out.no_list();
    out.i32(-1);
    out.list(records.len(), true);
    out.raw(records);
    out.tags();
    out.tags();
    out.tags();
    out
}
