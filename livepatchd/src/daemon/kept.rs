// SPDX-License-Identifier: GPL-2.0-only
//! What must outlive this process but not the boot: running jobs, and that a reboot is advised. One small file each in
//! the runtime directory, written under another name and renamed, so that a reader never sees half of one.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::model::job::{Job, JobId};

const JOBS: &str = "jobs";
const REBOOT: &str = "reboot-advised";

/// The runtime directory.
#[derive(Clone, Debug)]
pub(super) struct Kept(PathBuf);

impl Kept {
    /// The files in this directory.
    pub(super) fn new(runtime: &Path) -> Self {
        Self(runtime.to_owned())
    }

    /// Writes a job down as it is now.
    pub(super) fn put_job(&self, job: &Job) -> io::Result<()> {
        let jobs = self.0.join(JOBS);
        fs::create_dir_all(&jobs)?;
        let text = serde_json::to_vec(job)?;
        let unfinished = jobs.join(".new");
        fs::write(&unfinished, text)?;
        fs::rename(unfinished, self.job(job.id))
    }

    /// A job is over.
    pub(super) fn drop_job(&self, id: JobId) -> io::Result<()> {
        match fs::remove_file(self.job(id)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        }
    }

    /// The jobs that an earlier daemon left running, by number. A file that cannot be read is told and removed.
    pub(super) fn jobs(&self) -> Vec<Job> {
        let Ok(entries) = fs::read_dir(self.0.join(JOBS)) else {
            return Vec::new();
        };
        let mut jobs = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            match fs::read(&path).map(|text| serde_json::from_slice::<Job>(&text)) {
                Ok(Ok(job)) => jobs.push(job),
                Ok(Err(why)) => discard(&path, &why.to_string()),
                Err(why) => discard(&path, &why.to_string()),
            }
        }
        jobs.sort_by_key(|job| job.id);
        jobs
    }

    /// Remembers until the next boot that a transition was forced.
    pub(super) fn advise_reboot(&self) -> io::Result<()> {
        fs::create_dir_all(&self.0)?;
        fs::write(self.0.join(REBOOT), b"")
    }

    /// Whether a transition was forced since boot.
    pub(super) fn reboot_advised(&self) -> bool {
        self.0.join(REBOOT).exists()
    }

    fn job(&self, id: JobId) -> PathBuf {
        self.0.join(JOBS).join(id.0.to_string())
    }
}

fn discard(path: &Path, why: &str) {
    tracing::warn!("{}: not the record of a job, removed: {why}", path.display());
    // if it stays, it is told again at the next start
    let _ = fs::remove_file(path);
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
    fn advice_to_reboot_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let kept = Kept::new(directory.path());
        assert!(!kept.reboot_advised());
        kept.advise_reboot().expect("written");
        assert!(kept.reboot_advised());
    }
}
