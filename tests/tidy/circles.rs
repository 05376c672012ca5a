//! Finds dependencies between the files of the library, and the circles among them.
//!
//! In: the library's sources. Out: arrows between files, and circles of them. Pure. A name that a module re-exports
//! (`pub use`) counts for the file that defines it, and the re-export itself is no use of it. Deliberately absent: uses
//! of methods or traits without a path or an import.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Source, paths, starts_word};

/// The library's files by the paths of their modules; the root's is empty.
struct Library<'a> {
    modules: BTreeMap<String, &'a Source>,
    /// A name that a module passes on, and what it stands for.
    exports: BTreeMap<String, String>,
}

/// Which file of the library names items of which other.
pub(crate) fn arrows(files: &[Source]) -> BTreeSet<(&str, &str)> {
    let library = Library::new(files);
    library.modules.iter().flat_map(|(module, file)| library.arrows_of(module, file)).collect()
}

/// The module that a file of the library is: `src/broker/api.rs` is `broker::api`.
fn module(path: &str) -> Option<String> {
    let path = path.strip_prefix("src/")?.strip_suffix(".rs")?;
    let path = if path == "lib" { "" } else { path.strip_suffix("/mod").unwrap_or(path) };
    Some(path.replace('/', "::"))
}

impl<'a> Library<'a> {
    fn new(files: &'a [Source]) -> Self {
        let modules = files.iter().filter_map(|file| Some((module(&file.path)?, file))).collect();
        let mut this = Self { modules, exports: BTreeMap::new() };
        this.exports = this.modules.iter().flat_map(|(module, file)| this.exports_of(module, file)).collect();
        this
    }

    fn exports_of(&self, module: &str, file: &Source) -> Vec<(String, String)> {
        let paths = passed_on(&file.shipped).0.into_iter();
        paths.filter_map(|path| Some((join(module, last(&path)), self.absolute(module, &path)?))).collect()
    }

    fn arrows_of(&self, module: &str, file: &'a Source) -> Vec<(&'a str, &'a str)> {
        let (passed_on, code) = passed_on(&file.shipped);
        // How far a name may be seen is no use of where.
        let code = code.replace("pub(in crate::", "pub(");
        let also_used = passed_on.into_iter().filter(|path| has_word(&code, last(path)));
        let used = paths(&code).into_iter().chain(also_used);
        let defined_in = used.filter_map(|path| self.file_of(&self.absolute(module, &path)?));
        defined_in.map(|other| (&*file.path, &*other.path)).filter(|(from, to)| from != to).collect()
    }

    /// A path as it reads from the crate's root; `None` for one that leads out of the crate, or to what was imported.
    fn absolute(&self, module: &str, path: &str) -> Option<String> {
        let (first, rest) = path.split_once("::").unwrap_or((path, ""));
        match first {
            "crate" => Some(rest.to_owned()),
            "self" => Some(join(module, rest)),
            "super" => {
                let parent = module.rsplit_once("::").map_or("", |(parent, _)| parent);
                let climbs = rest.split("::").next().is_some_and(|next| next == "super");
                if climbs { self.absolute(parent, rest) } else { Some(join(parent, rest)) }
            }
            _ => self.modules.contains_key(&join(module, first)).then(|| join(module, path)),
        }
    }

    /// The file that defines what a path from the root names.
    fn file_of(&self, path: &str) -> Option<&'a Source> {
        let mut module = String::new();
        for name in path.split("::") {
            let next = join(&module, name);
            if self.modules.contains_key(&next) {
                module = next;
            } else {
                let Some(stands_for) = self.exports.get(&next) else { break };
                return self.file_of(stands_for);
            }
        }
        self.modules.get(&module).copied()
    }
}

/// What code passes on, as paths, and the rest of it.
fn passed_on(code: &str) -> (Vec<String>, String) {
    let (mut found, mut rest) = (Vec::new(), code.to_owned());
    while let Some((start, end)) = rest.match_indices("pub").find_map(|(at, _)| export(&rest, at)) {
        let paths = paths(&rest[start..end]).into_iter();
        found.extend(paths.map(|path| path.trim_end_matches("::self").to_owned()));
        rest.replace_range(start..end, "");
    }
    (found, rest)
}

/// Where a `pub use` that stands at `at` begins and ends.
fn export(code: &str, at: usize) -> Option<(usize, usize)> {
    let after = &code[at + 3..];
    let after_scope = if after.starts_with('(') { after.split_once(')')?.1 } else { after };
    let is_export = starts_word(code, at) && after_scope.trim_start().starts_with("use ");
    is_export.then(|| (at, code[at..].find(';').map_or(code.len(), |end| at + end + 1)))
}

/// Files that reach one another, group by group.
pub(crate) fn circles<'a>(arrows: &BTreeSet<(&'a str, &'a str)>) -> Vec<BTreeSet<&'a str>> {
    let starts: BTreeSet<&str> = arrows.iter().map(|(from, _)| *from).collect();
    let reached: BTreeMap<&str, BTreeSet<&str>> = starts.iter().map(|from| (*from, reach(from, arrows))).collect();
    let is_mutual = |a: &str, b: &str| reached.get(b).is_some_and(|of_b| of_b.contains(a));
    let circle = |(from, of_from): (&&'a str, &BTreeSet<&'a str>)| {
        of_from.iter().copied().filter(|to| is_mutual(from, to)).collect::<BTreeSet<_>>()
    };
    let found: BTreeSet<_> = reached.iter().map(circle).filter(|circle| !circle.is_empty()).collect();
    found.into_iter().collect()
}

/// Every file that arrows lead to from `from`.
fn reach<'a>(from: &'a str, arrows: &BTreeSet<(&'a str, &'a str)>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut left = vec![from];
    while let Some(file) = left.pop() {
        let next = arrows.iter().filter(|(start, _)| *start == file).map(|(_, end)| *end);
        left.extend(next.filter(|end| reached.insert(*end)));
    }
    reached
}

fn join(module: &str, name: &str) -> String {
    match (module, name) {
        ("", path) | (path, "" | "self") => path.to_owned(),
        (module, name) => format!("{module}::{name}"),
    }
}

fn last(path: &str) -> &str {
    path.rsplit("::").next().unwrap_or(path)
}

fn has_word(code: &str, word: &str) -> bool {
    let ends = |at: usize| !code[at + word.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| starts_word(code, at) && ends(at))
}
