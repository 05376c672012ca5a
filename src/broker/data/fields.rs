//! The fields of an entry: how they are written, and how they are read from bytes that may be damaged.
//!
//! In: values, or bytes. Out: bytes, or values. Pure. Counts and lengths are believed only as far as the bytes reach.

use bytes::{Buf, BufMut, Bytes};

/// What of an entry cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damaged(pub(super) String);

pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    out.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    out.put_slice(bytes);
}

pub(super) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

pub(super) fn put_list<T>(
    out: &mut Vec<u8>,
    all: impl IntoIterator<Item = T, IntoIter: ExactSizeIterator>,
    put: impl Fn(&mut Vec<u8>, T),
) {
    let all = all.into_iter();
    out.put_u32(u32::try_from(all.len()).unwrap_or(u32::MAX));
    all.for_each(|one| put(out, one));
}

/// What is left of an entry.
pub(super) struct Fields(Bytes);

impl Fields {
    pub(super) fn new(entry: Bytes) -> Self {
        Self(entry)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Damaged> {
        self.0.try_get_u8().map_err(|_| short())
    }

    pub(super) fn i16(&mut self) -> Result<i16, Damaged> {
        self.0.try_get_i16().map_err(|_| short())
    }

    pub(super) fn i32(&mut self) -> Result<i32, Damaged> {
        self.0.try_get_i32().map_err(|_| short())
    }

    pub(super) fn i64(&mut self) -> Result<i64, Damaged> {
        self.0.try_get_i64().map_err(|_| short())
    }

    pub(super) fn u128(&mut self) -> Result<u128, Damaged> {
        self.0.try_get_u128().map_err(|_| short())
    }

    /// A length or a count: each byte or element takes at least one of those that are left.
    fn count(&mut self) -> Result<usize, Damaged> {
        let count = self.0.try_get_u32().map_err(|_| short())?;
        usize::try_from(count).ok().filter(|count| *count <= self.0.len()).ok_or_else(short)
    }

    pub(super) fn bytes(&mut self) -> Result<Bytes, Damaged> {
        let length = self.count()?;
        Ok(self.0.split_to(length))
    }

    pub(super) fn text(&mut self) -> Result<String, Damaged> {
        String::from_utf8(self.bytes()?.into()).map_err(|_| Damaged("a text is not UTF-8".to_owned()))
    }

    pub(super) fn list<T>(&mut self, take: impl Fn(&mut Self) -> Result<T, Damaged>) -> Result<Vec<T>, Damaged> {
        let count = self.count()?;
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(take(self)?);
        }
        Ok(all)
    }

    /// Nothing may be left.
    pub(super) fn end(&self) -> Result<(), Damaged> {
        if self.0.is_empty() { Ok(()) } else { Err(Damaged(format!("{} bytes are left over", self.0.len()))) }
    }
}

fn short() -> Damaged {
    Damaged("it is too short for its fields".to_owned())
}
