//! Encodes responses field by field. Pure.

/// A response to one request.
pub(crate) struct Output {
    bytes: Vec<u8>,
    flexible: bool,
}

impl Output {
    /// Leaves room for the frame's length. `flexible` says whether lengths are compact and tagged fields there.
    pub(crate) fn new(correlation: i32, flexible: bool) -> Self {
        let mut output = Self { bytes: Vec::with_capacity(1024), flexible };
        output.i32(0);
        output.i32(correlation);
        output
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let length = i32::try_from(self.bytes.len() - 4).expect("responses are small");
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn bool(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
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

    pub(crate) fn count(&mut self, count: usize) {
        if self.flexible {
            self.unsigned_varint(count + 1);
        } else {
            self.i32(i32::try_from(count).expect("a count that was read from four bytes"));
        }
    }

    pub(crate) fn string(&mut self, string: Option<&[u8]>) {
        match (string, self.flexible) {
            (Some(string), true) => self.unsigned_varint(string.len() + 1),
            (Some(string), false) => self.i16(i16::try_from(string.len()).expect("names are short")),
            (None, true) => self.unsigned_varint(0),
            (None, false) => self.i16(-1),
        }
        self.raw(string.unwrap_or_default());
    }

    /// No tagged fields.
    pub(crate) fn tags(&mut self) {
        if self.flexible {
            self.bytes.push(0);
        }
    }

    fn unsigned_varint(&mut self, mut value: usize) {
        while value >= 0x80 {
            self.bytes.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
            value >>= 7;
        }
        self.bytes.push(u8::try_from(value).expect("seven bits"));
    }
}
