//! Checks the bytes of a message before the kafka-protocol crate decodes them.
//!
//! In: a message's table, its version and its untrusted bytes. Out: the message, or a [`ShapeError`] that names the
//! field. Pure. The crate reserves memory for whatever count is on the wire, so a frame of twenty bytes can make it ask
//! for gigabytes. After this check every count is the number of elements that the frame really has, every length ends
//! inside the frame, and nulls are only where the schema allows them. Deliberately absent: what the values mean, and
//! UTF-8, which decoding checks itself. The tables are in [`messages`].
//!
//! Tagged fields that the table does not have in that version are skipped, whatever they hold, as KIP-482 requires. The
//! crate would refuse those that it knows from another version, and would keep the others in trees that take many times
//! the memory of the bytes. So it never sees them: a message that has such fields is copied without them. A message is
//! also copied if a negative length other than -1 stands for null, which Apache Kafka allows. Any other message is not
//! copied.

mod messages;

use bytes::Bytes;
use kafka_protocol::protocol::Decodable;

use crate::wire::varint;

/// Why bytes are not the expected message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ShapeError {
    /// The table does not describe this version.
    #[error("{message} v{version} is not supported, expected v{min} to v{max}")]
    Version { message: &'static str, version: i16, min: i16, max: i16 },
    /// A field is malformed.
    #[error("malformed {message} v{version}: {field} at byte {at}: {reason}")]
    Field { message: &'static str, version: i16, field: &'static str, at: usize, reason: Reason },
    /// The shape is right but decoding refused a value, such as text that is not UTF-8.
    #[error("malformed {message} v{version}: {reason}")]
    Value { message: &'static str, version: i16, reason: String },
}

/// What is wrong with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Reason {
    #[error("expected {expected} bytes, got {got}")]
    Short { expected: usize, got: usize },
    #[error("expected a variable-length integer of at most 5 bytes")]
    Varint,
    #[error("length {got} is impossible, expected at least 0")]
    Negative { got: i32 },
    #[error("null is not allowed")]
    Null,
    #[error("count {count} is more than the {left} bytes that are left can hold")]
    Count { count: usize, left: usize },
    #[error("tagged field {tag} has {expected} bytes, its content takes {got}")]
    TagSize { tag: u32, expected: usize, got: usize },
    #[error("{got} bytes are left over, expected 0")]
    LeftOver { got: usize },
}

/// The encoding of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldKind {
    /// A fixed number of bytes: integers, booleans, uuids.
    Fixed(usize),
    /// A string: 16 bits of length, compact in flexible versions.
    Text,
    /// A string with 16 bits of length in every version: the client id.
    OldText,
    /// Bytes or records: 32 bits of length, compact in flexible versions.
    Blob,
    /// A count, then as many elements.
    List(&'static Self),
    /// A struct: fields in order, followed by tagged fields in flexible versions.
    Row(&'static [Field]),
    /// A count, then as many structs.
    Rows(&'static [Field]),
}

/// One field of the schema, with the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    name: &'static str,
    kind: FieldKind,
    since: i16,
    until: i16,
    nullable_since: i16,
    tag: Option<u32>,
}

impl Field {
    const fn new(name: &'static str, kind: FieldKind) -> Self {
        Self { name, kind, since: 0, until: i16::MAX, nullable_since: i16::MAX, tag: None }
    }

    const fn since(self, since: i16) -> Self {
        Self { since, ..self }
    }

    const fn until(self, until: i16) -> Self {
        Self { until, ..self }
    }

    const fn nullable(self) -> Self {
        self.nullable_since(0)
    }

    const fn nullable_since(self, nullable_since: i16) -> Self {
        Self { nullable_since, ..self }
    }

    const fn tagged(self, tag: u32) -> Self {
        Self { tag: Some(tag), ..self }
    }

    fn in_version(&self, version: i16) -> bool {
        self.since <= version && version <= self.until
    }
}

/// The table of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    name: &'static str,
    min: i16,
    max: i16,
    /// The first version with compact lengths and tagged fields.
    flexible: i16,
    fields: &'static [Field],
}

/// A message that has a table.
pub(crate) trait Shaped: Decodable {
    /// Its table.
    const SHAPE: Shape;
}

/// Checks and decodes one message that takes all of `bytes`.
pub(crate) fn decode<T: Shaped>(version: i16, mut bytes: Bytes) -> Result<T, ShapeError> {
    let total = bytes.len();
    let decoded = take(version, &mut bytes)?;
    let got = bytes.len();
    if got == 0 {
        return Ok(decoded);
    }
    let (message, at) = (T::SHAPE.name, total.saturating_sub(got));
    Err(ShapeError::Field { message, version, field: "end", at, reason: Reason::LeftOver { got } })
}

/// Checks and decodes a header, or a message that is followed by other bytes, from the front of `bytes`.
pub(crate) fn take<T: Shaped>(version: i16, bytes: &mut Bytes) -> Result<T, ShapeError> {
    let Walked { len, kept } = walk(&T::SHAPE, version, bytes)?;
    let whole = bytes.split_to(len);
    T::decode(&mut kept.unwrap_or(whole), version).map_err(|error| ShapeError::Value {
        message: T::SHAPE.name,
        version,
        reason: error.to_string(),
    })
}

/// The result of a walk.
struct Walked {
    /// The length of the message in bytes.
    len: usize,
    /// The message without the tagged fields that its table does not have, and with -1 for null. `None` if that is the
    /// message itself.
    kept: Option<Bytes>,
}

fn walk(shape: &Shape, version: i16, bytes: &[u8]) -> Result<Walked, ShapeError> {
    let &Shape { name: message, min, max, flexible, .. } = shape;
    if version < min || version > max {
        return Err(ShapeError::Version { message, version, min, max });
    }
    let flexible = version >= flexible;
    let mut walk =
        Walk { message, version, flexible, whole: bytes, left: bytes, field: message, kept: Vec::new(), seen: 0 };
    walk.fields(shape.fields)?;
    let len = walk.at();
    let kept = (walk.seen > 0).then(|| {
        walk.keep_up_to(len);
        Bytes::from(walk.kept)
    });
    Ok(Walked { len, kept })
}

/// The state of a walk.
struct Walk<'a> {
    message: &'static str,
    version: i16,
    flexible: bool,
    whole: &'a [u8],
    left: &'a [u8],
    /// The innermost named field, for errors.
    field: &'static str,
    /// What the decoder gets in place of the first `seen` bytes. Both are empty until a byte is left out or replaced.
    kept: Vec<u8>,
    seen: usize,
}

impl Walk<'_> {
    fn at(&self) -> usize {
        self.whole.len().saturating_sub(self.left.len())
    }

    #[cold]
    fn error(&self, reason: Reason) -> ShapeError {
        let &Self { message, version, field, .. } = self;
        ShapeError::Field { message, version, field, at: self.at(), reason }
    }

    fn fields(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        let version = self.version;
        for field in fields.iter().filter(|field| field.tag.is_none() && field.in_version(version)) {
            self.field(field)?;
        }
        if self.flexible { self.tags(fields) } else { Ok(()) }
    }

    fn field(&mut self, field: &Field) -> Result<(), ShapeError> {
        self.field = field.name;
        self.kind(&field.kind, field.nullable_since <= self.version)
    }

    fn kind(&mut self, kind: &FieldKind, nullable: bool) -> Result<(), ShapeError> {
        match kind {
            FieldKind::Fixed(size) => self.skip(*size),
            FieldKind::Row(fields) if nullable => self.optional_row(fields),
            FieldKind::Row(fields) => self.fields(fields),
            FieldKind::Text if self.flexible => self.blob(nullable),
            FieldKind::Text | FieldKind::OldText => self.old_text(nullable),
            FieldKind::Blob => self.blob(nullable),
            FieldKind::List(element) => self.list(nullable, |walk| walk.kind(element, false)),
            FieldKind::Rows(fields) => self.list(nullable, |walk| walk.fields(fields)),
        }
    }

    /// A byte, negative for null, and the struct. As in Apache Kafka, any such byte will do; the decoder knows only -1 and 1.
    #[cold]
    fn optional_row(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        let [flag] = self.take_array()?.map(u8::cast_signed);
        let plain: i8 = if flag < 0 { -1 } else { 1 };
        if flag != plain {
            self.keep_up_to(self.at().saturating_sub(1));
            self.kept.push(plain.cast_unsigned());
            self.seen = self.at();
        }
        if flag < 0 { Ok(()) } else { self.fields(fields) }
    }

    fn old_text(&mut self, nullable: bool) -> Result<(), ShapeError> {
        let length = i16::from_be_bytes(self.take_array()?);
        let length = self.length(length.into(), 2, nullable)?;
        self.skip(length)
    }

    fn blob(&mut self, nullable: bool) -> Result<(), ShapeError> {
        let length = self.long_length(nullable)?;
        self.skip(length)
    }

    /// Each element has at least one byte.
    // Most fields are no lists: apart from `kind`, it does not make each of them save registers.
    #[inline(never)]
    fn list(&mut self, nullable: bool, each: impl Fn(&mut Self) -> Result<(), ShapeError>) -> Result<(), ShapeError> {
        let (count, left) = (self.long_length(nullable)?, self.left.len());
        if count > left {
            return Err(self.error(Reason::Count { count, left }));
        }
        (0..count).try_for_each(|_| each(self))
    }

    /// Most structs have no tagged fields.
    fn tags(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        self.field = "tagged fields";
        let start = self.at();
        match self.uvarint()? {
            0 => Ok(()),
            count => self.some_tags(start, count, fields),
        }
    }

    /// Walks known tagged fields, because decoding reads them in place and ignores their size. Leaves out the others.
    /// Their order does not matter, as in Apache Kafka. Their count begins at `start`.
    fn some_tags(&mut self, start: usize, count: u32, fields: &[Field]) -> Result<(), ShapeError> {
        let known = self.count_known(count, fields)?;
        if known < count {
            self.keep_up_to(start);
            varint::put_unsigned(&mut self.kept, known.into());
            self.seen = self.at();
        }
        for _ in 0..count {
            self.tag(fields)?;
            self.field = "tagged fields";
        }
        Ok(())
    }

    /// How many of the next `count` tagged fields are known. Does not move.
    fn count_known(&mut self, count: u32, fields: &[Field]) -> Result<u32, ShapeError> {
        let start = self.left;
        let mut known = 0_u32;
        for _ in 0..count {
            let (tag, size) = (self.uvarint()?, self.size()?);
            self.skip(size)?;
            known = known.saturating_add(self.known(fields, tag).is_some().into());
        }
        self.left = start;
        Ok(known)
    }

    fn tag(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        let start = self.at();
        let (tag, size) = (self.uvarint()?, self.size()?);
        if let Some(field) = self.known(fields, tag) {
            return self.known_tag(field, tag, size);
        }
        self.keep_up_to(start);
        self.skip(size)?;
        self.seen = self.at();
        Ok(())
    }

    fn known<'f>(&self, fields: &'f [Field], tag: u32) -> Option<&'f Field> {
        fields.iter().find(|field| field.tag == Some(tag) && field.in_version(self.version))
    }

    /// Keeps the bytes before `end` that were not handled yet.
    fn keep_up_to(&mut self, end: usize) {
        self.kept.extend_from_slice(self.whole.get(self.seen..end).unwrap_or_default());
        self.seen = end;
    }

    fn size(&mut self) -> Result<usize, ShapeError> {
        Ok(usize::try_from(self.uvarint()?).unwrap_or(usize::MAX))
    }

    fn known_tag(&mut self, field: &Field, tag: u32, size: usize) -> Result<(), ShapeError> {
        let before = self.left.len();
        self.field(field)?;
        self.field = field.name;
        let got = before.saturating_sub(self.left.len());
        if got == size { Ok(()) } else { Err(self.error(Reason::TagSize { tag, expected: size, got })) }
    }

    /// The length of bytes or of a list: compact (length plus one, 0 for null) or 32 bits (-1 for null).
    fn long_length(&mut self, nullable: bool) -> Result<usize, ShapeError> {
        let length = if self.flexible {
            // u32::MAX and 0 both mean a length that i32 holds as -1 or that no frame can hold
            i32::try_from(i64::from(self.uvarint()?).saturating_sub(1)).unwrap_or(i32::MAX)
        } else {
            i32::from_be_bytes(self.take_array()?)
        };
        self.length(length, 4, nullable)
    }

    /// A length that was just read in `width` bytes. As in Apache Kafka, any negative length is null, of which no bytes
    /// follow.
    fn length(&mut self, length: i32, width: usize, nullable: bool) -> Result<usize, ShapeError> {
        match usize::try_from(length) {
            Ok(length) => return Ok(length),
            Err(_) if nullable && length == -1 => {}
            Err(_) if nullable => self.put_null(width),
            Err(_) if length == -1 => return Err(self.error(Reason::Null)),
            Err(_) => return Err(self.error(Reason::Negative { got: length })),
        }
        Ok(0)
    }

    /// Gives the decoder -1 in place of the length that was just read.
    #[cold]
    fn put_null(&mut self, width: usize) {
        self.keep_up_to(self.at().saturating_sub(width));
        self.kept.resize(self.kept.len().saturating_add(width), 0xff);
        self.seen = self.at();
    }

    fn uvarint(&mut self) -> Result<u32, ShapeError> {
        let mut rest = self.left;
        let value = varint::take_u32(&mut rest).ok_or_else(|| self.error(Reason::Varint))?;
        self.left = rest;
        Ok(value)
    }

    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let (array, rest) = self.left.split_first_chunk().ok_or_else(|| self.short(N))?;
        self.left = rest;
        Ok(*array)
    }

    fn skip(&mut self, size: usize) -> Result<(), ShapeError> {
        self.left = self.left.get(size..).ok_or_else(|| self.short(size))?;
        Ok(())
    }

    #[cold]
    fn short(&self, expected: usize) -> ShapeError {
        self.error(Reason::Short { expected, got: self.left.len() })
    }
}

#[cfg(test)]
mod tests;
