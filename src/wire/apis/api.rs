//! The table of APIs: key, versions and name of each request that milena sends.
//!
//! In: an API. Out: its facts. Pure. Deliberately absent: the contents of requests and responses, which have a file for each API.

use std::fmt;

/// The requests that milena sends. The number of each is its key on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(i16)]
#[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "some of them only admin sends"))]
#[expect(clippy::enum_variant_names, reason = "the request's own name is ApiVersions")]
pub(crate) enum Api {
    /// Writes batches.
    Produce = 0,
    /// Reads batches.
    Fetch = 1,
    /// The first and the last offset of a log.
    ListOffsets = 2,
    /// Brokers, topics and leaders.
    Metadata = 3,
    /// Names the mechanism by which the client authenticates.
    SaslHandshake = 17,
    /// The versions that a broker supports.
    ApiVersions = 18,
    /// Creates a topic.
    CreateTopics = 19,
    /// Deletes a topic.
    DeleteTopics = 20,
    /// Deletes records from the beginning of a log.
    DeleteRecords = 21,
    /// A producer id for idempotence.
    InitProducerId = 22,
    /// The settings of a topic.
    DescribeConfigs = 32,
    /// Carries a message of the mechanism.
    SaslAuthenticate = 36,
    /// Adds partitions to a topic.
    CreatePartitions = 37,
    /// Changes settings of a topic.
    IncrementalAlterConfigs = 44,
    /// Topics with their partitions and replicas, in pages.
    DescribeTopicPartitions = 75,
}

impl Api {
    /// The name, and the lowest and the highest version that milena supports.
    const fn facts(self) -> (&'static str, (i16, i16)) {
        match self {
            // Brokers advertise versions 0 to 2 for old clients and refuse them (KAFKA-18659). Record batches v2 begin
            // with version 3.
            Self::Produce => ("Produce", (3, 13)),
            // Version 13 and later name topics by id.
            Self::Fetch => ("Fetch", (4, 12)),
            Self::ListOffsets => ("ListOffsets", (1, 10)),
            // Below version 4 a broker creates every missing topic that is named, and the request cannot forbid it. Every
            // broker that supports Produce 3 supports version 4.
            Self::Metadata => ("Metadata", (4, 13)),
            // After version 0 the messages of the mechanism come without requests around them.
            Self::SaslHandshake => ("SaslHandshake", (1, 1)),
            Self::ApiVersions => ("ApiVersions", (0, 4)),
            Self::CreateTopics => ("CreateTopics", (2, 7)),
            Self::InitProducerId => ("InitProducerId", (0, 5)),
            Self::SaslAuthenticate => ("SaslAuthenticate", (0, 2)),
            // Version 6 names topics by id as well.
            Self::DeleteTopics => ("DeleteTopics", (1, 5)),
            Self::DeleteRecords => ("DeleteRecords", (0, 2)),
            Self::DescribeConfigs => ("DescribeConfigs", (1, 4)),
            Self::CreatePartitions => ("CreatePartitions", (0, 3)),
            Self::IncrementalAlterConfigs => ("IncrementalAlterConfigs", (0, 1)),
            Self::DescribeTopicPartitions => ("DescribeTopicPartitions", (0, 0)),
        }
    }

    /// The name in Kafka's protocol documentation.
    pub(crate) const fn name(self) -> &'static str {
        self.facts().0
    }

    /// Its key on the wire.
    pub(crate) const fn key(self) -> i16 {
        self as i16
    }

    /// The lowest and the highest version that milena supports.
    pub(crate) const fn versions(self) -> (i16, i16) {
        self.facts().1
    }

    /// The highest version that milena supports.
    pub(crate) const fn latest(self) -> i16 {
        self.versions().1
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
