//! Keeps some space on the disk, so that events can be settled when it is full: a file beside the store.
//!
//! In: a path and a size. Out: a file of that size, which is removed when the space is needed. Touches the disk.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::PathBuf,
};

use crate::store::lease::lasts;

/// How long to wait before the file is tried again, in milliseconds.
const PAUSE_MS: i64 = 1_000;

/// The file.
#[derive(Debug)]
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    is_whole: bool,
    tried_at: Option<i64>,
}

impl Reserve {
    /// Of the store at `path`. It is not there yet.
    pub(super) fn new(path: &std::path::Path, bytes: u64) -> Self {
        let mut name = OsString::from(path);
        name.push("-reserve");
        Self { path: name.into(), bytes, is_whole: bytes == 0, tried_at: None }
    }

    /// The one that another process keeps for the store at `path`, if it does.
    pub(super) fn of_others(path: &std::path::Path) -> Self {
        let found = Self::new(path, 0);
        let bytes = fs::metadata(&found.path).map_or(0, |file| file.len());
        Self { bytes, is_whole: true, ..found }
    }

    /// Whether the space is kept. If it is not, it is tried to get it, once in a while; before that, `make_room` is called.
    pub(super) fn ensure(&mut self, now: i64, make_room: impl FnOnce()) -> bool {
        let pauses = self.tried_at.is_some_and(|tried| lasts(now, tried, tried.saturating_add(PAUSE_MS)));
        if self.is_whole || pauses {
            return self.is_whole;
        }
        if self.tried_at.replace(now).is_some() {
            make_room();
        }
        match self.fill() {
            Ok(()) => self.is_whole = true,
            Err(error) => {
                tracing::warn!(%error, path = %self.path.display(), "no room for the store's reserve; no events are taken");
                // Half a reserve is room that somebody else may need more.
                let _ = fs::remove_file(&self.path);
            }
        }
        self.is_whole
    }

    /// Writes the file, unless it is there. Zeros are written, because a size alone takes no space.
    fn fill(&self) -> io::Result<()> {
        if fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes) {
            return Ok(());
        }
        let mut file = File::create(&self.path)?;
        let zeros = vec![0; 1 << 16];
        let mut left = self.bytes;
        while left > 0 {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(zeros.len());
            file.write_all(zeros.get(..length).unwrap_or(&zeros))?;
            left -= length as u64;
        }
        file.sync_all()
    }

    /// Gives the space away, and says whether there was any.
    pub(super) fn release(&mut self, now: i64) -> bool {
        let had = self.is_whole && self.bytes > 0;
        if had {
            self.is_whole = false;
            self.tried_at = Some(now);
            if let Err(error) = fs::remove_file(&self.path) {
                tracing::warn!(%error, path = %self.path.display(), "the store's reserve could not be removed");
            }
        }
        had
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_space_is_kept_until_it_is_needed_and_tried_again_after_a_pause() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.db");
        let mut reserve = Reserve::new(&path, 100_000);
        let file = folder.path().join("store.db-reserve");
        assert!(reserve.ensure(0, || panic!("there may be room")));
        assert_eq!(fs::metadata(&file).unwrap().len(), 100_000);
        assert!(reserve.release(5_000) && !reserve.release(5_000));
        assert!(!file.exists());
        assert!(!reserve.ensure(5_999, || panic!("too early")));
        let mut asked = false;
        assert!(reserve.ensure(6_000, || asked = true) && asked);
        assert!(file.exists());
    }

    #[test]
    fn the_reserve_of_another_process_is_used_and_none_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("store.db"), folder.path().join("store.db-reserve"));
        let mut none = Reserve::of_others(&path);
        assert!(none.ensure(0, || {}) && !none.release(0) && !file.exists());
        fs::write(&file, [0; 1_000]).unwrap();
        let mut reserve = Reserve::of_others(&path);
        assert!(reserve.ensure(0, || {}) && reserve.release(0));
        assert!(!file.exists());
    }

    #[test]
    fn where_no_space_can_be_kept_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut reserve = Reserve::new(&folder.path().join("missing").join("store.db"), 1);
        assert!(!reserve.ensure(0, || {}) && !reserve.release(0));
        assert!(Reserve::new(folder.path(), 0).ensure(0, || {}), "nothing is always there");
    }
}
