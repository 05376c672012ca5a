//! Rust sources as plain text.
//!
//! In: a file. Out: its code without comments, strings and tests; its paths, its functions. Pure. Deliberately absent:
//! a parser. The code that these functions misread is code that the project does not write.

use std::collections::BTreeMap;

/// A source file, read.
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) raw: String,
    /// Without comments and strings.
    pub(crate) code: String,
    /// Without test code either.
    pub(crate) shipped: String,
}

impl Source {
    pub(crate) fn new(path: &str, raw: &str) -> Self {
        let code = without_comments_and_strings(raw);
        let folders = ["tests/", "fuzz/"];
        let apart = folders.iter().any(|folder| path.starts_with(folder));
        let only_tests = apart || path.ends_with("/tests.rs") || path.contains("/tests/");
        let shipped = if only_tests { String::new() } else { without_tests(&code) };
        Self { path: path.to_owned(), raw: raw.to_owned(), code, shipped }
    }

    /// The library's module that the file belongs to, and how deep in it; `None` for files of other crates and for roots.
    pub(crate) fn module(&self) -> Option<(&str, usize)> {
        let path = self.path.strip_prefix("src/")?.strip_suffix(".rs")?;
        let path = path.strip_suffix("/mod").unwrap_or(path);
        let name = path.split('/').next()?;
        (name != "lib").then(|| (name, path.split('/').count()))
    }

    /// Whether the file's code runs in a user's program.
    pub(crate) fn is_shipped(&self) -> bool {
        let crates = self.path.strip_prefix("crates/").and_then(|path| path.split_once('/'));
        self.path.starts_with("src/") || crates.is_some_and(|(_, path)| path.starts_with("src/"))
    }
}

/// `code` with comments and the contents of strings and characters blanked; line ends stay.
pub(crate) fn without_comments_and_strings(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let blank = blank_length(rest, out.chars().next_back());
        let taken = if blank == 0 { first.len_utf8() } else { blank };
        let (piece, after) = rest.split_at(taken);
        out.extend(piece.chars().map(|c| if blank > 0 && c != '\n' { ' ' } else { c }));
        rest = after;
    }
    out
}

/// How many bytes at the front of `rest` are a comment, a string or a character; 0 for code.
fn blank_length(rest: &str, before: Option<char>) -> usize {
    let until = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let continues_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let raw = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r').filter(|_| !continues_word);
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return until("*/", 2);
    }
    if let Some(raw) = raw {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return until(&format!("\"{}", "#".repeat(hashes)), rest.len() - raw.len() + hashes + 1);
        }
    }
    match rest.as_bytes() {
        [b'"', ..] => quoted(rest, '"'),
        [b'\'', b'\\', ..] => quoted(rest, '\''),
        [b'\'', ..] if rest.chars().nth(2) == Some('\'') => rest.chars().take(3).map(char::len_utf8).sum(),
        _ => 0,
    }
}

/// The length of a literal that opens `rest` and goes on to the next `quote` that is not escaped.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        if c == quote && !escaped {
            return at + c.len_utf8();
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// `code` without items that are compiled for tests only.
fn without_tests(code: &str) -> String {
    let marks = ["#[cfg(test)]", "#[cfg(all(test,"].map(|mark| code.find(mark));
    let Some(mark) = marks.into_iter().flatten().min() else { return code.to_owned() };
    let item = &code[mark..];
    let end = body(item).map_or(item.len(), |(at, _)| at + block_length(&item[at..]));
    format!("{}{}", &code[..mark], without_tests(&item[end..]))
}

/// Where the body of the item that opens `code` begins, and with what: `{`, or `;` if it has none.
fn body(code: &str) -> Option<(usize, char)> {
    let mut nesting = 0_usize;
    code.char_indices().find(|(_, c)| {
        match c {
            '(' | '[' => nesting += 1,
            ')' | ']' => nesting = nesting.saturating_sub(1),
            _ => {}
        }
        nesting == 0 && matches!(c, '{' | ';')
    })
}

/// The length of the block that opens `code`, or of one character if none does.
fn block_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, c) in code.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at + c.len_utf8();
        }
    }
    code.len()
}

/// Every function with a body: its name and how many lines it takes.
pub(crate) fn functions(code: &str) -> Vec<(String, usize)> {
    let starts = code.match_indices("fn ").filter(|(at, _)| starts_word(code, *at));
    starts.filter_map(|(at, _)| function(&code[at..])).collect()
}

fn function(code: &str) -> Option<(String, usize)> {
    let name: String = code["fn ".len()..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let (at, '{') = body(code)? else { return None };
    let end = at + block_length(&code[at..]);
    (!name.is_empty()).then(|| (name, code[..end].lines().count()))
}

/// Every path with `::` in it, and every import, with `{…}` written out: `a::{b, c::D}` gives `a::b` and `a::c::D`.
pub(crate) fn paths(code: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = code;
    let mut before = None;
    while let Some(c) = rest.chars().next() {
        let is_start = (c.is_alphabetic() || c == '_') && !before.is_some_and(is_path_char);
        let taken = if is_start { tree("", rest, &mut found) } else { c.len_utf8() };
        let (piece, after) = rest.split_at(taken);
        before = piece.chars().next_back();
        rest = after;
    }
    found
}

fn is_path_char(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | ':' | '.')
}

/// Reads one path or tree of paths from the front of `code`, adds it to `found` with `prefix`, and says how long it is.
fn tree(prefix: &str, code: &str, found: &mut Vec<String>) -> usize {
    let name_len = code.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | ':'))).unwrap_or(code.len());
    let path = format!("{prefix}{}", &code[..name_len]);
    if !path.ends_with("::") || !code[name_len..].starts_with('{') {
        if path.contains("::") {
            found.push(path.trim_end_matches("::").to_owned());
        }
        return name_len.max(1);
    }
    let end = name_len + block_length(&code[name_len..]);
    let mut at = name_len + 1;
    while at + 1 < end {
        let branch = &code[at..end - 1];
        let skip = branch.len() - branch.trim_start_matches(|c: char| c.is_whitespace() || c == ',').len();
        at += skip;
        if at + 1 < end {
            at += tree(&path, &code[at..end - 1], found);
            at += code[at..end - 1].find(',').unwrap_or(end - 1 - at);
        }
    }
    end
}

pub(crate) fn starts_word(code: &str, at: usize) -> bool {
    !code[..at].chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

pub(crate) fn starts_with_path(path: &str, start: &str) -> bool {
    path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

pub(crate) fn contains_path(path: &str, part: &str) -> bool {
    part.contains("::") && path.match_indices("::").any(|(at, _)| starts_with_path(&path[at + 2..], part))
}

/// What the crate's root re-exports, and the module each comes from.
pub(crate) fn exports(root: &str) -> BTreeMap<String, String> {
    let paths = paths(&without_comments_and_strings(root)).into_iter();
    paths.filter_map(|path| Some((path.rsplit("::").next()?.to_owned(), path.split("::").next()?.to_owned()))).collect()
}
