//! Encodes responses field by field, and records the positions of their counts.
//!
//! In: fields, in the order of Kafka's schema. Out: the bytes of one response, and the position of every count and length in it.
//! Pure. The library's encoder is not used, because it cannot encode invalid responses. Deliberately absent: the frame's length,
//! which the proxy writes.

use std::ops::Range;

/// The encoding of a count or length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Width {
    /// 16 bits.
    Short,
    /// 32 bits.
    Long,
    /// A varint of the count plus one, 0 for null. The count of tagged fields is encoded as it is.
    Compact,
}

/// The position of a count or a length.
#[derive(Clone, Debug)]
pub(crate) struct Count {
    pub(crate) at: Range<usize>,
    pub(crate) width: Width,
    /// Whether the field may be null.
    pub(crate) nullable: bool,
}

/// A response that is being encoded.
#[derive(Clone, Debug)]
pub(crate) struct Writing {
    pub(crate) bytes: Vec<u8>,
    pub(crate) counts: Vec<Count>,
    flexible: bool,
}

impl Writing {
    /// Begins with the header. If `flexible`, lengths are compact; if `tagged`, the header has tagged fields.
    pub(crate) fn new(correlation: i32, flexible: bool, tagged: bool) -> Self {
        let mut writing = Self { bytes: Vec::new(), counts: Vec::new(), flexible };
        writing.i32(correlation);
        if tagged {
            writing.tags();
        }
        writing
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn i8(&mut self, value: i8) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn i16(&mut self, value: i16) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// A string.
    pub(crate) fn text(&mut self, text: &str, nullable: bool) {
        let old = i16::try_from(text.len()).expect("names are short").to_be_bytes();
        self.count(text.len(), Width::Short, &old, nullable);
        self.raw(text.as_bytes());
    }

    /// The null string.
    pub(crate) fn no_text(&mut self) {
        if self.flexible { self.raw(&[0]) } else { self.i16(-1) }
    }

    /// The null list, or null bytes.
    pub(crate) fn no_list(&mut self) {
        if self.flexible { self.raw(&[0]) } else { self.i32(-1) }
    }

    /// The count of a list whose elements follow, or the length of bytes.
    pub(crate) fn list(&mut self, count: usize, nullable: bool) {
        let old = i32::try_from(count).expect("lists are short").to_be_bytes();
        self.count(count, Width::Long, &old, nullable);
    }

    /// No tagged fields.
    pub(crate) fn tags(&mut self) {
        self.tagged(&[]);
    }

    /// Tagged fields, if the version is flexible.
    pub(crate) fn tagged(&mut self, fields: &[(u64, Vec<u8>)]) {
        if !self.flexible {
            return;
        }
        let start = self.bytes.len();
        put_varint(&mut self.bytes, fields.len() as u64);
        self.counts.push(Count { at: start..self.bytes.len(), width: Width::Compact, nullable: true });
        for (tag, content) in fields {
            put_varint(&mut self.bytes, *tag);
            put_varint(&mut self.bytes, content.len() as u64);
            self.raw(content);
        }
    }

    fn count(&mut self, count: usize, old_width: Width, old: &[u8], nullable: bool) {
        let start = self.bytes.len();
        let width = if self.flexible { Width::Compact } else { old_width };
        if self.flexible {
            put_varint(&mut self.bytes, count as u64 + 1);
        } else {
            self.raw(old);
        }
        self.counts.push(Count { at: start..self.bytes.len(), width, nullable });
    }

    /// A copy of the response for each count in it and each invalid value of this count, with a name.
    pub(crate) fn miscounted(&self) -> Vec<(String, Vec<u8>)> {
        let rows = |count: &Count| {
            let at = count.at.clone();
            wrong(count).into_iter().map(move |(name, wrong)| {
                let parts = [&self.bytes[..at.start], &wrong, &self.bytes[at.end..]];
                (format!("{name} for the count at byte {}", at.start), parts.concat())
            })
        };
        self.counts.iter().flat_map(rows).collect()
    }
}

/// Invalid values of a count, whatever bytes follow it.
fn wrong(count: &Count) -> Vec<(&'static str, Vec<u8>)> {
    let mut wrong: Vec<(&str, Vec<u8>)> = match count.width {
        Width::Short => vec![
            ("the least there is", i16::MIN.to_be_bytes().into()),
            ("minus two", (-2_i16).to_be_bytes().into()),
            ("the most there is", i16::MAX.to_be_bytes().into()),
        ],
        Width::Long => vec![
            ("the least there is", i32::MIN.to_be_bytes().into()),
            ("minus two", (-2_i32).to_be_bytes().into()),
            ("the most there is", i32::MAX.to_be_bytes().into()),
            ("a million", 1_000_000_i32.to_be_bytes().into()),
        ],
        Width::Compact => vec![
            ("the most there is", vec![0xff, 0xff, 0xff, 0xff, 0x0f]),
            ("two to the 31st", vec![0x80, 0x80, 0x80, 0x80, 0x08]),
            ("a million", vec![0xc0, 0x84, 0x3d]),
            ("more than 32 bits", vec![0xff, 0xff, 0xff, 0xff, 0x7f]),
            ("a varint of six bytes", vec![0x81, 0x80, 0x80, 0x80, 0x80, 0x00]),
            ("a varint without an end", vec![0x80; 12]),
        ],
    };
    if !count.nullable {
        wrong.push(match count.width {
            Width::Short => ("null", (-1_i16).to_be_bytes().into()),
            Width::Long => ("null", (-1_i32).to_be_bytes().into()),
            Width::Compact => ("null", vec![0]),
        });
    }
    wrong
}

pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits fit") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits fit"));
}
