//! What links and lanes have in common: a request's purpose, which comes back with its response, or when there will be none.
//!
//! Pure data. Links carry it and do not look into it.

use crate::{cluster::TopicId, wire::apis::Api};

/// What a request is for.
#[derive(Debug)]
pub(crate) enum Purpose {
    /// To learn which versions the broker supports.
    ApiVersions,
    /// To agree on how the client authenticates.
    SaslHandshake,
    /// To authenticate.
    SaslAuthenticate,
    /// To learn of the cluster, with the number of the request.
    Metadata(u64),
    /// To get a producer id.
    InitProducerId,
    /// To have batches written.
    Produce(SentBatches),
}

impl Purpose {
    /// The API that serves it.
    pub(crate) fn api(&self) -> Api {
        match self {
            Self::ApiVersions => Api::ApiVersions,
            Self::SaslHandshake => Api::SaslHandshake,
            Self::SaslAuthenticate => Api::SaslAuthenticate,
            Self::Metadata(_) => Api::Metadata,
            Self::InitProducerId => Api::InitProducerId,
            Self::Produce(_) => Api::Produce,
        }
    }

    /// How many records a Produce request has.
    pub(crate) fn records(&self) -> Option<u64> {
        match self {
            Self::Produce(sent) => Some(sent.records),
            Self::ApiVersions
            | Self::SaslHandshake
            | Self::SaslAuthenticate
            | Self::Metadata(_)
            | Self::InitProducerId => None,
        }
    }
}

/// The batches of a Produce request.
#[derive(Debug)]
pub(crate) struct SentBatches {
    /// Tells them from the batches of other requests in their lanes.
    pub(crate) request: u64,
    /// One for each topic-partition.
    pub(crate) parts: Vec<SentPart>,
    /// How many records they have together.
    pub(crate) records: u64,
}

/// One topic-partition of a Produce request, with the topic's id as it was when the request was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SentPart {
    pub(crate) slot: u32,
    pub(crate) topic_id: TopicId,
}

/// What a broker can have seen of a request without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    /// It was handed to the kernel whole.
    Whole,
    /// It may have been, or may yet be.
    Perhaps,
    /// Not all of it was: a broker does nothing about a part.
    InPart,
}
