//! The folder that keeps the broker's state across restarts.
//!
//! In: a folder, and a state that changes. Out: the state as it was kept. Does I/O. What an entry says is [`super::super::data`]'s.
//!
//! The folder has two files: `lock`, which one process may hold, and `data`: 8 bytes that say what it is, then entries, each behind its length and its
//! CRC-32C (of length and entry), both in 32 bits. It grows while the broker runs. It is written anew at each start, and when most of it is of records
//! that are gone or of logs that were written again, beside the old one, which it then replaces. A write is in the file when the response goes out, so a
//! process that is killed loses nothing; a machine that fails may lose what its system had not written yet, as with Apache Kafka's defaults. An entry
//! that is not whole at the end of the file was being written when the process was killed, and is cut off. Deliberately absent: syncing each write.

use std::{
    fs::{self, File, TryLockError},
    io::{self, BufReader, BufWriter, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

use super::super::{data, state::State};

/// What it is, and its version.
const MAGIC: [u8; 8] = *b"milena\0\x01";
/// Length and checksum.
const FRAME: usize = 8;
/// How much longer than twice what the logs hold the file may be before it is written anew.
const SPARE: u64 = 64 << 20;

/// The folder, of which this process is the only user.
#[derive(Debug)]
pub(in crate::broker) struct Folder {
    path: PathBuf,
    /// It is held as long as the file is open.
    _lock: File,
}

impl Folder {
    /// Makes the folder if need be.
    pub(in crate::broker) fn open(path: &Path) -> io::Result<Self> {
        let in_folder = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        fs::create_dir_all(path).map_err(in_folder)?;
        let lock = File::create(path.join("lock")).map_err(in_folder)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => {
                let message = format!("{} is used by another broker", path.display());
                Err(io::Error::new(ErrorKind::ResourceBusy, message))
            }
            Err(TryLockError::Error(error)) => Err(in_folder(error)),
        }
    }

    fn data(&self) -> PathBuf {
        self.path.join("data")
    }

    /// Makes a state that has no topics as it was kept. Returns whether anything was.
    pub(in crate::broker) fn load(&self, state: &mut State) -> io::Result<bool> {
        let path = self.data();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(error),
        };
        let length = file.metadata()?.len();
        let mut reader = Reader { input: BufReader::new(file), at: 0, length };
        reader.begin().map_err(|what| damaged(&path, 0, &what))?;
        loop {
            let at = reader.at;
            match reader.next()? {
                Next::Entry(entry) => data::apply(state, entry.into()).map_err(|what| damaged(&path, at, &what))?,
                Next::Damaged => return Err(damaged(&path, at, "its checksum is wrong")),
                Next::End => return Ok(true),
                Next::Torn(bytes) => {
                    tracing::warn!(path = %path.display(), bytes, "the last entry is not whole and is cut off");
                    return Ok(true);
                }
            }
        }
    }

    /// Writes the whole state, and keeps what changes from then on.
    pub(in crate::broker) fn keep(self, state: &mut State) -> io::Result<Store> {
        let (file, length) = self.write(state)?;
        state.touched.is_on = true;
        let (spare, look_at) = (SPARE, length.saturating_add(SPARE));
        Ok(Store { file, length, look_at, spare, is_broken: false, folder: self })
    }

    /// Writes the whole state into a file that replaces the old one. Returns it with its length.
    fn write(&self, state: &State) -> io::Result<(File, u64)> {
        let new = self.path.join("data.new");
        let written = Self::write_to(&new, state).and_then(|file| {
            fs::rename(&new, self.data())?;
            let length = file.metadata()?.len();
            Ok((file, length))
        });
        // It would take the room that may be what is missing.
        written.inspect_err(|_| drop(fs::remove_file(&new)))
    }

    fn write_to(new: &Path, state: &State) -> io::Result<File> {
        let mut out = BufWriter::new(File::create(new)?);
        out.write_all(&MAGIC)?;
        data::snapshot(state, &mut |entry| out.write_all(&framed(entry)?))?;
        let file = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.sync_all()?;
        Ok(file)
    }
}

fn damaged(path: &Path, at: u64, what: &str) -> io::Error {
    let message = format!(
        "{} cannot be read at byte {at}: {what}; move it away to begin with nothing, or bring back a copy",
        path.display()
    );
    io::Error::new(ErrorKind::InvalidData, message)
}

fn framed(entry: &[u8]) -> io::Result<Vec<u8>> {
    let length = u32::try_from(entry.len()).map_err(|_| io::Error::other("a log of more than 4 GiB cannot be kept"))?;
    let length = length.to_be_bytes();
    let crc = crc32c::crc32c_append(crc32c::crc32c(&length), entry);
    Ok([&length, &crc.to_be_bytes(), entry].concat())
}

/// Reads entries.
struct Reader<R> {
    input: R,
    at: u64,
    length: u64,
}

enum Next {
    Entry(Vec<u8>),
    /// An entry that is whole, and not what was written.
    Damaged,
    End,
    /// So many bytes are left, which are no entry.
    Torn(u64),
}

impl<R: Read> Reader<R> {
    fn begin(&mut self) -> Result<(), String> {
        let mut magic = MAGIC;
        let read = self.input.read_exact(&mut magic);
        self.at = 8;
        match read {
            Ok(()) if magic == MAGIC => Ok(()),
            _ => Err("it is not the file of a broker of this version".to_owned()),
        }
    }

    fn next(&mut self) -> io::Result<Next> {
        let left = self.length.saturating_sub(self.at);
        let Some(behind) = left.checked_sub(FRAME as u64) else {
            return Ok(if left == 0 { Next::End } else { Next::Torn(left) });
        };
        let (mut length, mut crc) = ([0; 4], [0; 4]);
        self.input.read_exact(&mut length)?;
        self.input.read_exact(&mut crc)?;
        let bytes = u32::from_be_bytes(length);
        if u64::from(bytes) > behind {
            return Ok(Next::Torn(left));
        }
        let mut entry = vec![0; usize::try_from(bytes).unwrap_or(usize::MAX)];
        self.input.read_exact(&mut entry)?;
        self.at = self.at.saturating_add(FRAME as u64).saturating_add(bytes.into());
        let is_right = crc32c::crc32c_append(crc32c::crc32c(&length), &entry) == u32::from_be_bytes(crc);
        Ok(if is_right { Next::Entry(entry) } else { Next::Damaged })
    }
}

/// The file that changes are added to.
#[derive(Debug)]
pub(in crate::broker) struct Store {
    file: File,
    /// How long it is.
    length: u64,
    /// How long it is when it is looked at next.
    look_at: u64,
    /// [`SPARE`], but in tests.
    spare: u64,
    /// A write failed, so the end of the file is unknown.
    is_broken: bool,
    folder: Folder,
}

impl Store {
    /// Adds what has changed. After an error nothing is added any more.
    pub(in crate::broker) fn write(&mut self, state: &mut State) -> io::Result<()> {
        let touched = state.touched.take();
        let mut out = Vec::new();
        data::changes(state, &touched, &mut |entry| {
            out.extend(framed(entry)?);
            io::Result::Ok(())
        })?;
        if out.is_empty() {
            return Ok(());
        }
        if self.is_broken {
            return Err(io::Error::other("an earlier write failed"));
        }
        self.file.write_all(&out).inspect_err(|_| self.is_broken = true)?;
        self.length = self.length.saturating_add(out.len() as u64);
        if self.length >= self.look_at {
            self.shorten(state);
        }
        Ok(())
    }

    /// Writes the file anew if most of it speaks of what is not so any more. If that fails, the old one goes on.
    fn shorten(&mut self, state: &State) {
        if self.length > data::log_bytes(state).saturating_mul(2).saturating_add(self.spare) {
            match self.folder.write(state) {
                Ok((file, length)) => (self.file, self.length) = (file, length),
                Err(error) => {
                    tracing::warn!(%error, length = self.length, "the data file cannot be written anew and grows on")
                }
            }
        }
        self.look_at = self.length.saturating_add(self.spare);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::broker::{
        EmbeddedBroker,
        testing::{BatchOf, TestCluster},
    };

    /// A folder that goes when the test ends.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            Self(std::env::temp_dir().join(format!("milena-store-{}-{number}", std::process::id())))
        }

        /// The records' values of a state that is read from here.
        fn values(&self) -> Result<Vec<String>, String> {
            let mut state = TestCluster::new(EmbeddedBroker::builder(), 1).state;
            Folder::open(&self.0).and_then(|folder| folder.load(&mut state)).map_err(|error| error.to_string())?;
            let text = |value: Option<bytes::Bytes>| String::from_utf8(value.unwrap().into()).unwrap();
            Ok(state.log("orders", 0).into_iter().map(|record| text(record.value)).collect())
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(self.0.join("data")).unwrap()
        }

        fn put(&self, bytes: &[u8]) {
            fs::write(self.0.join("data"), bytes).unwrap();
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    /// A folder with these values in `orders-0`, each in a write of its own, and how long the file was after each.
    fn folder(values: &[&'static str]) -> (Scratch, Vec<usize>) {
        let scratch = Scratch::new();
        let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 1), 1);
        let mut store = Folder::open(&scratch.0).unwrap().keep(&mut cluster.state).unwrap();
        let mut lengths = Vec::new();
        for value in values {
            assert_eq!(cluster.produce(BatchOf::values(&[*value]).encode()).error_code, 0);
            store.write(&mut cluster.state).unwrap();
            lengths.push(scratch.bytes().len());
        }
        (scratch, lengths)
    }

    #[test]
    fn what_was_written_is_there_again() {
        assert_eq!(folder(&["a", "b"]).0.values(), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(Scratch::new().values(), Ok(vec![]));
    }

    /// Writes a thousand values, of which only the newest stays, and returns the longest that the file was.
    fn longest(spare: u64) -> (Scratch, usize) {
        let scratch = Scratch::new();
        let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 1), 1);
        let mut store = Folder::open(&scratch.0).unwrap().keep(&mut cluster.state).unwrap();
        (store.spare, store.look_at) = (spare, spare);
        let mut longest = 0;
        for offset in 0..1_000 {
            let value = ["old", "new"][usize::from(offset == 999)];
            assert_eq!(cluster.produce(BatchOf::values(&[value]).encode()).error_code, 0);
            cluster.state.partition_mut("orders", 0).unwrap().log.start_at(offset);
            cluster.state.touched.log("orders", 0);
            store.write(&mut cluster.state).unwrap();
            longest = longest.max(scratch.bytes().len());
        }
        (scratch, longest)
    }

    #[test]
    fn a_file_that_is_mostly_of_what_is_gone_is_written_anew_while_the_broker_runs() {
        let (scratch, length) = longest(2_000);
        assert!(length < 6_000, "{length}");
        assert_eq!(scratch.values(), Ok(vec!["new".into()]));
        let (scratch, grown) = longest(SPARE);
        assert!(grown > 100_000, "{grown}: without that it grows");
        assert_eq!(scratch.values(), Ok(vec!["new".into()]));
    }

    #[test]
    fn a_file_of_what_is_there_is_left_alone() {
        let scratch = Scratch::new();
        let mut cluster = TestCluster::new(EmbeddedBroker::builder().topic("orders", 1), 1);
        let mut store = Folder::open(&scratch.0).unwrap().keep(&mut cluster.state).unwrap();
        (store.spare, store.look_at) = (100, 100);
        let mut lengths = Vec::new();
        for _ in 0..200 {
            assert_eq!(cluster.produce(BatchOf::values(&["value"]).encode()).error_code, 0);
            store.write(&mut cluster.state).unwrap();
            lengths.push(scratch.bytes().len());
        }
        assert!(lengths.is_sorted(), "{lengths:?}");
    }

    #[test]
    fn a_file_that_is_cut_short_anywhere_has_what_was_whole() {
        let (scratch, lengths) = folder(&["a", "b"]);
        let whole = scratch.bytes();
        for length in lengths[0]..whole.len() {
            scratch.put(&whole[..length]);
            assert_eq!(scratch.values(), Ok(vec!["a".into()]), "{length}");
        }
        scratch.put(&whole[..5]);
        assert!(scratch.values().unwrap_err().contains("not the file of a broker"));
    }

    #[test]
    fn a_byte_that_is_another_is_told_with_its_place_or_ends_the_file() {
        let (scratch, lengths) = folder(&["a", "b"]);
        let whole = scratch.bytes();
        for place in lengths[0] + 4..whole.len() {
            let mut damaged = whole.clone();
            damaged[place] ^= 0x10;
            scratch.put(&damaged);
            let told = scratch.values().unwrap_err();
            assert!(told.contains(&format!("at byte {}: its checksum is wrong", lengths[0])), "{told}");
        }
    }

    #[test]
    fn two_brokers_do_not_use_one_folder() {
        let scratch = Scratch::new();
        let first = Folder::open(&scratch.0).unwrap();
        assert!(Folder::open(&scratch.0).unwrap_err().to_string().contains("used by another broker"));
        drop(first);
        assert!(Folder::open(&scratch.0).is_ok());
    }
}
