// SPDX-License-Identifier: GPL-2.0-only
//! Taking up what an earlier daemon of this boot left, so that its outcome is told whatever happened in between.
//!
//! A job is taken up as it was written down; the first listing then decides where it really stands. One that had ended is
//! told once more: its record goes only after everybody was told, so somebody may not have been. Jobs that were loading when the daemon ended count as loaded: either the kernel lists the patch, or the job fails now. A force that
//! was begun and whose outcome nobody heard counts as taken: advice to reboot too much is better than none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    Model,
    change::Change,
    job::{Job, JobPhase},
    patch::{PatchName, PatchState},
    time::Moment,
};

/// What must outlive the daemon but not the boot, besides its jobs. It is written down before anything that follows from
/// it is done or told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Lasting {
    /// The number of the last job.
    pub last_job: u32,
    /// A transition was forced.
    pub reboot_advised: bool,
    /// Patches whose `force` is being written, each with the modules that the kernel never lets go if it takes that.
    pub forcing: BTreeMap<PatchName, BTreeSet<PatchName>>,
    /// Modules that the kernel never lets go, because their patches were forced off.
    pub kept: BTreeSet<PatchName>,
    /// Modules that are to be unloaded.
    pub leaving: BTreeSet<PatchName>,
    /// Patches that were enabled when they were last listed: one that no longer is when the next daemon comes may have been
    /// retired by a `replace` patch meanwhile.
    pub enabled: BTreeSet<PatchName>,
}

impl Model {
    /// What must outlive the daemon, as it is now.
    pub fn lasting(&self) -> Lasting {
        let enabled = self.patches.values().filter(|p| p.state == PatchState::Enabled);
        let enabled = enabled.map(|p| &p.name);
        Lasting {
            last_job: self.last_job,
            reboot_advised: self.reboot_advised,
            forcing: self.forcing.clone(),
            kept: self.kept.clone(),
            leaving: self.leaving.keys().cloned().collect(),
            enabled: enabled.chain(&self.were_enabled).cloned().collect(),
        }
    }

    /// Takes up what an earlier daemon left. Call it before the first fact.
    pub fn resume(&mut self, now: Moment, lasting: Lasting, jobs: Vec<Job>) -> Vec<Change> {
        let Lasting {
            last_job,
            reboot_advised,
            forcing,
            kept,
            leaving,
            enabled,
        } = lasting;
        let mut changes = Vec::new();
        self.last_job = last_job;
        if reboot_advised || !forcing.is_empty() {
            changes.extend(self.advise_reboot());
        }
        self.kept
            .extend(kept.into_iter().chain(forcing.into_values().flatten()));
        self.were_enabled = enabled;
        for patch in leaving {
            changes.extend(self.let_leave(now, &patch));
        }
        for mut job in jobs {
            let id = job.id;
            if self.jobs.contains_key(&id) {
                continue;
            }
            self.last_job = self.last_job.max(id.0);
            if job.result.is_some() {
                // it had ended, and perhaps nobody was told
                self.jobs.insert(id, job.clone());
                changes.extend([Change::JobStarted(id), Change::JobEnded(Box::new(job))]);
                continue;
            }
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
        changes.extend(self.forget_jobs());
        changes
    }
}
