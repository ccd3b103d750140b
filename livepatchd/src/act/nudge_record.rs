// SPDX-License-Identifier: GPL-2.0-only
//! The write-ahead record of a nudge: one small file per thread in the runtime directory.
//!
//! It must outlive the process, not the machine: the runtime directory is in memory and a write is there for the next
//! reader once the system call returned, so nothing is synced. The first byte is the [`Phase`]; changing it is one write
//! of one byte. The rest is written once, before anything is sent:
//!
//! `PHASE TID START TGID BOOT-ID COMM\n`

use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::model::{place::Places, task::TaskKey};

/// Names of record files begin so.
const PREFIX: &str = "nudge-";

/// How far the nudge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No signal was sent.
    Prepared,
    /// From here to [`Phase::Sent`] no, one or both signals were sent.
    Sending,
    /// Both were.
    Sent,
}

impl Phase {
    fn letter(self) -> u8 {
        match self {
            Self::Prepared => b'P',
            Self::Sending => b'S',
            Self::Sent => b'D',
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Prepared, Self::Sending, Self::Sent]
            .into_iter()
            .find(|phase| word.as_bytes() == [phase.letter()])
    }
}

/// A record on disk that this process wrote.
#[derive(Debug)]
pub(super) struct Open {
    file: File,
    path: PathBuf,
}

impl Open {
    /// Writes a record that nothing was sent. One that is there already belongs to a nudge that was not recovered, and
    /// is an error.
    pub(super) fn create(places: &Places, boot: &str, key: TaskKey, tgid: u32, comm: &str) -> io::Result<Self> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&places.runtime)?;
        let path = places.runtime.join(format!("{PREFIX}{}", key.tid));
        let file = File::options().write(true).create_new(true).mode(0o600).open(&path)?;
        let record = Self { file, path };
        let comm: String = comm.chars().filter(|c| !c.is_control()).collect();
        let line = format!(
            "{} {} {} {tgid} {boot} {comm}\n",
            char::from(Phase::Prepared.letter()),
            key.tid,
            key.start_ticks
        );
        match (&record.file).write_all(line.as_bytes()) {
            Ok(()) => Ok(record),
            Err(err) => {
                record.remove();
                Err(err)
            }
        }
    }

    /// Says how far the nudge is.
    #[inline]
    pub(super) fn set(&self, phase: Phase) -> io::Result<()> {
        self.file.write_all_at(&[phase.letter()], 0)
    }

    /// The nudge is over.
    pub(super) fn remove(self) {
        // if it cannot be removed it says that all is sent, and the next start removes it
        let _ = fs::remove_file(&self.path);
    }
}

/// A record that an earlier process left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) phase: Phase,
    pub(super) key: TaskKey,
    pub(super) tgid: u32,
    pub(super) boot: String,
    pub(super) comm: String,
    path: PathBuf,
}

impl Left {
    /// Takes a record's text apart. One without its line's end was being written when its process died: nothing was
    /// sent then.
    fn parse(path: PathBuf, text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.splitn(6, ' ');
        Some(Self {
            phase: Phase::parse(words.next()?)?,
            key: TaskKey {
                tid: words.next()?.parse().ok()?,
                start_ticks: words.next()?.parse().ok()?,
            },
            tgid: words.next()?.parse().ok()?,
            boot: words.next()?.to_owned(),
            comm: words.next()?.to_owned(),
            path,
        })
    }

    /// It has been dealt with.
    pub(super) fn remove(self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// All records in the runtime directory. Those that were never finished, in which nothing can have been sent, are
/// removed.
pub(super) fn left(places: &Places) -> Vec<Left> {
    let Ok(entries) = fs::read_dir(&places.runtime) else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter(|entry| entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()))
        .filter_map(|entry| {
            let path = entry.path();
            let record = fs::read_to_string(&path)
                .ok()
                .and_then(|text| Left::parse(path.clone(), &text));
            if record.is_none() {
                let _ = fs::remove_file(&path);
            }
            record
        })
        .collect()
}

/// Names this boot: after another one, thread ids and start times mean other threads.
pub(super) fn boot_id(proc: &Path) -> String {
    fs::read_to_string(proc.join("sys/kernel/random/boot_id")).map_or_else(|_| "-".into(), |id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Left, Open, Phase, left};
    use crate::model::{place::Places, task::TaskKey};

    const KEY: TaskKey = TaskKey {
        tid: 812,
        start_ticks: 99,
    };

    #[test]
    fn a_record_is_read_back_in_each_phase() {
        let dir = tempfile::tempdir().expect("tempdir");
        let places = Places::system(Some(dir.path().join("run")));
        let record = Open::create(&places, "boot", KEY, 810, "a (b) c\n").expect("created");
        for phase in [Phase::Prepared, Phase::Sending, Phase::Sent] {
            record.set(phase).expect("written");
            let found = left(&places);
            assert_eq!(found.len(), 1);
            assert_eq!((found[0].phase, found[0].key, found[0].tgid), (phase, KEY, 810));
            assert_eq!((found[0].boot.as_str(), found[0].comm.as_str()), ("boot", "a (b) c"));
        }
        assert!(Open::create(&places, "boot", KEY, 810, "x").is_err(), "one at a time");
        record.remove();
        assert_eq!(left(&places), []);
    }

    #[test]
    fn a_torn_record_is_removed_and_says_nothing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let places = Places::system(Some(dir.path().to_owned()));
        let whole = "S 812 99 810 boot comm\n";
        for end in 0..whole.len() {
            let path = dir.path().join("nudge-812");
            fs::write(&path, &whole[..end]).expect("write");
            assert_eq!(left(&places), [], "{:?}", &whole[..end]);
            assert!(!path.exists());
        }
        fs::write(dir.path().join("other"), whole).expect("write");
        fs::write(dir.path().join("nudge-1"), b"\xff\n").expect("write");
        assert_eq!(left(&places), []);
        assert!(dir.path().join("other").exists());
        assert!(Left::parse("x".into(), whole).is_some());
    }
}
