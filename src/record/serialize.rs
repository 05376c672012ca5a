//! From typed keys and values to bytes.
//!
//! In: a key and a value, and a [`Serializer`] for each type. Out: a [`Record`] of their bytes, which are in a buffer that the caller
//! reuses. Pure. Deliberately absent: schemas and a schema registry, which a user's own serializer can use.

use std::{borrow::Cow, fmt, sync::Arc};

use super::Record;
use crate::error::SendError;

/// Turns values of one type into bytes.
///
/// [`Record::serialized`] calls it once for each key or value. The producer does not have the record yet, so a panic in it is like that of
/// any function that the caller calls.
///
/// A closure `Fn(&str, &T, &mut Vec<u8>) -> Result<(), SerializeError>` is a serializer. [`Standard`] is one for common types.
pub trait Serializer<T: ?Sized>: Send + Sync {
    /// Appends the bytes of `value`, of a record for `topic`, to `out`. It must leave the bytes that are in `out` already.
    ///
    /// # Errors
    /// The reason why the value cannot be serialized. [`Record::serialized`] returns it as [`SendError::Serialization`].
    fn serialize(&self, topic: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerializeError>;

    /// Whether `value` is null on the wire. `serialize` is then not called. By default no value is.
    fn is_null(&self, value: &T) -> bool {
        let _ = value;
        false
    }
}

impl<T: ?Sized, F> Serializer<T> for F
where
    F: Fn(&str, &T, &mut Vec<u8>) -> Result<(), SerializeError> + Send + Sync,
{
    fn serialize(&self, topic: &str, value: &T, out: &mut Vec<u8>) -> Result<(), SerializeError> {
        self(topic, value, out)
    }
}

/// The reason why a value cannot be serialized.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct SerializeError {
    reason: String,
}

impl SerializeError {
    /// An error with this reason, such as the error of a serialization library.
    pub fn new(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string() }
    }
}

/// Serializes common types to the same bytes as Java's serializers (`org.apache.kafka.common.serialization`).
///
/// | type | bytes | in Java |
/// |---|---|---|
/// | `str`, `String` | UTF-8 | `StringSerializer` |
/// | `[u8]`, `Vec<u8>`, `Bytes` | themselves | `ByteArraySerializer`, `BytesSerializer` |
/// | `i16`, `i32`, `i64` | 2, 4, 8, big endian | `ShortSerializer`, `IntegerSerializer`, `LongSerializer` |
/// | `f32`, `f64` | 4, 8, IEEE 754, big endian | `FloatSerializer`, `DoubleSerializer` |
/// | `bool` | 1 or 0 in one byte | `BooleanSerializer` |
/// | `Uuid` | 36 characters, lower case with hyphens | `UUIDSerializer` |
/// | `()` | null | `VoidSerializer` |
#[derive(Clone, Copy, Debug, Default)]
pub struct Standard;

macro_rules! standard {
    ($($($type:ty),+: $bytes:expr;)*) => {
        $($(impl Serializer<$type> for Standard {
            fn serialize(&self, _topic: &str, value: &$type, out: &mut Vec<u8>) -> Result<(), SerializeError> {
                let bytes: fn(&$type, &mut Vec<u8>) = $bytes;
                bytes(value, out);
                Ok(())
            }
        })+)*
    };
}

standard! {
    str, String, [u8], Vec<u8>, bytes::Bytes: |value, out| out.extend_from_slice(value.as_ref());
    i16, i32, i64, f32, f64: |value, out| out.extend_from_slice(&value.to_be_bytes());
    bool: |value, out| out.push(u8::from(*value));
    uuid::Uuid: |value, out| out.extend_from_slice(value.hyphenated().encode_lower(&mut [0; 36]).as_bytes());
}

impl Serializer<()> for Standard {
    fn serialize(&self, _topic: &str, (): &(), _out: &mut Vec<u8>) -> Result<(), SerializeError> {
        Ok(())
    }

    fn is_null(&self, (): &()) -> bool {
        true
    }
}

impl<'a> Record<'a> {
    /// A record for `topic` whose key and value are serialized into `scratch`, which is cleared first. `None` is null. Reuse `scratch` for
    /// the next record, and nothing is allocated.
    ///
    /// ```
    /// use milena::{Record, Standard};
    ///
    /// let mut scratch = Vec::new();
    /// let record = Record::serialized("orders", Some(&42_i64), Some("nine"), &Standard, &Standard, &mut scratch)?;
    /// assert_eq!(record.key_bytes(), Some(&[0, 0, 0, 0, 0, 0, 0, 42][..]));
    /// assert_eq!(record.value_bytes(), Some(&b"nine"[..]));
    /// # Ok::<(), milena::SendError>(())
    /// ```
    ///
    /// # Errors
    /// [`SendError::Serialization`] with the serializer's reason, and whether it refused the key or the value.
    pub fn serialized<K: ?Sized, V: ?Sized>(
        topic: &'a str,
        key: Option<&K>,
        value: Option<&V>,
        key_serializer: &(impl Serializer<K> + ?Sized),
        value_serializer: &(impl Serializer<V> + ?Sized),
        scratch: &'a mut Vec<u8>,
    ) -> Result<Self, SendError> {
        scratch.clear();
        let has_key = append(topic, "key", key, key_serializer, scratch)?;
        let key_len = scratch.len();
        let has_value = append(topic, "value", value, value_serializer, scratch)?;
        let (key, value) = scratch.split_at(key_len);
        let part = |is_there: bool, bytes: &'a [u8]| is_there.then_some(Cow::Borrowed(bytes));
        Ok(Self::to(topic).with_payload(part(has_key, key), part(has_value, value)))
    }
}

#[cfg(feature = "json")]
impl Record<'_> {
    /// Sets the value to the JSON of `value`. Needs the feature `json`.
    ///
    /// ```
    /// # #[cfg(feature = "json")] {
    /// use milena::Record;
    ///
    /// let record = Record::to("orders").key("user-1").json(&[("total", 9)])?;
    /// assert_eq!(record.value_bytes(), Some(&br#"[["total",9]]"#[..]));
    /// # }
    /// # Ok::<(), milena::SendError>(())
    /// ```
    ///
    /// # Errors
    /// [`SendError::Serialization`] if the value cannot be JSON, such as a map whose keys are no text.
    pub fn json(self, value: &(impl serde::Serialize + ?Sized)) -> Result<Self, SendError> {
        match serde_json::to_vec(value) {
            Ok(json) => Ok(Self { value: Some(Cow::Owned(json)), ..self }),
            Err(error) => {
                let (topic, reason) = (Arc::from(self.topic), error.to_string());
                Err(SendError::Serialization { topic, part: "value", reason })
            }
        }
    }
}

/// Appends the bytes of a value. Returns false if it is null.
fn append<T: ?Sized>(
    topic: &str,
    part: &'static str,
    value: Option<&T>,
    serializer: &(impl Serializer<T> + ?Sized),
    out: &mut Vec<u8>,
) -> Result<bool, SendError> {
    let Some(value) = value.filter(|value| !serializer.is_null(value)) else { return Ok(false) };
    let before = out.len();
    let appended = serializer.serialize(topic, value, out).and_then(|()| match out.len() < before {
        true => Err(SerializeError::new("the serializer removed bytes that were not its own")),
        false => Ok(true),
    });
    appended.map_err(|error| SendError::Serialization { topic: Arc::from(topic), part, reason: error.reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes<T: ?Sized>(value: &T) -> Vec<u8>
    where
        Standard: Serializer<T>,
    {
        let mut out = vec![b'>'];
        Standard.serialize("t", value, &mut out).unwrap();
        assert_eq!(out.remove(0), b'>', "what stood there stays");
        out
    }

    fn record<'a, K: ?Sized, V: ?Sized>(
        key: Option<&K>,
        value: Option<&V>,
        scratch: &'a mut Vec<u8>,
    ) -> Result<Record<'a>, SendError>
    where
        Standard: Serializer<K> + Serializer<V>,
    {
        Record::serialized("t", key, value, &Standard, &Standard, scratch)
    }

    #[test]
    fn standard_bytes_are_those_of_java() {
        assert_eq!(bytes("aé"), [0x61, 0xc3, 0xa9]);
        assert_eq!(bytes(&String::from("a")), b"a");
        assert_eq!(bytes(&[1_u8, 2][..]), [1, 2]);
        assert_eq!(bytes(&vec![1_u8, 2]), [1, 2]);
        assert_eq!(bytes(&bytes::Bytes::from_static(&[7])), [7]);
        assert_eq!(bytes(&-2_i16), [0xff, 0xfe]);
        assert_eq!(bytes(&258_i32), [0, 0, 1, 2]);
        assert_eq!(bytes(&258_i64), [0, 0, 0, 0, 0, 0, 1, 2]);
        assert_eq!(bytes(&1.0_f32), [0x3f, 0x80, 0, 0]);
        assert_eq!(bytes(&-1.0_f64), [0xbf, 0xf0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((bytes(&true), bytes(&false)), (vec![1], vec![0]));
        let uuid = uuid::Uuid::from_u128(0xA1B2_0000_0000_4000_8000_0000_0000_0001);
        assert_eq!(bytes(&uuid), b"a1b20000-0000-4000-8000-000000000001");
    }

    #[test]
    fn key_and_value_share_a_buffer_that_can_be_used_again() {
        let mut scratch = b"left over".to_vec();
        let first = record(Some("key"), Some(&7_i16), &mut scratch).unwrap();
        assert_eq!((first.key_bytes(), first.value_bytes()), (Some(&b"key"[..]), Some(&[0, 7][..])));
        let second = record(Some(""), Some("v"), &mut scratch).unwrap();
        assert_eq!((second.key_bytes(), second.value_bytes()), (Some(&b""[..]), Some(&b"v"[..])));
    }

    #[test]
    fn what_is_absent_or_the_unit_is_null_and_not_empty() {
        let mut scratch = Vec::new();
        let tombstone = record::<str, str>(Some("k"), None, &mut scratch).unwrap();
        assert_eq!((tombstone.key_bytes(), tombstone.value_bytes()), (Some(&b"k"[..]), None));
        let keyless = record(Some(&()), Some("v"), &mut scratch).unwrap();
        assert_eq!((keyless.key_bytes(), keyless.value_bytes()), (None, Some(&b"v"[..])));
    }

    #[test]
    fn a_serializer_s_refusal_names_the_topic_and_the_part() {
        let refuse = |topic: &str, _: &str, _: &mut Vec<u8>| Err(SerializeError::new(format!("no schema for {topic}")));
        let mut scratch = Vec::new();
        let error = Record::serialized("t", Some("k"), Some("v"), &refuse, &Standard, &mut scratch).unwrap_err();
        assert_eq!(error.to_string(), "cannot serialize the key of a record for t: no schema for t");
        let error = Record::serialized("t", Some("k"), Some("v"), &Standard, &refuse, &mut scratch).unwrap_err();
        assert_eq!(error.to_string(), "cannot serialize the value of a record for t: no schema for t");
    }

    #[test]
    fn a_serializer_that_removes_bytes_of_the_key_is_refused() {
        let clears = |_: &str, _: &str, out: &mut Vec<u8>| {
            out.clear();
            Ok(())
        };
        let mut scratch = Vec::new();
        let error = Record::serialized("t", Some("key"), Some("v"), &Standard, &clears, &mut scratch).unwrap_err();
        assert!(error.to_string().ends_with("removed bytes that were not its own"), "{error}");
    }

    #[cfg(feature = "json")]
    #[test]
    fn what_cannot_be_json_is_refused_with_the_reason() {
        let map = std::collections::BTreeMap::from([(vec![1], 2)]);
        let error = Record::to("t").json(&map).unwrap_err();
        assert_eq!(error.to_string(), "cannot serialize the value of a record for t: key must be a string");
    }

    #[test]
    fn serializers_may_be_chosen_while_the_program_runs() {
        let chosen: Box<dyn Serializer<str>> = Box::new(Standard);
        let mut scratch = Vec::new();
        let record = Record::serialized("t", Some("k"), Some("v"), &*chosen, &Standard, &mut scratch).unwrap();
        assert_eq!(record.key_bytes(), Some(&b"k"[..]));
    }
}
