// SPDX-License-Identifier: GPL-2.0-only
//! Telling what changed: the journal and the runtime directory at once, the bus once per step.
//!
//! A step may take in hundreds of facts, and what readers see grows with the number of blockers: a copy of it for each
//! fact would be more work than the facts themselves. So changes and answers are collected, and one copy is published.

use std::{io, sync::Arc};

use tokio::sync::oneshot;

use super::{Daemon, Event};
use crate::{
    journal,
    model::{change::Change, job::JobId, request::Reply},
    policy::describe::describe,
};

/// What is yet to be told on the bus.
#[derive(Debug, Default)]
pub(super) struct News {
    changes: Vec<Change>,
    answers: Vec<(oneshot::Sender<Reply>, Reply)>,
    /// Jobs that ended.
    ended: Vec<JobId>,
    /// How often what readers see was copied.
    #[cfg(test)]
    pub(super) copies: u32,
}

impl News {
    /// Answers a call, once what it changed is published.
    pub(super) fn answer(&mut self, reply: oneshot::Sender<Reply>, answer: Reply) {
        self.answers.push((reply, answer));
    }
}

impl Daemon {
    /// Takes note of changes: the model must be as they left it.
    pub(super) fn tell(&mut self, changes: Vec<Change>) {
        for change in &changes {
            journal::tell(change, &self.model);
            self.keep(change);
        }
        self.news.changes.extend(changes);
    }

    /// Publishes what changed since the last time, if anything did, then answers.
    pub(super) fn publish(&mut self) {
        if !self.news.changes.is_empty() {
            self.announce();
        }
        for (reply, answer) in self.news.answers.drain(..) {
            // a caller that has gone away does not want its answer any more
            let _ = reply.send(answer);
        }
    }

    /// Publishes what readers see.
    pub(super) fn announce(&mut self) {
        #[cfg(test)]
        {
            self.news.copies += 1;
        }
        // first what must not be forgotten, then what others may act upon
        let kept = self.kept.put_lasting(self.model.lasting());
        self.warn_unless_kept(kept);
        let changes = std::mem::take(&mut self.news.changes);
        let snapshot = describe(&self.model, &self.rules);
        self.service.status(&snapshot);
        self.bus.publish(&changes, Arc::new(snapshot));
        let ended = std::mem::take(&mut self.news.ended);
        if !ended.is_empty() {
            let (told, events) = (self.bus.told(), self.events.clone());
            tokio::spawn(async move {
                told.await;
                // the loop is gone only when the daemon ends; the next one tells once more
                let _ = events.send(Event::Told(ended));
            });
        }
    }

    /// Everybody was told that these jobs ended.
    pub(super) fn forget(&self, ended: &[JobId]) {
        for id in ended {
            self.warn_unless_kept(self.kept.drop_job(*id));
        }
    }

    /// Writes down what must outlive this process.
    fn keep(&mut self, change: &Change) {
        let kept = match change {
            Change::JobStarted(id) | Change::JobChanged(id) => {
                let job = self.model.jobs().find(|j| j.id == *id && j.result.is_none());
                job.map_or(Ok(()), |job| self.kept.put_job(job))
            }
            Change::JobEnded(job) => {
                self.modules.remove(&job.id);
                self.news.ended.push(job.id);
                // the record goes when everybody was told; until then it says how the job ended
                self.kept.put_job(job)
            }
            _ => Ok(()),
        };
        self.warn_unless_kept(kept);
    }

    fn warn_unless_kept(&self, kept: io::Result<()>) {
        if let Err(why) = kept {
            tracing::warn!("{}: {why}", self.setup.places.runtime.display());
        }
    }
}
