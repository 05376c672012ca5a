//! Whether a lease is to be given back for another, because several processes share the store's buckets.
//!
//! In: a store and a lease. Out: yes or no. What is wanted is decided purely; asking awaits the store.

use std::time::Duration;

use crate::store::{Lease, Store, StoreError};

/// What is wanted instead of the buckets of a lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Nothing,
    Fewer,
    /// So many more, if they are free.
    More(u16),
}

/// Of one who has so many buckets, and may have so many.
fn wish(held: usize, share: u16) -> Wish {
    match u16::try_from(held) {
        Ok(held) if held == share => Wish::Nothing,
        Ok(held) if held < share => Wish::More(share - held),
        _ => Wish::Fewer,
    }
}

/// Whether the lease should be released, and another acquired. A session has one lease, so buckets that have become free are acquired
/// together with those that it has.
///
/// # Errors
/// Those of the store.
pub(super) async fn is_outdated(store: &dyn Store, lease: Lease, lasting: Duration) -> Result<bool, StoreError> {
    match wish(lease.buckets.len(), store.share(&lease.owner).await?) {
        Wish::Nothing => Ok(false),
        Wish::Fewer => Ok(true),
        Wish::More(more) => {
            // Only an acquisition tells whether some are free.
            let Some(free) = store.acquire(&lease.owner, lasting, more).await? else { return Ok(false) };
            store.release(&free).await?;
            Ok(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;

    #[test]
    fn one_with_too_many_buckets_wants_fewer_and_one_with_too_few_more() {
        let cases = [
            (8, 8, Wish::Nothing),
            (16, 8, Wish::Fewer),
            (8, 16, Wish::More(8)),
            (0, 1, Wish::More(1)),
            (70_000, 1, Wish::Fewer),
        ];
        for (held, share, expected) in cases {
            assert_eq!(wish(held, share), expected, "{held} of {share}");
        }
    }

    #[tokio::test]
    async fn buckets_that_are_free_are_a_reason_and_those_of_others_are_none() {
        const LASTING: Duration = Duration::from_secs(9);
        let store = MemoryStore::with_buckets(4);
        let mine = store.acquire("one", LASTING, 2).await.unwrap().unwrap();
        assert!(is_outdated(&store, mine.clone(), LASTING).await.unwrap());
        assert!(is_outdated(&store, mine.clone(), LASTING).await.unwrap(), "what was free is so still");
        let others = store.acquire("other", LASTING, 2).await.unwrap().unwrap();
        assert!(!is_outdated(&store, mine.clone(), LASTING).await.unwrap());
        store.release(&others).await.unwrap();
        assert!(is_outdated(&store, mine, LASTING).await.unwrap());
    }
}
