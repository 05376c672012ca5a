//! Whether the index of the bug museum is true.
//!
//! In: the table at the top of `tests/museum/main.rs`, and the tests. Out: every bug has a test that is there and tells its
//! source, or a reason why there is none.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// How many bugs there are.
const ENTRIES: usize = 25;

/// The rows of the index: number, and what stands in the last column.
fn index() -> Vec<(usize, &'static str)> {
    let rows = include_str!("../museum/main.rs").lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.map(|row| row.trim_end_matches(" |").split(" | ").collect::<Vec<_>>());
    cells.filter_map(|cells| Some((cells.first()?.parse().ok()?, *cells.get(2)?))).collect()
}

/// Names in backticks.
fn names(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every Rust file of the library and its tests.
fn sources() -> Vec<String> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    ["src", "tests"].iter().for_each(|folder| walk(&root.join(folder), &mut found));
    found
}

fn walk(folder: &Path, found: &mut Vec<String>) {
    for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

/// The comment above a test, if `source` has a test of that name.
fn story<'a>(source: &'a str, name: &str) -> Option<Vec<&'a str>> {
    let (before, _) = source.split_once(&format!("\nfn {name}() {{"))?;
    let above = before.strip_suffix("#[test]")?.lines().rev();
    Some(above.take_while(|line| line.starts_with("///")).collect())
}

#[test]
fn the_index_covers_every_bug_once_in_order() {
    let numbers: Vec<_> = index().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, (1..=ENTRIES).collect::<Vec<_>>());
}

#[test]
fn every_test_that_the_index_names_exists_and_every_bug_without_one_has_its_reason() {
    let sources = sources();
    for (number, cell) in index() {
        let names = names(cell);
        assert!(!names.is_empty() || cell.starts_with("cannot: "), "{number} has neither a test nor a reason");
        for name in names {
            let told = sources.iter().find_map(|source| story(source, name));
            assert!(told.is_some(), "{number}: there is no test {name}");
        }
    }
}

#[test]
fn the_first_test_of_every_bug_tells_its_source() {
    let sources = sources();
    for (number, cell) in index().into_iter().filter(|(_, cell)| !cell.starts_with("cannot: ")) {
        let name = names(cell)[0];
        let told = sources.iter().find_map(|source| story(source, name)).unwrap_or_default();
        assert!(!told.is_empty(), "{number}: {name} has no comment");
    }
}

#[test]
fn a_name_is_found_where_it_is_a_test_and_nowhere_else() {
    let source = "x\n/// Why.\n#[test]\nfn is_one() {\n}\nfn helper() {\n}\n";
    assert_eq!(story(source, "is_one"), Some(vec!["/// Why."]));
    assert_eq!((story(source, "helper"), story(source, "is")), (None, None));
}
