//! Makes records of what an input holds, by its format.
//!
//! In: lines, rows or objects. Out: records, or where one is wrong. Pure.

use milena::Record;

use super::{columns::Columns, json::Json, layout::Layout, template::Template};
use crate::encoding::Wrong;

/// Makes records.
#[derive(Clone, Debug)]
pub(crate) struct Parser {
    pub(crate) template: Template,
    pub(crate) syntax: Syntax,
}

/// What an input consists of.
#[derive(Clone, Debug)]
pub(crate) enum Syntax {
    Lines(Layout),
    Json(Json),
    Rows(Columns),
    /// All that is there is the value.
    Value,
}

impl Parser {
    /// The record of a line, a row or an object, without its end.
    #[inline]
    pub(crate) fn record<'a>(&'a self, content: &'a [u8]) -> Result<Record<'a>, Wrong> {
        match &self.syntax {
            Syntax::Lines(layout) => layout.record(&self.template, content),
            Syntax::Json(json) => json.record(&self.template, content),
            Syntax::Rows(columns) => columns.record(&self.template, content),
            Syntax::Value => Ok(self.template.record().value(content)),
        }
    }

    /// The topic, if each line is the value of a record that has nothing else.
    pub(crate) fn topic_of_values(&self) -> Option<&str> {
        (matches!(self.syntax, Syntax::Value) && self.template.is_bare()).then_some(&self.template.topic)
    }

    /// Whether this is no record and no error: an empty line between others.
    #[inline]
    pub(crate) fn skips(&self, content: &[u8]) -> bool {
        match &self.syntax {
            Syntax::Lines(_) | Syntax::Value => false,
            Syntax::Json(_) | Syntax::Rows(_) => content.iter().all(u8::is_ascii_whitespace),
        }
    }

    /// How many lines stand before the first record, if this does.
    pub(crate) fn lines_before(&self, heading: &[u8]) -> u64 {
        if heading.is_empty() { 0 } else { self.lines(heading) }
    }

    /// Whether a record may have a topic and a partition of its own, so that those of the others are no worse if it has wrong ones.
    pub(crate) fn places_each(&self) -> bool {
        matches!(self.syntax, Syntax::Json(_) | Syntax::Rows(_))
    }

    /// How many lines this takes, as a person counts them.
    #[inline]
    pub(crate) fn lines(&self, content: &[u8]) -> u64 {
        match &self.syntax {
            Syntax::Rows(_) => (memchr::memchr_iter(b'\n', content).count() as u64).max(1),
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{columns::Named, template::Texts},
        *,
    };

    fn parser(syntax: Syntax) -> Parser {
        Parser { template: Template { topic: "t".into(), ..Template::default() }, syntax }
    }

    #[test]
    fn empty_lines_are_records_only_where_lines_are_values() {
        let rows = Columns::new(b',', b"a\n", &Named::default(), Texts::default()).unwrap();
        for (syntax, expected) in [
            (Syntax::Lines(Layout::default()), [false, false]),
            (Syntax::Value, [false, false]),
            (Syntax::Json(Json::default()), [true, true]),
            (Syntax::Rows(rows), [true, true]),
        ] {
            let parser = parser(syntax);
            assert_eq!([&b""[..], b" \r\n"].map(|content| parser.skips(content)), expected, "{parser:?}");
            assert!(!parser.skips(b"x"));
        }
    }

    #[test]
    fn a_row_takes_as_many_lines_as_it_has() {
        let rows = Columns::new(b',', b"a\n", &Named::default(), Texts::default()).unwrap();
        let lines = |syntax: Syntax, content: &[u8]| parser(syntax).lines(content);
        assert_eq!(lines(Syntax::Rows(rows.clone()), b"\"a\nb\"\n"), 2);
        assert_eq!(lines(Syntax::Rows(rows), b"a"), 1);
        assert_eq!(lines(Syntax::Lines(Layout::default()), b"a\nb"), 1);
    }

    #[test]
    fn what_has_no_parts_is_the_value() {
        let parser = parser(Syntax::Value);
        assert_eq!(parser.record(b"a\n\xff\r\n").unwrap().value_bytes(), Some(&b"a\n\xff\r\n"[..]));
    }

    #[test]
    fn lines_are_values_if_they_have_no_parts_and_nothing_in_common() {
        let values = parser(Syntax::Value);
        assert_eq!(values.topic_of_values(), Some("t"));
        for line in [&b""[..], b"a", b"\xff\0"] {
            assert_eq!(values.record(line).unwrap(), Record::to("t").value(line));
        }
        assert_eq!(parser(Syntax::Lines(Layout::default())).topic_of_values(), None);
        let template = Template { key: Some(b"k".to_vec()), ..values.template };
        assert_eq!(Parser { template, ..values }.topic_of_values(), None);
    }
}
