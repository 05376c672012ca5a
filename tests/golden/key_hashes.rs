//! A key has the partition that Java's producer gives it.

use super::{from_hex, parse, run};
use crate::{
    cluster::PartitionMetadata,
    record::{murmur2::murmur2, partition::Partitions},
};

/// A prime, so that every bit of a hash has a say in the partition.
const PARTITIONS: usize = 10_007;

#[test]
fn keys_of_every_length_up_to_64_have_the_hash_and_the_partition_that_java_gives_them() {
    let partitions = vec![PartitionMetadata { leader: Some(1), leader_epoch: 0 }; PARTITIONS];
    let partitions = Partitions::new(&partitions);
    let mut lengths = [0; 65];
    for columns in run("KeyHashes.java", "") {
        let (key, hash, positive) = (from_hex(&columns[0]), parse::<i32>(&columns[1]), parse::<usize>(&columns[2]));
        assert_eq!(murmur2(&key).cast_signed(), hash, "murmur2 of {columns:?}");
        assert_eq!(usize::try_from(partitions.for_key(&key)), Ok(positive % PARTITIONS), "partition of {columns:?}");
        lengths[key.len()] += 1;
    }
    assert_eq!(lengths, [20; 65], "as many keys of each length");
}
