//! Makes a record of a row of CSV, whose columns have names.
//!
//! In: the names of the columns, which of them are key, value and so on, and rows. Out: records, or which field is wrong. Pure.

use std::borrow::Cow;

use milena::{Header, Record};

use super::{
    csv::fields,
    template::{Template, Texts, time},
};
use crate::encoding::Wrong;

/// What columns stand for, by their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) key: Option<String>,
    /// `None` makes an object of JSON of all columns that stand for nothing else.
    pub(crate) value: Option<String>,
    pub(crate) timestamp: Option<String>,
    pub(crate) partition: Option<String>,
    /// Each becomes a header of its name.
    pub(crate) headers: Vec<String>,
}

/// Makes records of rows.
#[derive(Clone, Debug)]
pub(crate) struct Columns {
    delimiter: u8,
    /// Name and meaning of each column, in order.
    columns: Vec<(String, Meaning)>,
    /// Whether the value is an object.
    is_object: bool,
    texts: Texts,
}

/// What a column stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Key,
    Value,
    Timestamp,
    Partition,
    Header,
    /// A member of the value.
    Member,
    Nothing,
}

impl Columns {
    /// The columns of an input that begins with the row of their names.
    pub(crate) fn new(delimiter: u8, names: &[u8], named: &Named, texts: Texts) -> Result<Self, String> {
        let names = fields(delimiter, names).into_iter().map(String::from_utf8).collect::<Result<Vec<_>, _>>();
        let names = names.map_err(|_| "the first row: expected names of columns in UTF-8")?;
        let once = [&named.key, &named.value, &named.timestamp, &named.partition].into_iter().flatten();
        if let Some(missing) = once.chain(&named.headers).find(|name| !names.contains(name)) {
            return Err(format!("the first row: expected a column {missing:?}, got {}", names.join(", ")));
        }
        let columns = names.into_iter().map(|name| (named.meaning(&name), name)).map(|(meaning, name)| (name, meaning));
        Ok(Self { delimiter, columns: columns.collect(), is_object: named.value.is_none(), texts })
    }

    /// The record of a row. What `template` has counts before what the row has, but for the key.
    pub(crate) fn record<'a>(&'a self, template: &'a Template, row: &[u8]) -> Result<Record<'a>, Wrong> {
        let fields = fields(self.delimiter, row);
        if fields.len() != self.columns.len() {
            let (expected, got) = (self.columns.len(), fields.len());
            return Err(Wrong::new(expected.min(got), format!("expected {expected} columns, got {got}")));
        }
        let mut record = template.record();
        let (mut key, mut value, mut members) = (template.key.as_deref().map(Cow::Borrowed), None, Vec::new());
        for (at, ((name, meaning), field)) in self.columns.iter().zip(&fields).enumerate() {
            let wrong = |why: String| Wrong::new(at, format!("{name}: {why}"));
            let decoded = |bytes: Result<Option<Cow<'_, [u8]>>, Wrong>| {
                bytes.map(|bytes| bytes.map(Cow::into_owned).map(Cow::Owned)).map_err(|error| wrong(error.why))
            };
            match meaning {
                Meaning::Key => key = decoded(self.texts.key(field))?,
                Meaning::Value => value = decoded(self.texts.value(field))?,
                Meaning::Header if self.texts.is_null(field) => record = record.with_header(Header::null(name)),
                Meaning::Header => record = record.with_header(Header::owned(name.as_str(), field.as_slice())),
                Meaning::Timestamp | Meaning::Partition if self.texts.is_null(field) => {}
                Meaning::Timestamp if template.timestamp.is_none() => {
                    record = record.timestamp(text(field).and_then(time).map_err(wrong)?);
                }
                Meaning::Partition if template.partition.is_none() => {
                    record = record.partition(text(field).and_then(partition).map_err(wrong)?);
                }
                Meaning::Member => members.push((name, text(field).map_err(wrong)?)),
                Meaning::Timestamp | Meaning::Partition | Meaning::Nothing => {}
            }
        }
        if self.is_object {
            value = Some(Cow::Owned(self.object(&members).into_bytes()));
        }
        Ok(record.with_payload(key, value))
    }

    fn object(&self, members: &[(&String, &str)]) -> String {
        // A text cannot fail to serialize.
        let json = |text: &str| serde_json::to_string(text).unwrap_or_default();
        let value = |text: &str| if self.texts.is_null(text.as_bytes()) { "null".into() } else { json(text) };
        let members: Vec<_> = members.iter().map(|(name, text)| format!("{}:{}", json(name), value(text))).collect();
        format!("{{{}}}", members.join(","))
    }
}

impl Named {
    fn meaning(&self, name: &String) -> Meaning {
        let is = |column: &Option<String>| column.as_ref() == Some(name);
        match name {
            _ if is(&self.key) => Meaning::Key,
            _ if is(&self.value) => Meaning::Value,
            _ if is(&self.timestamp) => Meaning::Timestamp,
            _ if is(&self.partition) => Meaning::Partition,
            _ if self.headers.contains(name) => Meaning::Header,
            _ if self.value.is_none() => Meaning::Member,
            _ => Meaning::Nothing,
        }
    }
}

fn text(field: &[u8]) -> Result<&str, String> {
    str::from_utf8(field).map_err(|_| "expected UTF-8".to_owned())
}

fn partition(text: &str) -> Result<i32, String> {
    let number = text.parse().ok().filter(|&number| number >= 0);
    number.ok_or_else(|| format!("expected the number of a partition, got {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Encoding;

    fn named(key: &str, value: &str) -> Named {
        let some = |name: &str| (!name.is_empty()).then(|| name.to_owned());
        Named { key: some(key), value: some(value), ..Named::default() }
    }

    /// A record as text: `partition|timestamp|headers|key|value`; `-` is null or none.
    fn told(named: &Named, texts: &Texts, names: &str, row: &[u8]) -> Result<String, String> {
        let template = Template { topic: "t".into(), ..Template::default() };
        let columns = Columns::new(b',', names.as_bytes(), named, texts.clone())?;
        let record = columns.record(&template, row).map_err(|wrong| wrong.to_string())?;
        let text = |bytes: Option<&[u8]>| bytes.map_or_else(|| "-".into(), |bytes| bytes.escape_ascii().to_string());
        let number = |number: Option<i64>| number.map_or_else(|| "-".into(), |number| number.to_string());
        let headers = record.headers().iter().map(|h| format!("{}={} ", h.key, text(h.value.as_deref())));
        let (partition, timestamp) = (record.explicit_partition().map(i64::from), record.explicit_timestamp());
        let (headers, key, value) = (headers.collect::<String>(), text(record.key_bytes()), text(record.value_bytes()));
        Ok(format!("{}|{}|{headers}|{key}|{value}", number(partition), number(timestamp)))
    }

    #[test]
    fn rows_become_records() {
        let all = Named {
            timestamp: Some("when".into()),
            partition: Some("p".into()),
            headers: vec!["source".into()],
            ..named("id", "text")
        };
        let nulls = Texts { empty_is_null: true, ..Texts::default() };
        let hex = Texts { value: Encoding::Hex, ..Texts::default() };
        let plain = Texts::default();
        for (named, texts, names, row, expected) in [
            (&named("id", "text"), &plain, "id,text\n", &b"k,\"v,\"\"w\"\n"[..], "-|-||k|v,\\\"w"),
            (&named("id", "text"), &plain, "id,text,more", b"k,v,x", "-|-||k|v"),
            (&named("", "text"), &plain, "id,text\n", b"k,\xff\n", "-|-||-|\\xff"),
            (&named("id", "text"), &nulls, "id,text\n", b",\n", "-|-||-|-"),
            (&named("id", "text"), &hex, "id,text\n", b"00,00\n", "-|-||00|\\x00"),
            (&named("id", ""), &plain, "id,b,a\n", b"k,1,\"x\"\"\"\n", r#"-|-||k|{\"b\":\"1\",\"a\":\"x\\\"\"}"#),
            (&named("id", ""), &nulls, "id,b\n", b"k,\n", r#"-|-||k|{\"b\":null}"#),
            (&named("id", ""), &plain, "id\n", b"k\n", "-|-||k|{}"),
            (&all, &plain, "when,p,source,id,text\n", b"17,2,shop,k,v\n", "2|17|source=shop |k|v"),
            (&all, &nulls, "when,p,source,id,text\n", b",,,k,v\n", "-|-|source=- |k|v"),
        ] {
            assert_eq!(told(named, texts, names, row), Ok(expected.into()), "{}", row.escape_ascii());
        }
    }

    #[test]
    fn an_error_names_the_column_by_number_and_name() {
        let hex = Texts { key: Encoding::Hex, ..Texts::default() };
        let placed = Named { partition: Some("p".into()), ..named("", "text") };
        for (named, names, row, expected) in [
            (&named("no", ""), "id,text\n", &b"a,b\n"[..], "the first row: expected a column \"no\", got id, text"),
            (&named("id", ""), "id,text\n", b"a\n", "column 2: expected 2 columns, got 1"),
            (&named("id", ""), "id,text\n", b"a,b,c\n", "column 3: expected 2 columns, got 3"),
            (&named("id", ""), "id,text\n", b"0x,b\n", "column 1: id: expected a hexadecimal digit, got 'x'"),
            (&named("id", ""), "id,text\n", b"00,\xff\n", "column 2: text: expected UTF-8"),
            (&placed, "text,p\n", b"v,-1\n", "column 2: p: expected the number of a partition, got \"-1\""),
        ] {
            assert_eq!(told(named, &hex, names, row), Err(expected.into()), "{}", row.escape_ascii());
        }
    }
}
