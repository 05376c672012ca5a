//! Which version of a request a connection speaks.
//!
//! In: what a broker said it supports. Out: the highest version that both sides know. Pure.

use std::{collections::BTreeMap, fmt};

/// The requests that the producer sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(clippy::enum_variant_names, reason = "the request's own name is ApiVersions")]
pub(crate) enum Api {
    /// Produce: hand over batches.
    Produce,
    /// Metadata: where partitions live.
    Metadata,
    /// ApiVersions: what a broker speaks.
    ApiVersions,
    /// InitProducerId: an identity for idempotence.
    InitProducerId,
}

impl Api {
    /// Its key on the wire.
    pub(crate) const fn key(self) -> i16 {
        match self {
            Self::Produce => 0,
            Self::Metadata => 3,
            Self::ApiVersions => 18,
            Self::InitProducerId => 22,
        }
    }

    /// The versions that milena speaks. Brokers advertise Produce 0 to 2 for an old client's sake and then refuse them
    /// (KAFKA-18659), and record batches v2 begin with 3; below Metadata 4 topic auto-creation cannot be told, and every
    /// broker that speaks Produce 3 speaks that.
    const fn ours(self) -> (i16, i16) {
        match self {
            Self::Produce => (3, 13),
            Self::Metadata => (4, 13),
            Self::ApiVersions => (0, 4),
            Self::InitProducerId => (0, 5),
        }
    }

    /// The highest version that milena speaks.
    pub(crate) const fn latest(self) -> i16 {
        self.ours().1
    }

    /// From which version its header and body have compact lengths and tagged fields (KIP-482).
    pub(crate) const fn flexible_from(self) -> i16 {
        match self {
            Self::Produce | Self::Metadata => 9,
            Self::ApiVersions => 3,
            Self::InitProducerId => 2,
        }
    }
}

impl fmt::Display for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What one connection's broker speaks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions(BTreeMap<i16, (i16, i16)>);

impl Versions {
    /// From `(key, lowest, highest)` of an ApiVersions answer.
    pub(crate) fn new(ranges: impl IntoIterator<Item = (i16, i16, i16)>) -> Self {
        Self(ranges.into_iter().map(|(key, min, max)| (key, (min, max))).collect())
    }

    /// The highest version of `api` that both sides speak.
    pub(crate) fn pick(&self, api: Api) -> Option<i16> {
        let (lowest, highest) = *self.0.get(&api.key())?;
        let (our_lowest, our_highest) = api.ours();
        let version = highest.min(our_highest);
        (version >= our_lowest.max(lowest)).then_some(version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_common_version_is_picked_and_nothing_below_what_we_speak() {
        let table = [
            ((0, 13), Some(13)),
            ((0, 99), Some(13)),
            ((3, 7), Some(7)),
            ((0, 2), None),
            ((14, 20), None),
            ((9, 5), None),
            ((-5, -1), None),
        ];
        for ((lowest, highest), expected) in table {
            let versions = Versions::new([(0, lowest, highest)]);
            assert_eq!(versions.pick(Api::Produce), expected, "{lowest} to {highest}");
        }
        assert_eq!(Versions::default().pick(Api::Produce), None);
    }
}
