// SPDX-License-Identifier: GPL-2.0-only
//! Taking up jobs that an earlier daemon left running, so that their outcome is told whatever happened in between.
//!
//! A job is taken up as it was written down; the first listing then decides where it really stands. Jobs that were
//! loading when the daemon ended count as loaded: either the kernel lists the patch, or the job fails now.

use super::{
    Model,
    change::Change,
    job::{Job, JobPhase},
    time::Moment,
};

impl Model {
    /// Takes up the jobs of an earlier daemon. Call it before the first fact.
    pub fn resume(&mut self, now: Moment, jobs: Vec<Job>) -> Vec<Change> {
        let mut changes = Vec::new();
        for mut job in jobs {
            let id = job.id;
            if job.result.is_some() || self.jobs.contains_key(&id) {
                continue;
            }
            self.last_job = self.last_job.max(id.0);
            // nothing is settled before the core was listed
            self.freshness.entry(job.core).or_default().await_first();
            match job.phase {
                JobPhase::Loading if job.verdict.is_some() => {
                    job.phase = JobPhase::Transition;
                    job.turn_round(now);
                }
                JobPhase::Loading => job.phase = JobPhase::Transition,
                JobPhase::Unloading => changes.extend(self.let_leave(now, &job.patch)),
                JobPhase::Transition | JobPhase::Reversing | JobPhase::Ended => {}
            }
            self.jobs.insert(id, job);
            changes.push(Change::JobStarted(id));
        }
        changes
    }
}
