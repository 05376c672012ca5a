//! Which crates a build of the library has.
//!
//! In: what `cargo tree` says, which needs no network. Out: whether a plain build has only the crates of the list, and whether TLS comes
//! without C. Neither can be read from `Cargo.toml` alone.

use std::{collections::BTreeSet, env, process::Command};

/// All crates of a build without features, in the order of the alphabet. A new one needs a reason.
const PLAIN: &str = "anyhow autocfg byteorder bytes coarsetime crc crc-catalog crc32c equivalent flate2 foldhash hashbrown hdrhistogram \
     indexmap kafka-protocol libc lz4_flex milena mio num-traits once_cell pin-project-lite proc-macro2 quote rustc_version semver snap \
     socket2 syn thiserror thiserror-impl tokio tokio-macros tracing tracing-core unicode-ident uuid zlib-rs";

/// What compiles C, or looks for libraries of it.
const C: [&str; 5] = ["bindgen", "cc", "cmake", "pkg-config", "vcpkg"];

/// The crates that the library is built of, and those that build them. The target is named so that every machine has the same.
fn crates(features: &str) -> BTreeSet<String> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["tree", "--offline", "--package", "milena", "--edges", "normal,build", "--prefix", "none"]);
    command.args(["--target", "x86_64-unknown-linux-gnu", "--no-default-features", "--features", features]);
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect()
}

#[test]
fn a_build_without_features_has_only_the_crates_of_the_list() {
    let found = crates("").into_iter().collect::<Vec<_>>().join(" ");
    assert_eq!(found, PLAIN);
}

#[test]
fn the_default_features_add_zstd_in_rust_only() {
    let (plain, found) = (crates(""), crates("default"));
    let more = found.difference(&plain).map(String::as_str).collect::<Vec<_>>().join(" ");
    assert_eq!(more, "zrip zrip-core zrip-decode zrip-encode");
}

#[test]
fn tls_and_the_admin_client_and_the_broker_come_without_c() {
    let found = crates("admin,broker,oidc,scram,tls");
    assert!(found.contains("rustls") && found.contains("graviola") && found.contains("hyper"), "{found:?}");
    assert!(C.iter().all(|name| !found.contains(*name)), "{found:?}");
    assert!(crates("tls-ring").contains("cc"), "what compiles C is seen");
}
