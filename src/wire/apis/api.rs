//! The table of APIs: key, versions and name of each request that milena sends.
//!
//! In: an API. Out: its facts. Pure. Deliberately absent: the contents of requests and responses, which have a file for each API.

use std::fmt;

/// The requests that milena sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::enum_variant_names, reason = "the request's own name is ApiVersions")]
pub(crate) enum Api {
    /// Writes batches.
    Produce,
    /// Reads batches.
    #[cfg(feature = "admin")]
    Fetch,
    /// The first and the last offset of a log.
    #[cfg(feature = "admin")]
    ListOffsets,
    /// Brokers, topics and leaders.
    Metadata,
    /// The versions that a broker supports.
    ApiVersions,
    /// Creates a topic.
    #[cfg(feature = "admin")]
    CreateTopics,
    /// A producer id for idempotence.
    InitProducerId,
}

/// A row of the table of APIs.
#[derive(Clone, Copy, Debug)]
struct ApiFacts {
    name: &'static str,
    /// Its key on the wire.
    key: i16,
    /// The lowest and the highest version that milena supports.
    versions: (i16, i16),
    /// The first version whose header and body have compact lengths and tagged fields (KIP-482).
    flexible_from: i16,
}

impl Api {
    const fn facts(self) -> ApiFacts {
        match self {
            // Brokers advertise versions 0 to 2 for old clients and refuse them (KAFKA-18659). Record batches v2 begin
            // with version 3.
            Self::Produce => ApiFacts { name: "Produce", key: 0, versions: (3, 13), flexible_from: 9 },
            // Version 13 and later name topics by id.
            #[cfg(feature = "admin")]
            Self::Fetch => ApiFacts { name: "Fetch", key: 1, versions: (4, 12), flexible_from: 12 },
            #[cfg(feature = "admin")]
            Self::ListOffsets => ApiFacts { name: "ListOffsets", key: 2, versions: (1, 7), flexible_from: 6 },
            // Below version 4 a broker creates every missing topic that is named, and the request cannot forbid it. Every
            // broker that supports Produce 3 supports version 4.
            Self::Metadata => ApiFacts { name: "Metadata", key: 3, versions: (4, 13), flexible_from: 9 },
            Self::ApiVersions => ApiFacts { name: "ApiVersions", key: 18, versions: (0, 4), flexible_from: 3 },
            #[cfg(feature = "admin")]
            Self::CreateTopics => ApiFacts { name: "CreateTopics", key: 19, versions: (2, 7), flexible_from: 5 },
            Self::InitProducerId => ApiFacts { name: "InitProducerId", key: 22, versions: (0, 5), flexible_from: 2 },
        }
    }

    /// The name in Kafka's protocol documentation.
    pub(crate) const fn name(self) -> &'static str {
        self.facts().name
    }

    /// Its key on the wire.
    pub(crate) const fn key(self) -> i16 {
        self.facts().key
    }

    /// The lowest and the highest version that milena supports.
    pub(crate) const fn versions(self) -> (i16, i16) {
        self.facts().versions
    }

    /// The highest version that milena supports.
    pub(crate) const fn latest(self) -> i16 {
        self.versions().1
    }

    /// The first version whose header and body have compact lengths and tagged fields (KIP-482).
    pub(super) const fn flexible_from(self) -> i16 {
        self.facts().flexible_from
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
