//! The functions of the fuzz targets. Each takes any bytes, and panics on a fault.
//!
//! They are the module `fuzzing` of the library, only for tests and under `--cfg fuzzing`, which cargo-fuzz sets. Pure.
//! `fuzz/fuzz_targets` calls them, and so do the tests below, with the committed corpus. See `fuzz/README.md`.

mod accumulator;
mod batches;
mod broker;
mod frame;
mod input;
mod members;
#[cfg(feature = "tls")]
mod pem;
mod produce_request;
mod responses;
mod sasl;
mod sender;
#[cfg(feature = "oauth")]
mod tokens;

#[cfg(feature = "tls")]
pub use self::pem::pem;
#[cfg(feature = "oauth")]
pub use self::tokens::tokens;
pub use self::{
    accumulator::accumulator,
    batches::{batch_decode, batch_round_trip},
    broker::broker,
    frame::frame,
    produce_request::produce_request,
    responses::responses,
    sasl::sasl,
    sender::sender,
};

/// Runs the targets with the committed corpus, and with random bytes.
#[cfg(test)]
mod corpus {
    use std::{
        fs,
        path::{Path, PathBuf},
        thread,
    };

    use crate::sender::Chance;

    /// Fewer files than this are no corpus.
    const LEAST_FILES: usize = 5;
    /// Bounds of what may be committed.
    const MOST_FILES: usize = 40;
    const MOST_BYTES: usize = 1024;
    const RANDOM_INPUTS: usize = 200;

    /// Prints the input if a check panics.
    struct Named(String);

    impl Drop for Named {
        fn drop(&mut self) {
            if thread::panicking() {
                eprintln!("the input was {}", self.0);
            }
        }
    }

    /// The committed corpus of a target; `None` in the published crate, which does not have the folder `fuzz`.
    fn files(target: &str) -> Option<Vec<PathBuf>> {
        let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
        fuzz.is_dir().then(|| files_in(&fuzz.join("corpus").join(target)))
    }

    fn files_in(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn replay(target: &str, check: fn(&[u8])) {
        if let Some(files) = files(target) {
            replay_files(target, &files, check);
        }
        let mut chance = Chance::new(1);
        for _ in 0..RANDOM_INPUTS {
            let bytes: Vec<u8> = (0..chance.below(400)).map(|_| chance.next().to_le_bytes()[0]).collect();
            let _named = Named(format!("{bytes:?}"));
            check(&bytes);
        }
    }

    fn replay_files(target: &str, files: &[PathBuf], check: fn(&[u8])) {
        assert!((LEAST_FILES..=MOST_FILES).contains(&files.len()), "{target}: {} files", files.len());
        for file in files {
            let bytes = fs::read(file).unwrap();
            assert!(bytes.len() <= MOST_BYTES, "{} has {} bytes", file.display(), bytes.len());
            let _named = Named(file.display().to_string());
            check(&bytes);
        }
    }

    macro_rules! replays {
        ($($target:ident),+ $(,)?) => {
            $(#[test]
            fn $target() {
                replay(stringify!($target), super::$target);
            })+
        };
    }

    replays!(frame, responses, batch_decode, batch_round_trip, produce_request, accumulator, sender, broker, sasl);
    #[cfg(feature = "tls")]
    replays!(pem);
    #[cfg(feature = "oauth")]
    replays!(tokens);
}
