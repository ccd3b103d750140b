// SPDX-License-Identifier: GPL-2.0-only
//! `org.livepatch.Job`: one long operation that somebody asked for.
//!
//! A finished job stays readable (State "ended", Result, Error) until the model forgets it, so whoever hears
//! `JobRemoved` can still ask why.

use zbus::{Connection, OwnedObjectPath, fdo, interface, message::Header};

use super::{
    error::{self, Result},
    incoming::Incoming,
    manager::Desk,
};
use crate::model::{
    job::{self, JobId, JobPhase},
    refusal::{ErrorName, Refusal},
};

/// The object of one job. It reads the board, so it never holds a value of its own.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) desk: Desk,
    pub(super) id: JobId,
}

impl Job {
    fn read<T>(&self, field: impl FnOnce(&job::Job, (u32, u32)) -> T) -> fdo::Result<T> {
        let shown = self.desk.board.shown();
        let place = shown.jobs.iter().position(|job| job.id == self.id);
        place
            .and_then(|place| shown.jobs.get(place).zip(Some(place)))
            .map(|(job, place)| {
                let progress = shown.job_progress.get(place).copied().unwrap_or_default();
                field(job, progress)
            })
            .ok_or_else(|| fdo::Error::UnknownObject(format!("job {} is forgotten", self.id.0)))
    }
}

#[interface(name = "org.livepatch.Job", proxy(default_service = "org.livepatch.Manager"))]
impl Job {
    /// Reverse the transition of this job; the job that does it.
    async fn cancel(
        &self,
        #[zbus(connection)] connection: &Connection,
        #[zbus(header)] header: Header<'_>,
    ) -> Result<OwnedObjectPath> {
        let by = self.desk.authorise(connection, &header).await?;
        let (patch, phase) = self.read(|job, _| (job.patch.clone(), job.phase))?;
        if phase == JobPhase::Ended {
            let message = format!("job {} has ended", self.id.0);
            return Err(Refusal::new(ErrorName::NotInTransition, message).into());
        }
        let call = Incoming::Cancel {
            patch,
            job: Some(self.id),
            by,
        };
        self.desk.start(call).await
    }

    /// Its number since the daemon's start.
    #[zbus(property(emits_changed_signal = "const"))]
    fn id(&self) -> u32 {
        self.id.0
    }

    /// apply, revert, cancel or force.
    #[zbus(property(emits_changed_signal = "const"))]
    fn kind(&self) -> fdo::Result<String> {
        self.read(|job, _| job.kind.as_str().to_owned())
    }

    /// The patch.
    #[zbus(property(emits_changed_signal = "const"))]
    fn patch(&self) -> fdo::Result<String> {
        self.read(|job, _| job.patch.to_string())
    }

    /// loading, transition, reversing, unloading or ended.
    #[zbus(property)]
    fn state(&self) -> fdo::Result<String> {
        self.read(|job, _| job.phase.as_str().to_owned())
    }

    /// Tasks that have not moved.
    #[zbus(property)]
    fn pending(&self) -> fdo::Result<u32> {
        self.read(|_, (pending, _)| pending)
    }

    /// Tasks that there were when last looked at.
    #[zbus(property)]
    fn total(&self) -> fdo::Result<u32> {
        self.read(|_, (_, total)| total)
    }

    /// Empty while it runs; then done, cancelled, timeout or failed.
    #[zbus(property)]
    fn result(&self) -> fdo::Result<String> {
        self.read(|job, _| job.result.map_or("", job::JobResult::as_str).to_owned())
    }

    /// Why it did not end as asked: the name of an org.livepatch.Error, a colon, a message. Empty otherwise.
    #[zbus(property)]
    fn error(&self) -> fdo::Result<String> {
        self.read(|job, _| job.error.as_ref().map_or_else(String::new, error::sentence))
    }
}
