//! Where each leader of a partition began to write (`LeaderEpochFileCache`).
//!
//! In: epochs of leaders, and changes of the log's ends. Out: where the records of an epoch end (KIP-101, KIP-320). Pure.

/// Epochs by rising number, each with the offset at which it began, which rises as well.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Epochs(Vec<EpochStart>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EpochStart {
    epoch: i32,
    offset: i64,
}

/// The newest epoch that is not newer than the one that was asked for, and the offset behind its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EpochEnd {
    pub(super) epoch: i32,
    pub(super) offset: i64,
}

impl Epochs {
    /// A leader begins at an offset. Epochs that wrote nothing before it are forgotten.
    pub(super) fn begin(&mut self, epoch: i32, offset: i64) {
        if self.0.last().is_some_and(|last| last.epoch == epoch) {
            return;
        }
        self.0.retain(|known| known.epoch < epoch && known.offset < offset);
        self.0.push(EpochStart { epoch, offset });
    }

    /// The log ends here now.
    pub(super) fn truncate_to(&mut self, end: i64) {
        self.0.retain(|known| known.offset < end);
    }

    /// The log begins here now.
    pub(super) fn start_at(&mut self, start: i64) {
        let before = self.0.partition_point(|known| known.offset <= start);
        let Some(covering) = before.checked_sub(1) else { return };
        self.0.drain(..covering);
        self.0.iter_mut().take(1).for_each(|first| first.offset = first.offset.max(start));
    }

    /// The epoch of the record at the log's start.
    pub(super) fn earliest(&self) -> Option<i32> {
        self.0.first().map(|first| first.epoch)
    }

    /// All epochs, each with the offset at which it began.
    pub(super) fn all(&self) -> impl ExactSizeIterator<Item = (i32, i64)> {
        self.0.iter().map(|known| (known.epoch, known.offset))
    }

    /// Epochs as they were.
    pub(super) fn restored(all: Vec<(i32, i64)>) -> Self {
        let mut epochs = Self::default();
        all.into_iter().for_each(|(epoch, offset)| epochs.begin(epoch, offset));
        epochs
    }

    /// The newest epoch.
    pub(super) fn latest(&self) -> Option<i32> {
        self.0.last().map(|last| last.epoch)
    }

    /// Where the records of an epoch end. `None` for one that is newer than all, or negative.
    pub(super) fn end_of(&self, epoch: i32, log_end: i64) -> Option<EpochEnd> {
        if epoch >= 0 && self.latest() == Some(epoch) {
            return Some(EpochEnd { epoch, offset: log_end });
        }
        let next = self.0.partition_point(|known| known.epoch <= epoch);
        let EpochStart { offset, .. } = *self.0.get(next).filter(|_| epoch >= 0)?;
        let floor = next.checked_sub(1).and_then(|floor| self.0.get(floor));
        Some(EpochEnd { epoch: floor.map_or(epoch, |floor| floor.epoch), offset })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(begun: &[(i32, i64)]) -> Epochs {
        let mut epochs = Epochs::default();
        begun.iter().for_each(|(epoch, offset)| epochs.begin(*epoch, *offset));
        epochs
    }

    fn told(epochs: &Epochs) -> Vec<(i32, i64)> {
        epochs.0.iter().map(|known| (known.epoch, known.offset)).collect()
    }

    #[test]
    fn an_epoch_that_wrote_nothing_is_forgotten_when_the_next_one_begins() {
        assert_eq!(told(&epochs(&[(0, 0), (1, 5), (2, 5), (4, 9)])), [(0, 0), (2, 5), (4, 9)]);
        assert_eq!(told(&epochs(&[(0, 0), (0, 5)])), [(0, 0)]);
        assert_eq!(told(&epochs(&[(0, 0), (3, 5), (3, 2)])), [(0, 0), (3, 5)]);
    }

    #[test]
    fn an_epoch_ends_where_the_next_one_begins_and_the_newest_one_at_the_logs_end() {
        let epochs = epochs(&[(1, 2), (3, 5), (4, 9)]);
        for (epoch, expected) in [
            (-1, None),
            (0, Some((0, 2))),
            (1, Some((1, 5))),
            (2, Some((1, 5))),
            (3, Some((3, 9))),
            (4, Some((4, 12))),
            (5, None),
            (i32::MIN, None),
            (i32::MAX, None),
        ] {
            assert_eq!(epochs.end_of(epoch, 12).map(|end| (end.epoch, end.offset)), expected, "{epoch}");
        }
        assert_eq!(Epochs::default().end_of(0, 0), None);
    }

    #[test]
    fn epochs_follow_a_log_that_is_cut_short_at_either_end() {
        let all = || epochs(&[(0, 0), (1, 5), (3, 9)]);
        let cut = |end| {
            let mut epochs = all();
            epochs.truncate_to(end);
            told(&epochs)
        };
        assert_eq!([cut(10), cut(9), cut(0)], [told(&all()), vec![(0, 0), (1, 5)], vec![]]);
        let started = |start| {
            let mut epochs = all();
            epochs.start_at(start);
            told(&epochs)
        };
        assert_eq!(started(0), told(&all()));
        assert_eq!(started(4), [(0, 4), (1, 5), (3, 9)]);
        assert_eq!(started(5), [(1, 5), (3, 9)]);
        assert_eq!(started(100), [(3, 100)]);
    }
}
