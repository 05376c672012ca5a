//! The project's rules as tests: which module may use which, what a pure module may not use, how large files and
//! functions may be, and what must not be committed.
//!
//! In: the repository's text files. Out: a list of violations, which must be empty. Sources are read as text, with
//! comments, strings and test code blanked. That is enough for these rules, and needs no Rust parser. Every rule is a
//! function from one file to its violations, and has a sample that keeps it and one that breaks it.

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/compose.rs"]
mod compose;
#[path = "tidy/crates.rs"]
mod crates;
#[path = "tidy/museum.rs"]
mod museum;
#[path = "tidy/samples.rs"]
mod samples;
#[path = "tidy/source.rs"]
mod source;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use circles::circles;
use source::{Source, contains_path, exports, functions, paths, starts_with_path, starts_word};

/// Each may use those after it.
const PIPELINE: [&str; 12] = [
    "bench",
    "blocking",
    "patterns",
    "mock",
    "producer",
    "net",
    "sender",
    "accumulator",
    "oauth",
    "wire",
    "dial",
    "tls",
];
/// Everybody may use these. They use each other only, and the table of error codes, which is vocabulary in wire's care.
const VOCABULARY: [&str; 9] =
    ["record", "cluster", "config", "error", "delivery", "metrics", "sasl", "secret", "wire::errors"];
/// These use wire, vocabulary, tokens, and what makes connections.
const BESIDE: [&str; 2] = ["broker", "admin"];

/// Parts of one module that do not know each other.
const STRANGERS: [(&str, &str); 2] = [("src/sender/links", "lanes"), ("src/sender/lanes", "links")];

/// Files that may touch the world, in modules that otherwise may not.
const IMPURE: [&str; 4] =
    ["src/broker/listener.rs", "src/broker/listener/", "src/broker.rs", "src/delivery/callbacks.rs"];
const PURE: [&str; 10] =
    ["config", "error", "cluster", "record", "accumulator", "sender", "wire", "broker", "delivery", "metrics"];
/// The world: clock, sockets, tasks, threads and randomness that nobody seeded.
const WORLD: [&str; 16] = [
    "Instant::now",
    "SystemTime::now",
    "tokio::net",
    "tokio::time",
    "tokio::spawn",
    "tokio::task",
    "tokio::runtime",
    "std::net::TcpStream",
    "std::net::TcpListener",
    "std::net::UdpSocket",
    "std::thread",
    "std::fs",
    "rand",
    "fastrand",
    "getrandom",
    "Uuid::new_v4",
];

/// Arrows that close a circle which is not cut yet, and why.
const UNCUT: [(&str, &str, &str); 0] = [];

/// Files that may have more lines, and why.
const LARGE_FILES: [(&str, &str); 0] = [];
const MAX_FILE_LINES: usize = 500;
const MAX_FUNCTION_LINES: usize = 70;

/// Modules use those below them only. `exports` maps what the crate's root re-exports to the module it comes from.
fn arrows(file: &Source, exports: &BTreeMap<String, String>) -> Vec<String> {
    let Some((from, depth)) = file.module() else { return Vec::new() };
    let known = PIPELINE.contains(&from) || VOCABULARY.contains(&from) || BESIDE.contains(&from);
    if !known {
        return vec![format!("{}: {from} is in no layer; give it one in tests/tidy.rs", file.path)];
    }
    let used = paths(&file.shipped).into_iter().filter_map(|path| from_root(&path, depth).map(str::to_owned));
    let forbidden = used.filter(|path| !may_use(from, path, exports));
    forbidden.map(|path| format!("{}: {from} may not use {path}", file.path)).collect()
}

/// What follows the crate's root in a path that starts there, or climbs to there from a module this deep.
fn from_root(path: &str, depth: usize) -> Option<&str> {
    let mut rest = path.strip_prefix("self::").unwrap_or(path);
    if let Some(rest) = rest.strip_prefix("crate::") {
        return Some(rest);
    }
    for _ in 0..depth {
        rest = rest.strip_prefix("super::")?;
    }
    Some(rest)
}

fn may_use(from: &str, path: &str, exports: &BTreeMap<String, String>) -> bool {
    let first = path.split("::").next().unwrap_or(path);
    let to = exports.get(first).map_or(first, String::as_str);
    let layer = |name: &str| PIPELINE.iter().position(|layer| *layer == name);
    let common = VOCABULARY.iter().any(|word| starts_with_path(to, word) || starts_with_path(path, word));
    let below = matches!((layer(from), layer(to)), (Some(from), Some(to)) if from < to);
    let module = layer(to).is_some() || BESIDE.contains(&to);
    to == from
        || common
        || below
        // A reply is read as a test reads what was written.
        || (from == "patterns" && to == "admin")
        || (BESIDE.contains(&from) && ["oauth", "wire", "dial", "tls"].contains(&to))
        || !module
}

/// Labs are at the end of the arrows: main starts them, and no other command uses what is theirs.
fn labs(file: &Source) -> Vec<String> {
    let labs = "crates/cli/src/lab";
    if file.path.starts_with(labs) || file.path == "crates/cli/src/main.rs" || !file.path.starts_with("crates/cli/src/")
    {
        return Vec::new();
    }
    let used = paths(&file.code).into_iter().filter(|path| starts_with_path(path, "crate::lab"));
    used.map(|path| format!("{}: {path} is a lab's; move it beside {labs}", file.path)).collect()
}

/// What belongs to one part of a module does not use another one that it shall not know.
fn strangers(file: &Source) -> Vec<String> {
    let strange = STRANGERS.into_iter().filter(|(folder, _)| file.path.starts_with(folder)).map(|(_, part)| part);
    let used = paths(&file.shipped);
    let uses = |part: &str| used.iter().any(|path| path.split("::").any(|word| word == part));
    strange.filter(|part| uses(part)).map(|part| format!("{}: uses {part}", file.path)).collect()
}

/// Pure modules leave the world alone.
fn purity(file: &Source) -> Vec<String> {
    let excepted = IMPURE.iter().any(|path| file.path == *path || (path.ends_with('/') && file.path.starts_with(path)));
    match file.module() {
        Some((module, _)) if PURE.contains(&module) && !excepted => {}
        _ => return Vec::new(),
    }
    let touches = |path: &String| WORLD.iter().any(|world| starts_with_path(path, world) || contains_path(path, world));
    let touched = paths(&file.shipped).into_iter().filter(touches);
    touched.map(|path| format!("{}: {path} in a pure module", file.path)).collect()
}

/// The kafka-protocol crate stays behind wire and the broker; the fuzz targets ask it for a second opinion.
fn protocol_crate(file: &Source) -> Vec<String> {
    let allowed = ["src/wire/", "src/broker/", "tests/fuzz/"].iter().any(|folder| file.path.starts_with(folder));
    let used = paths(&file.code).iter().any(|path| starts_with_path(path, "kafka_protocol"));
    if used && !allowed {
        vec![format!("{}: kafka_protocol outside of wire and broker", file.path)]
    } else {
        Vec::new()
    }
}

/// Every file says at its top what it is.
fn opening(file: &Source) -> Vec<String> {
    let opened = file.raw.lines().next().is_some_and(|line| line.starts_with("//! ") && line.len() > 10);
    if opened { Vec::new() } else { vec![format!("{}: does not open with //! and a sentence", file.path)] }
}

/// A module with modules of its own is `name.rs` beside the folder `name`. What stands in `tests/` as a root of its own is `main.rs`.
fn module_file(file: &Source) -> Vec<String> {
    let folder = file.path.strip_suffix("/mod.rs");
    folder.map(|folder| format!("{}: call it {folder}.rs", file.path)).into_iter().collect()
}

/// Nothing is left undone or switched off.
fn leftovers(file: &Source) -> Vec<String> {
    let banned = ["todo!", "unimplemented!", "dbg!", "#[ignore"];
    let found = banned.iter().filter(|word| file.code.match_indices(*word).any(|(at, _)| starts_word(&file.code, at)));
    found.map(|word| format!("{}: {word}", file.path)).collect()
}

/// Files stay readable in one sitting.
fn file_size(file: &Source) -> Vec<String> {
    let lines = file.shipped.lines().count();
    let excepted = LARGE_FILES.iter().any(|(path, _)| *path == file.path);
    if lines <= MAX_FILE_LINES || excepted || !file.is_shipped() {
        return Vec::new();
    }
    vec![format!("{}: {lines} lines without tests, at most {MAX_FILE_LINES}", file.path)]
}

/// Functions stay readable at a glance.
fn function_size(file: &Source) -> Vec<String> {
    let long = functions(&file.shipped).into_iter().filter(|(_, lines)| *lines > MAX_FUNCTION_LINES);
    long.map(|(name, lines)| format!("{}: {name} has {lines} lines, at most {MAX_FUNCTION_LINES}", file.path)).collect()
}

/// What is committed is true on every machine. The words are put together here, so that this file does not hold them.
fn machines(path: &str, text: &str) -> Vec<String> {
    let folders = ["home", "root", "Users", "work"].map(|folder| format!("/{folder}/"));
    let elsewhere = [
        ["crates", ".io"],
        ["repo1.maven", ".org"],
        ["repo.maven.apache", ".org"],
        ["proxy.golang", ".org"],
        ["../sha", "red"],
    ];
    let elsewhere = elsewhere.map(|parts| parts.concat());
    let lines = text.lines().enumerate();
    let found = lines.filter(|(_, line)| {
        folders.iter().any(|folder| names_folder(line, folder)) || elsewhere.iter().any(|place| line.contains(place))
    });
    found.map(|(number, line)| format!("{path}:{}: names a machine: {}", number + 1, line.trim())).collect()
}

/// Whether an absolute path into `folder` stands in `line`; one that goes on from another (`a/home/b`) is none.
fn names_folder(line: &str, folder: &str) -> bool {
    let before = |at: usize| line.get(..at).and_then(|before| before.chars().next_back());
    line.match_indices(folder).any(|(at, _)| !before(at).is_some_and(|c| c.is_alphanumeric() || "._-}/".contains(c)))
}

/// Files do not name one another in a circle, so that each can be read after those that it names. An arrow that is `uncut`
/// does not count, as long as it closes a circle.
fn circular(files: &[Source], uncut: &[(&str, &str, &str)]) -> Vec<String> {
    let all = circles::arrows(files);
    let is_uncut = |(from, to): &(&str, &str)| uncut.iter().any(|(start, end, _)| (start, end) == (from, to));
    let counted = all.iter().copied().filter(|arrow| !is_uncut(arrow)).collect();
    let mut violations: Vec<_> = circles(&counted).iter().map(|circle| told(circle, &counted)).collect();
    let whole = circles(&all);
    let closes = |from, to| all.contains(&(from, to)) && whole.iter().any(|c| c.contains(from) && c.contains(to));
    let cut = uncut.iter().filter(|(from, to, _)| !closes(from, to));
    violations
        .extend(cut.map(|(from, to, _)| format!("{from} to {to} closes no circle any more: strike it from UNCUT")));
    violations
}

fn told(circle: &BTreeSet<&str>, arrows: &BTreeSet<(&str, &str)>) -> String {
    let within = arrows.iter().filter(|(from, to)| circle.contains(from) && circle.contains(to));
    let lines: Vec<_> = within.map(|(from, to)| format!("  {from} names items of {to}")).collect();
    format!("a circle of {} files:\n{}", circle.len(), lines.join("\n"))
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A document may say that a function is in a file, as `| what | `file.rs` | `function` |` or "`file.rs` `function`": then it is.
fn named_functions(path: &str, text: &str, read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut violations = Vec::new();
    for line in text.lines() {
        let quoted: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let is_source = |path: &str| {
            ["src/", "crates/", "tests/"].iter().any(|folder| path.starts_with(folder)) && path.ends_with(".rs")
        };
        let is_name = |text: &str| !text.contains(' ') && !text.contains('/');
        for pair in quoted.windows(2).filter(|pair| is_source(pair[0]) && is_name(pair[1])) {
            let function = pair[1].rsplit("::").next().unwrap_or_default().split('(').next().unwrap_or_default();
            // Of a test only the name counts.
            let is_there = |code: String| {
                let shipped = Source::new(pair[0], &code).shipped;
                functions(&shipped).iter().any(|(name, _)| name == function)
                    || code.contains(&format!("fn {function}("))
            };
            if !read(pair[0]).is_some_and(is_there) {
                violations.push(format!("{path}: {} has no function {function}", pair[0]));
            }
        }
    }
    violations
}

/// Every text file of the repository but the lock files, which cargo writes.
fn text_files() -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(&root(), &mut found);
    assert!(found.len() > 30, "the walk finds the repository");
    found.sort();
    found
}

fn walk(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_name().unwrap().to_string_lossy().into_owned();
        if entry.is_dir() && !["target", ".git", "corpus", "work", "artifacts", "node_modules"].contains(&&*name) {
            walk(&entry, found);
        } else if entry.is_file() && is_text(&name) {
            let path = entry.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            found.push((path, fs::read_to_string(&entry).unwrap_or_default()));
        }
    }
}

fn is_text(name: &str) -> bool {
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let known = ["", "rs", "toml", "md", "yml", "yaml", "sh", "java", "xml", "properties", "tsv", "txt", "gitignore"];
    known.contains(&extension)
}

fn sources() -> Vec<Source> {
    let folders = ["src/", "crates/", "tests/", "fuzz/", "benches/", "examples/"];
    let rust = text_files().into_iter().filter(|(path, _)| path.ends_with(".rs"));
    let ours = rust.filter(|(path, _)| folders.iter().any(|folder| path.starts_with(folder)));
    ours.map(|(path, text)| Source::new(&path, &text)).collect()
}

fn hold(rule: impl Fn(&Source) -> Vec<String>) {
    let violations: Vec<_> = sources().iter().flat_map(rule).collect();
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn modules_use_only_those_below_them() {
    let exports = exports(&fs::read_to_string(root().join("src/lib.rs")).unwrap());
    hold(|file| arrows(file, &exports));
}

#[test]
fn files_do_not_name_one_another_in_a_circle() {
    let violations = circular(&sources(), &UNCUT);
    assert!(violations.is_empty(), "{} violations:\n{}", violations.len(), violations.join("\n"));
}

#[test]
fn labs_are_used_by_no_other_command() {
    hold(labs);
}

#[test]
fn links_and_lanes_do_not_know_each_other() {
    hold(strangers);
}

#[test]
fn pure_modules_leave_clock_sockets_tasks_and_chance_alone() {
    hold(purity);
}

#[test]
fn the_protocol_crate_stays_behind_wire_and_broker() {
    hold(protocol_crate);
}

#[test]
fn every_file_opens_with_what_it_is() {
    hold(opening);
}

#[test]
fn modules_are_called_by_their_names_and_not_mod() {
    hold(module_file);
}

#[test]
fn nothing_is_left_undone_or_switched_off() {
    hold(leftovers);
}

#[test]
fn files_and_functions_stay_small() {
    hold(|file| [file_size(file), function_size(file)].concat());
}

#[test]
fn nothing_committed_names_a_machine_or_a_registry() {
    let violations: Vec<_> = text_files().iter().flat_map(|(path, text)| machines(path, text)).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}

#[test]
fn the_functions_that_documents_name_are_there() {
    let read = |path: &str| fs::read_to_string(root().join(path)).ok();
    let documents = text_files().into_iter().filter(|(path, _)| path.ends_with(".md"));
    let violations: Vec<_> = documents.flat_map(|(path, text)| named_functions(&path, &text, read)).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
}
