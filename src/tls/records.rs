//! Counts the records that the kernel has taken.
//!
//! In: the bytes that were handed over, in order. Out: how many full records have passed whole. Pure. A peer cannot use a part of a record, so
//! what was written is known exactly, and nothing more is claimed.

/// The most bytes of a caller that one record holds.
pub(super) const RECORD: usize = 16 * 1024;
/// Type, version, length.
const HEADER: usize = 5;

/// Where in the stream of records the kernel is.
#[derive(Debug, Default)]
pub(super) struct Records {
    header: [u8; HEADER],
    /// How many bytes of the header have passed.
    seen: usize,
    /// How many bytes of the body are missing.
    missing: usize,
    /// How many full records have passed since they were taken last.
    full: usize,
}

impl Records {
    /// These bytes are in the kernel.
    pub(super) fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if let Some(place) = self.header.get_mut(self.seen) {
                *place = *first;
                self.seen += 1;
                self.missing = if self.seen == HEADER { self.body() } else { 0 };
                bytes = rest;
            } else {
                let (passed, rest) = bytes.split_at(self.missing.min(bytes.len()));
                self.missing -= passed.len();
                bytes = rest;
            }
            if self.seen == HEADER && self.missing == 0 {
                // Encrypted, a full record is longer than what it holds, and no other is as long.
                self.full += usize::from(self.body() > RECORD);
                self.seen = 0;
            }
        }
    }

    fn body(&self) -> usize {
        let [_, _, _, high, low] = self.header;
        usize::from(u16::from_be_bytes([high, low]))
    }

    /// How many bytes of the caller were in the full records that have passed.
    pub(super) fn take(&mut self) -> usize {
        std::mem::take(&mut self.full) * RECORD
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(body: usize) -> Vec<u8> {
        let length = u16::try_from(body).unwrap().to_be_bytes();
        [&[23, 3, 3, length[0], length[1]][..], &vec![0; body]].concat()
    }

    #[test]
    fn a_full_record_counts_with_its_last_byte_however_the_bytes_are_cut() {
        let stream = [record(22), record(RECORD + 17), record(RECORD + 17), record(100)].concat();
        let ends = [27 + 5 + RECORD + 17, 27 + 2 * (5 + RECORD + 17)];
        for cut in [1, 2, 3, 5, 7, 1000, 16_406, stream.len()] {
            let (mut records, mut passed, mut written) = (Records::default(), 0, 0);
            for bytes in stream.chunks(cut) {
                records.pass(bytes);
                passed += bytes.len();
                written += records.take();
                let whole = ends.iter().filter(|end| passed >= **end).count();
                assert_eq!(written, whole * RECORD, "{passed} bytes in pieces of {cut}");
            }
        }
    }

    #[test]
    fn what_is_not_full_is_not_counted() {
        let mut records = Records::default();
        for body in [0, 1, 22, RECORD] {
            records.pass(&record(body));
        }
        assert_eq!(records.take(), 0);
    }
}
