//! Every rule with samples that keep it and samples that break it.

use super::{source::without_comments_and_strings, *};

const ROOT: &str = "pub use delivery::{Ack, Delivery};\npub use producer::Producer;\npub use record::{Record, intercept::Interceptor};";

fn broken(path: &str, text: &str, rule: impl Fn(&Source) -> Vec<String>) -> usize {
    rule(&Source::new(path, text)).len()
}

#[test]
fn arrows_point_down() {
    let arrows = |file: &Source| arrows(file, &exports(ROOT));
    for (path, text) in [
        ("src/producer.rs", "use crate::{net::Driver, sender::lane, wire::frame, Record, admin_of::Nothing};"),
        ("src/sender/lane.rs", "use crate::{accumulator::SealedBatch, delivery::Outcome, wire};\nuse super::inflight;"),
        ("src/wire/frame.rs", "use crate::record::Header; use super::varint; // crate::sender is above"),
        ("src/error.rs", "pub use crate::wire::errors::ErrorCode;"),
        ("src/broker/state.rs", "use crate::wire::record_batch; use crate::cluster::Broker;"),
        ("src/broker/tls.rs", "use crate::tls::server;"),
        ("src/wire/varint.rs", "#[cfg(test)]\nmod tests { use crate::sender::lane; }"),
        ("crates/cli/src/main.rs", "use crate::producer::Args;"),
        ("src/lib.rs", "pub use producer::Producer;"),
    ] {
        assert_eq!(broken(path, text, arrows), 0, "{path}: {text}");
    }
    for (path, text) in [
        ("src/wire/frame.rs", "use crate::sender::lane;"),
        ("src/wire/frame.rs", "use crate::{record::Header, accumulator::{batch, memory}};"),
        ("src/accumulator.rs", "fn f() { crate::sender::go(); }"),
        ("src/accumulator.rs", "use super::sender;\nuse super::net::Driver;"),
        ("src/accumulator/batch/deep.rs", "use super::super::super::sender::lane;"),
        ("src/sender.rs", "use crate::Producer;"),
        ("src/record.rs", "use crate::wire::varint;"),
        ("src/error.rs", "use crate::wire::errors_of_ours;"),
        ("src/broker/state.rs", "use crate::accumulator::Memory;"),
        ("src/admin.rs", "use crate::net::dial;"),
        ("src/net.rs", "use crate::broker::State;"),
        ("src/util.rs", "fn f() {}"),
    ] {
        assert_ne!(broken(path, text, arrows), 0, "{path}: {text}");
    }
}

#[test]
fn a_circle_of_files_is_found_through_parents_and_names_that_are_passed_on() {
    let circle = |files: &[(&str, &str)], uncut: &[(&str, &str, &str)]| {
        let files: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        circular(&files, uncut).len()
    };
    let parent = ("src/a.rs", "mod b;\nuse b::Part;\npub struct Whole(Part);");
    let facade = ("src/a.rs", "mod b;\nmod c;\npub(crate) use b::{Part, deep::Deep};");
    let part = ("src/a/b.rs", "pub(in crate::a) struct Part; mod deep;");
    for files in [
        &[parent, part][..],
        &[parent, ("src/a/b.rs", "pub struct Part;\n#[cfg(test)]\nmod tests { use super::super::Whole; }")],
        &[facade, part, ("src/a/c/mod.rs", "use super::Part; // super::super::a is above")],
        &[facade, ("src/a/b.rs", "pub struct Part; use crate::d::D;"), ("src/d.rs", "use std::b::Part; pub struct D;")],
        &[facade, part, ("src/a/b/deep.rs", "pub struct Deep;"), ("src/d.rs", "use crate::a::Deep;")],
        &[("crates/cli/src/a.rs", "mod b; use b::B;"), ("crates/cli/src/a/b.rs", "use super::A;")],
    ] {
        assert_eq!(circle(files, &[]), 0, "{files:?}");
    }
    let ring =
        [("src/a.rs", "use crate::b::B;"), ("src/b.rs", "use crate::c::C;"), ("src/c.rs", "fn f() { crate::a::g() }")];
    for files in [
        &[parent, ("src/a/b.rs", "use super::Whole; pub struct Part;")][..],
        &[
            facade,
            ("src/a/b.rs", "use super::c::C; pub struct Part;"),
            ("src/a/c.rs", "use super::Part; pub struct C;"),
        ],
        &[
            facade,
            ("src/a/b.rs", "use crate::d::D; pub struct Part;"),
            ("src/d.rs", "use crate::a::Part; pub struct D;"),
        ],
        &[
            ("src/lib.rs", "mod a; mod b; pub use a::A;"),
            ("src/a.rs", "use crate::b::B;"),
            ("src/b.rs", "use crate::A;"),
        ],
        &[("src/a.rs", "mod b; pub use b::Part; fn f() -> Part {}"), ("src/a/b.rs", "fn g() { super::f() }")],
        &ring,
    ] {
        assert_eq!(circle(files, &[]), 1, "{files:?}");
    }
    assert_eq!(circle(&ring, &[("src/c.rs", "src/a.rs", "not cut yet")]), 0);
    assert_eq!(circle(&ring[..2], &[("src/b.rs", "src/c.rs", "cut, and not struck")]), 1);
}

#[test]
fn a_command_that_uses_what_is_a_labs_is_seen() {
    assert_eq!(broken("crates/cli/src/perf.rs", "use crate::{exit::Exit, lab::Cluster};", labs), 1);
    assert_eq!(broken("crates/cli/src/perf.rs", "use crate::{exit::Exit, cluster::Cluster, label::Label};", labs), 0);
    assert_eq!(broken("crates/cli/src/main.rs", "crate::lab::run(args)", labs), 0);
    assert_eq!(broken("crates/cli/src/lab/pause.rs", "use crate::lab::orders::Run;", labs), 0);
}

#[test]
fn parts_that_do_not_know_each_other_are_told_by_what_they_use() {
    for (path, text, expected) in [
        ("src/sender/links.rs", "use super::common::Common;", 0),
        ("src/sender/links.rs", "use super::{Action, lanes::Lanes};", 1),
        ("src/sender/lanes/drain.rs", "use crate::sender::links::Links;", 1),
        ("src/sender/sending.rs", "use super::{lanes::Lanes, links::Links};", 0),
    ] {
        assert_eq!(broken(path, text, strangers), expected, "{path}: {text}");
    }
}

#[test]
fn a_pure_module_is_told_from_one_that_touches_the_world() {
    for (path, text) in [
        ("src/sender/lane.rs", "use std::time::Instant; fn f(now: Instant) { now + X; }"),
        ("src/sender/lane.rs", "// Instant::now()\nlet s = \"Instant::now()\";"),
        ("src/sender/lane.rs", "#[cfg(test)]\nmod tests { fn f() { Instant::now(); } }"),
        ("src/accumulator/memory.rs", "use tokio::sync::Semaphore;"),
        ("src/config/kinds.rs", "use std::net::Ipv6Addr;"),
        ("src/net/driver.rs", "use tokio::{net::TcpStream, time}; Instant::now();"),
        ("src/broker/listener.rs", "use tokio::net::TcpListener;"),
        ("src/delivery/callbacks.rs", "use std::thread;"),
    ] {
        assert_eq!(broken(path, text, purity), 0, "{path}: {text}");
    }
    for (path, text) in [
        ("src/sender/lane.rs", "let now = Instant::now();"),
        ("src/sender/lane.rs", "let now = std::time::Instant::now();"),
        ("src/sender/lane.rs", "let now = SystemTime::now();"),
        ("src/accumulator.rs", "use tokio::{sync::Notify, time::Sleep};"),
        ("src/wire/frame.rs", "tokio::spawn(async {});"),
        ("src/broker/state.rs", "use std::{fs, net::TcpStream};"),
        ("src/broker/state.rs", "use rand::Rng;"),
        ("src/delivery.rs", "std::thread::spawn(f);"),
        ("src/config.rs", "std::fs::read(path)"),
    ] {
        assert_ne!(broken(path, text, purity), 0, "{path}: {text}");
    }
}

#[test]
fn the_protocol_crate_is_seen_wherever_it_is_used() {
    assert_eq!(broken("src/wire/apis/metadata.rs", "use kafka_protocol::messages::ApiKey;", protocol_crate), 0);
    assert_eq!(broken("tests/fuzz/batches.rs", "use kafka_protocol::records::Record;", protocol_crate), 0);
    assert_eq!(broken("src/net.rs", "// kafka_protocol::messages\nuse crate::wire;", protocol_crate), 0);
    assert_eq!(broken("src/net.rs", "use kafka_protocol::messages::ApiKey;", protocol_crate), 1);
    assert_eq!(broken("tests/kafka.rs", "let key = kafka_protocol::messages::ApiKey::Produce;", protocol_crate), 1);
}

#[test]
fn a_file_without_an_opening_is_seen() {
    assert_eq!(broken("src/a.rs", "//! What comes in.\nfn f() {}", opening), 0);
    for text in ["", "fn f() {}", "// A comment.\nfn f() {}", "//!\nfn f() {}", "\n//! Too late.\n"] {
        assert_eq!(broken("src/a.rs", text, opening), 1, "{text:?}");
    }
}

#[test]
fn a_module_that_is_called_mod_is_seen() {
    for path in ["src/record/mod.rs", "crates/cli/src/lab/mod.rs", "tests/kafka/fault/mod.rs"] {
        assert_eq!(broken(path, "", module_file), 1, "{path}");
    }
    for path in ["src/record.rs", "src/modular.rs", "tests/kafka/main.rs"] {
        assert_eq!(broken(path, "", module_file), 0, "{path}");
    }
}

#[test]
fn what_is_left_undone_or_switched_off_is_seen_also_in_tests() {
    let fine = "fn todo() {} // todo!()\nlet s = \"dbg!\"; let r = r#\"#[ignore] \"# ; my_dbg!(s);";
    assert_eq!(broken("src/a.rs", fine, leftovers), 0);
    for text in ["fn f() { todo!() }", "unimplemented!(\"x\")", "#[cfg(test)] mod tests { fn f() { dbg!(1); } }"] {
        assert_eq!(broken("src/a.rs", text, leftovers), 1, "{text}");
    }
    assert_eq!(broken("tests/a.rs", "#[test]\n#[ignore = \"slow\"]\nfn f() {}", leftovers), 1);
}

#[test]
fn a_file_is_measured_without_its_tests() {
    let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "// a line\n".repeat(600));
    let text = |lines: usize| format!("{}{tests}", "// a line\n".repeat(lines));
    assert_eq!(broken("src/a.rs", &text(499), file_size), 0);
    assert_eq!(broken("src/a.rs", &text(501), file_size), 1);
    assert_eq!(broken("tests/a.rs", &text(501), file_size), 0);
}

#[test]
fn a_function_is_measured_from_its_name_to_its_last_brace() {
    let text = |lines: usize| format!("fn f(x: [u8; 4]) -> u8 {{\n{}}}\nfn g();\n", "    g();\n".repeat(lines));
    assert_eq!(broken("src/a.rs", &text(68), function_size), 0);
    assert_eq!(broken("src/a.rs", &text(69), function_size), 1);
    assert_eq!(functions("trait T { fn a(&self); fn b(&self) {\n} }"), [("b".to_owned(), 2)]);
}

#[test]
fn machines_and_registries_are_seen() {
    let home = ["/ho", "me/me/x"].concat();
    let registry = ["https://static.crates", ".io/x"].concat();
    let beside = ["see ../sha", "red/x"].concat();
    for text in [home.as_str(), &format!("path = \"{home}\""), &registry, &beside, &["(/ro", "ot/x)"].concat()] {
        assert_eq!(machines("a.md", text).len(), 1, "{text}");
    }
    for text in [
        "see src/home/x",
        "https://kafka.apache.org/documentation",
        "http://maven.apache.org/POM/4.0.0",
        "a/root/b",
        "$HOME/work/x",
    ] {
        assert_eq!(machines("a.md", text).len(), 0, "{text}");
    }
}

#[test]
fn comments_strings_and_characters_are_blanked_and_nothing_else() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b\n */ c", "a     \n    c"),
        (r#"f("x \" y") + 'z' + '\'' + b"w""#, r"f(        ) +     +      + b   "),
        (r##"f(r#"x " y"#)"##, "f(          )"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("number\"s\"", "number   "),
    ] {
        assert_eq!(without_comments_and_strings(text), code, "{text}");
    }
}

#[test]
fn what_is_compiled_for_tests_is_cut_out_and_nothing_else() {
    for (text, shipped) in [
        ("a\n#[cfg(test)]\nmod tests { fn f() { {} } }\nb", "a\n\nb"),
        ("#[cfg(test)] mod tests; b", " b"),
        ("#[cfg(test)] fn f(x: [u8; 4]) { x } b", " b"),
        ("#[cfg(all(test, feature = \"x\"))] mod t { } b #[cfg(test)] mod u { }", " b "),
        ("#[cfg(feature = \"x\")] mod t { }", "#[cfg(feature =    )] mod t { }"),
    ] {
        assert_eq!(Source::new("src/a.rs", text).shipped, shipped, "{text}");
    }
    assert_eq!(Source::new("src/a/tests.rs", "fn f() {}").shipped, "");
}

#[test]
fn paths_are_found_with_their_trees_written_out() {
    let code = "use a::{self, b::{C, d}, e as f};\nlet x = g::<u8>(h::i(j::K)); use l;";
    assert_eq!(paths(code), ["a::self", "a::b::C", "a::b::d", "a::e", "g", "h::i", "j::K"]);
    assert_eq!(exports(ROOT)["Interceptor"], "record");
}

#[test]
fn a_document_that_names_a_function_which_is_not_there_is_found() {
    let read = |path: &str| {
        (path == "src/a.rs")
            .then(|| "fn here() {\n}\n#[cfg(test)]\nmod tests {\n    fn in_a_test() {\n    }\n}\n".to_owned())
    };
    for (text, expected) in [
        ("| step | `src/a.rs` | `here` |", 0),
        ("see `src/a.rs` `A::here(x)`", 0),
        ("by `src/a.rs` `in_a_test`", 0),
        ("by `tests/a.rs` `in_a_test`", 1),
        ("| step | `src/a.rs` | `gone` |", 1),
        ("| step | `src/b.rs` | `here` |", 1),
        ("see `crates/b/src/b.rs` `here`", 1),
        ("`here` and `src/a.rs`", 0),
    ] {
        assert_eq!(named_functions("a.md", text, read).len(), expected, "{text}");
    }
}
