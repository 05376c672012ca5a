//! The store in a file, in processes that are killed, and in one whose files may not grow.
//!
//! Each test starts this binary again, which then runs [`child`] alone: that is the process that something happens to.

#![cfg(unix)]

use std::{
    collections::HashSet,
    env,
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use milena_resilience::store::{
    Change, Filter, NewEvent, Outcome, PageLimits, Seq, Store, StoreErrorKind, sqlite::SqliteStore,
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;

const KILLS: u64 = 20;

/// What the child does, and where.
const ROLE: &str = "MILENA_STORE_CHILD";
const FILE: &str = "MILENA_STORE_FILE";

/// Not a test of its own: what the other tests start. Without a role it has nothing to do.
#[test]
fn child() {
    let Ok(role) = env::var(ROLE) else { return };
    let path = PathBuf::from(env::var_os(FILE).unwrap());
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    match &*role {
        "insert" => runtime.block_on(insert_for_ever(&path)),
        "drain" => runtime.block_on(drain_for_ever(&path)),
        "narrow" => runtime.block_on(insert_in_narrow_files(&path)),
        "full" => runtime.block_on(fill_and_drain(&path)),
        other => panic!("no such role: {other}"),
    }
}

/// Starts this binary as a child. Its files may be limited, so it is not ended by the signal for that.
fn start(role: &str, path: &Path) -> Child {
    start_with(Command::new("sh").args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#]), role, path)
}

/// Starts this binary by a command, which gets it and its arguments as its last ones.
fn start_with(command: &mut Command, role: &str, path: &Path) -> Child {
    command
        .arg(env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn store_file() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    (folder, path)
}

/// A line on stdout, at once and whole.
fn say(word: &str, what: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{word} {what}\n").as_bytes()).and_then(|()| out.flush()).unwrap();
}

/// Sixteen tasks store events and tell the id of each.
async fn insert_for_ever(path: &Path) {
    let store = Arc::new(SqliteStore::builder(path).reserve(0).open().await.unwrap());
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            loop {
                let id = Uuid::now_v7();
                store.insert(vec![NewEvent::new(id, "orders", "nine").key("user-1")]).await.unwrap();
                say("stored", id);
            }
        });
    }
    // None ends by itself: the process is killed.
    tasks.join_all().await;
}

/// Settles events one by one and tells the id of each.
async fn drain_for_ever(path: &Path) {
    // The clock of each child is far behind that of the one before, so that its lease has expired.
    let age = Duration::from_secs(u64::from(std::process::id()) * 1_000);
    let now = SystemTime::now() + age;
    let store = SqliteStore::builder(path).reserve(0).clock(move || now).open().await.unwrap();
    let lease = store.acquire("child", Duration::from_secs(9), 1).await.unwrap().expect("the last lease has expired");
    for event in store.page(&lease, Seq::START, PageLimits::default()).await.unwrap().events {
        store.settle(&lease, vec![Outcome::of(&event, Change::Resolved)]).await.unwrap();
        say("settled", event.event_id);
    }
}

/// Ids that a child tells until it is killed, which is after `count` of them.
fn told_until_killed(mut child: Child, word: &str, count: u64) -> HashSet<Uuid> {
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let id = |line: String| line.strip_prefix(word).map(|id| id.trim().parse::<Uuid>().unwrap());
    let mut told = HashSet::new();
    while (told.len() as u64) < count {
        let Some(line) = lines.next() else { break };
        told.extend(id(line.unwrap()));
    }
    child.kill().unwrap();
    // What it told before it died counts as well; the last line may be cut.
    told.extend(lines.map_while(Result::ok).filter(|line| line.len() == word.len() + 36).filter_map(id));
    child.wait().unwrap();
    told
}

/// A number from 1 to `most`, from a seed (SplitMix64).
fn draw(seed: u64, most: u64) -> u64 {
    let mixed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ (mixed >> 27)) % most + 1
}

#[tokio::test]
async fn an_event_that_was_stored_is_there_whenever_the_process_is_killed() {
    let (_folder, path) = store_file();
    let mut told = HashSet::new();
    for kill in 1..=KILLS {
        let child = start("insert", &path);
        let these = told_until_killed(child, "stored ", draw(kill, 300));
        assert!(!these.is_empty(), "kill {kill}");
        told.extend(these);
        let store = SqliteStore::builder(&path).reserve(0).open().await.unwrap();
        let found = store.list(Filter::new(), Seq::START, usize::MAX).await.unwrap();
        let stats = store.stats().await.unwrap();
        let there: HashSet<Uuid> = found.iter().map(|event| event.event_id).collect();
        assert_eq!(told.difference(&there).count(), 0, "kill {kill}: of {} stored events some are gone", told.len());
        assert_eq!(
            (stats.pending, stats.rows, there.len()),
            (stats.rows, found.len() as u64, found.len()),
            "kill {kill}"
        );
        store.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_event_that_was_settled_stays_so_and_no_other_is_lost_whenever_the_process_is_killed() {
    let (_folder, path) = store_file();
    let store = SqliteStore::builder(&path).reserve(0).open().await.unwrap();
    let ids: Vec<Uuid> = (1..=2_000).map(Uuid::from_u128).collect();
    let events = ids.iter().map(|id| NewEvent::new(*id, "orders", "nine").key("user-1")).collect();
    store.insert(events).await.unwrap();
    store.close().await.unwrap();
    let mut told = HashSet::new();
    for kill in 1..=5 {
        told.extend(told_until_killed(start("drain", &path), "settled ", draw(kill, 100)));
        let store = SqliteStore::builder(&path).reserve(0).open().await.unwrap();
        let found = store.list(Filter::new(), Seq::START, usize::MAX).await.unwrap();
        let there: HashSet<Uuid> = found.iter().map(|event| event.event_id).collect();
        assert_eq!(told.intersection(&there).count(), 0, "kill {kill}: what was settled is back");
        // One may have been settled and not told.
        let gone = ids.len() - there.len();
        assert!(
            (told.len()..=told.len() + kill as usize).contains(&gone),
            "kill {kill}: {gone} gone, {} told",
            told.len()
        );
        assert_eq!(store.stats().await.unwrap().resolved, gone as u64);
        store.close().await.unwrap();
    }
}

#[test]
fn a_full_disk_refuses_events_and_lets_the_others_be_settled_which_makes_room_again() {
    let (folder, path) = store_file();
    let script = r#"mount -t tmpfs -o size=64m none "$MILENA_STORE_DISK" && exec "$0" "$@""#;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "sh", "-c"]);
    let may = unshare.arg(script).arg("true").env("MILENA_STORE_DISK", folder.path()).output();
    if !may.is_ok_and(|output| output.status.success()) {
        println!("no small disk can be mounted here; files that may not grow stand for it in the next test");
        return;
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "sh", "-c", script]).env("MILENA_STORE_DISK", folder.path());
    let output = start_with(&mut unshare, "full", &path).wait_with_output().unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(output.status.success(), "{told:?}");
    assert_eq!(told[0].lines().filter(|line| line.starts_with("drained")).count(), 3, "{told:?}");
}

/// Fills the disk with events, and settles them; three times.
async fn fill_and_drain(path: &Path) {
    let ms = Arc::new(AtomicU64::new(1_800_000_000_000));
    let now = Arc::clone(&ms);
    let clock = move || SystemTime::UNIX_EPOCH + Duration::from_millis(now.load(Ordering::SeqCst));
    let store = SqliteStore::builder(path).clock(clock).open().await.unwrap();
    let lease = store.acquire("child", Duration::from_hours(9), 1).await.unwrap().expect("nobody else is there");
    for _ in 0..3 {
        let mut stored = 0;
        let error = loop {
            let event = NewEvent::new(Uuid::now_v7(), "orders", [b'x'; 100_000]);
            match store.insert(vec![event]).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), StoreErrorKind::Full, "{error}");
        assert!(stored > 100, "{stored}");
        let before = store.stats().await.unwrap();
        assert_eq!(before.pending, stored);
        let limits = PageLimits { bytes: u64::MAX, ..PageLimits::default() };
        for event in store.page(&lease, Seq::START, limits).await.unwrap().events {
            store.settle(&lease, vec![Outcome::of(&event, Change::Resolved)]).await.expect("settling goes on");
        }
        let after = store.stats().await.unwrap();
        assert_eq!((after.pending, after.resolved), (0, before.resolved + stored));
        say("drained", stored);
        ms.fetch_add(2_000, Ordering::SeqCst);
    }
}

#[test]
fn a_disk_that_is_full_at_any_write_makes_an_insert_fail_truthfully_and_the_store_works_again_with_room() {
    let (_folder, path) = store_file();
    let mut child = start("narrow", &path);
    let (mut out, mut err) = (String::new(), String::new());
    child.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().success(), "{out}\n{err}");
    let count = |word: &str| out.lines().filter(|line| line.starts_with(word)).count();
    println!("{} inserts failed, {} succeeded", count("failed"), count("fitted"));
    assert!(count("failed") > 20 && count("fitted") > 5, "the limit must bite, and not always: {out}");
}

/// Inserts while no file may be larger than a limit, for limits from nothing to more than enough.
async fn insert_in_narrow_files(path: &Path) {
    let store = SqliteStore::builder(path).reserve(0).open().await.unwrap();
    let wide = getrlimit(Resource::Fsize);
    let mut stored = HashSet::new();
    let mut doubtful = HashSet::new();
    for step in 0..120_u128 {
        let narrow = Rlimit { current: Some(1_500 * step as u64), maximum: wide.maximum };
        let events: Vec<_> =
            (0..3).map(|part| NewEvent::new(Uuid::from_u128(step * 8 + part), "orders", [b'x'; 3_000])).collect();
        let ids: Vec<_> = events.iter().map(|event| event.event_id).collect();
        setrlimit(Resource::Fsize, narrow).unwrap();
        let end = store.insert(events).await;
        setrlimit(Resource::Fsize, wide).unwrap();
        match end {
            Ok(_) => {
                say("fitted", step);
                stored.extend(ids);
            }
            Err(error) => {
                say("failed", &error);
                assert_ne!(error.kind(), StoreErrorKind::Corrupt, "{error}");
                doubtful.extend(ids.into_iter().filter(|_| error.is_indeterminate()));
            }
        }
        let id = Uuid::from_u128(step * 8 + 7);
        store.insert(vec![NewEvent::new(id, "orders", "with room")]).await.expect("there is room again");
        stored.insert(id);
        let there: HashSet<_> = store
            .list(Filter::new(), Seq::START, usize::MAX)
            .await
            .unwrap()
            .iter()
            .map(|event| event.event_id)
            .collect();
        assert!(stored.is_subset(&there), "step {step}: a stored event is gone");
        assert!(
            there.iter().all(|id| stored.contains(id) || doubtful.contains(id)),
            "step {step}: a refused event is there"
        );
        assert_eq!(store.stats().await.unwrap().rows, there.len() as u64);
    }
    store.close().await.unwrap();
}
