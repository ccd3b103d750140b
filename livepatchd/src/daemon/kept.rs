// SPDX-License-Identifier: GPL-2.0-only
//! What must outlive this process but not the boot: one small file for each running job, and one for the rest
//! ([`Lasting`]). They are in the runtime directory, written under another name and renamed, so that a reader never sees
//! half of one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};

use crate::model::{
    job::{Job, JobId},
    resume::Lasting,
};

const JOBS: &str = "jobs";
const LASTING: &str = "lasting";

/// The runtime directory.
#[derive(Debug)]
pub(super) struct Kept {
    directory: PathBuf,
    /// As it was written last.
    lasting: Option<Lasting>,
}

impl Kept {
    /// The files in this directory.
    pub(super) fn new(runtime: &Path) -> Self {
        Self {
            directory: runtime.to_owned(),
            lasting: None,
        }
    }

    /// Writes a job down as it is now.
    pub(super) fn put_job(&self, job: &Job) -> io::Result<()> {
        write(&self.job(job.id), job)
    }

    /// A job is over and everybody knows.
    pub(super) fn drop_job(&self, id: JobId) -> io::Result<()> {
        match fs::remove_file(self.job(id)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The jobs that an earlier daemon left running, or ended without telling everybody, by number. A file that cannot be read is told and removed.
    pub(super) fn jobs(&self) -> Vec<Job> {
        let Ok(entries) = fs::read_dir(self.directory.join(JOBS)) else {
            return Vec::new();
        };
        let mut jobs: Vec<Job> = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            jobs.extend(read(&path));
        }
        jobs.sort_by_key(|job| job.id);
        jobs
    }

    /// Writes down what else must not be forgotten, unless it is there already.
    pub(super) fn put_lasting(&mut self, lasting: Lasting) -> io::Result<()> {
        if self.lasting.as_ref() != Some(&lasting) {
            self.lasting = None;
            write(&self.directory.join(LASTING), &lasting)?;
            self.lasting = Some(lasting);
        }
        Ok(())
    }

    /// What an earlier daemon wrote down since boot.
    pub(super) fn lasting(&self) -> Lasting {
        read(&self.directory.join(LASTING)).unwrap_or_default()
    }

    fn job(&self, id: JobId) -> PathBuf {
        self.directory.join(JOBS).join(id.0.to_string())
    }
}

/// Writes a file whole or not at all.
fn write(path: &Path, what: &impl Serialize) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    fs::create_dir_all(directory)?;
    let unfinished = directory.join(".new");
    fs::write(&unfinished, serde_json::to_vec(what)?)?;
    fs::rename(unfinished, path)
}

/// Reads a file if it is there. One that cannot be read is told and removed.
fn read<T: DeserializeOwned>(path: &Path) -> Option<T> {
    let read = fs::read(path).and_then(|text| Ok(serde_json::from_slice(&text)?));
    match read {
        Ok(what) => Some(what),
        Err(why) if why.kind() == io::ErrorKind::NotFound => None,
        Err(why) => {
            tracing::warn!("{}: no record of ours, removed: {why}", path.display());
            // if it stays, it is told again at the next start
            let _ = fs::remove_file(path);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        job::{JobKind, JobOptions, JobPhase, OnTimeout},
        patch::{Core, Direction},
        testing::name,
        time::{Millis, Moment},
    };

    fn job(id: u32) -> Job {
        Job {
            id: JobId(id),
            kind: JobKind::Apply,
            patch: name("lp"),
            core: Core::Kernel,
            options: JobOptions {
                timeout: Millis(75_000),
                on_timeout: OnTimeout::Reverse,
                nudge: true,
            },
            started: Moment(5),
            deadline: Moment(75_005),
            phase: JobPhase::Transition,
            target: Direction::Patching,
            begun: true,
            force: None,
            refused_writes: 0,
            verdict: None,
            result: None,
            error: None,
        }
    }

    #[test]
    fn a_job_comes_back_as_it_was_written_until_it_is_over() {
        let directory = tempfile::tempdir().expect("a directory");
        let kept = Kept::new(&directory.path().join("livepatchd"));
        assert!(kept.jobs().is_empty());
        kept.put_job(&job(2)).expect("written");
        kept.put_job(&job(10)).expect("written");
        assert_eq!(kept.jobs(), [job(2), job(10)]);
        kept.drop_job(JobId(2)).expect("removed");
        kept.drop_job(JobId(2)).expect("nothing to remove is fine");
        assert_eq!(kept.jobs(), [job(10)]);
    }

    #[test]
    fn a_garbled_record_is_removed_and_hides_no_other() {
        let directory = tempfile::tempdir().expect("a directory");
        let kept = Kept::new(directory.path());
        kept.put_job(&job(1)).expect("written");
        let garbled = directory.path().join("jobs/7");
        fs::write(&garbled, b"{\"id\":").expect("written");
        assert_eq!(kept.jobs(), [job(1)]);
        assert!(!garbled.exists());
    }

    #[test]
    fn what_must_last_until_the_next_boot_comes_back() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut kept = Kept::new(&directory.path().join("livepatchd"));
        assert_eq!(kept.lasting(), Lasting::default());
        let lasting = Lasting {
            last_job: 7,
            reboot_advised: true,
            forcing: [(name("lp"), [name("lp"), name("old")].into())].into(),
            kept: [name("older")].into(),
            leaving: [name("retired")].into(),
            enabled: [name("lp")].into(),
        };
        kept.put_lasting(lasting.clone()).expect("written");
        assert_eq!(kept.lasting(), lasting);
        // a version of livepatchd that knew less
        fs::write(
            directory.path().join("livepatchd/lasting"),
            b"{\"reboot_advised\":true}",
        )
        .expect("written");
        assert!(kept.lasting().reboot_advised);
    }

    #[test]
    fn what_is_there_already_is_not_written_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut kept = Kept::new(directory.path());
        kept.put_lasting(Lasting::default()).expect("written");
        let file = directory.path().join("lasting");
        fs::remove_file(&file).expect("removed");
        kept.put_lasting(Lasting::default()).expect("nothing to do");
        assert!(!file.exists());
    }
}
