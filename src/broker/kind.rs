//! The kinds of requests that the broker understands. Pure.

/// A kind of request, by the name that Apache Kafka gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Api {
    /// Appends records (key 0).
    Produce,
    /// Reads records (key 1).
    Fetch,
    /// Looks up offsets (key 2).
    ListOffsets,
    /// Lists nodes, topics, partitions and their leaders (key 3).
    Metadata,
    /// Keeps a consumer group's offsets (key 8).
    OffsetCommit,
    /// Tells a consumer group's offsets (key 9).
    OffsetFetch,
    /// Finds the node that coordinates a consumer group (key 10).
    FindCoordinator,
    /// Joins a consumer group (key 11).
    JoinGroup,
    /// Tells a consumer group that a member is alive (key 12).
    Heartbeat,
    /// Leaves a consumer group (key 13).
    LeaveGroup,
    /// Asks for a member's part of a consumer group's partitions (key 14).
    SyncGroup,
    /// Tells the state and the members of consumer groups (key 15).
    DescribeGroups,
    /// Lists consumer groups (key 16).
    ListGroups,
    /// Names the mechanism by which a client authenticates (key 17).
    SaslHandshake,
    /// Lists the requests that the broker understands (key 18).
    ApiVersions,
    /// Creates topics (key 19).
    CreateTopics,
    /// Deletes topics (key 20).
    DeleteTopics,
    /// Deletes records from the beginning of a log (key 21).
    DeleteRecords,
    /// Allocates producer ids (key 22).
    InitProducerId,
    /// Tells where a leader's records end (key 23).
    OffsetForLeaderEpoch,
    /// Lists settings (key 32).
    DescribeConfigs,
    /// Replaces settings (key 33).
    AlterConfigs,
    /// Carries a message by which a client proves who it is (key 36).
    SaslAuthenticate,
    /// Gives topics more partitions (key 37).
    CreatePartitions,
    /// Deletes consumer groups (key 42).
    DeleteGroups,
    /// Changes settings (key 44).
    IncrementalAlterConfigs,
    /// Deletes a consumer group's offsets (key 47).
    OffsetDelete,
    /// Lists the nodes of the cluster (key 60).
    DescribeCluster,
    /// Joins a consumer group of KIP-848, of which there are none here (key 68).
    ConsumerGroupHeartbeat,
    /// Lists topics and partitions in pages (key 75).
    DescribeTopicPartitions,
}
