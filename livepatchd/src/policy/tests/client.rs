// SPDX-License-Identifier: GPL-2.0-only
//! A reader that believes only the stream of changes, and compares what it believes with the snapshot after each batch.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    change::Change,
    job::{Job, JobId},
    snapshot::{PatchView, Snapshot},
};

/// What the reader believes.
#[derive(Debug, Default)]
pub(super) struct Client {
    patches: BTreeMap<String, PatchView>,
    jobs: BTreeMap<JobId, (Job, (u32, u32))>,
    started: BTreeSet<JobId>,
    /// Jobs as they were when they ended.
    pub(super) ended: BTreeMap<JobId, Job>,
}

impl Client {
    /// Takes in one batch of changes; `after` is what can be read then.
    pub(super) fn hear(&mut self, changes: &[Change], after: &Snapshot) {
        let mut touched = BTreeSet::new();
        let mut touched_jobs = BTreeSet::new();
        let mut known: BTreeSet<String> = self.patches.keys().cloned().collect();
        for change in changes {
            match change {
                Change::PatchAppeared(name) => {
                    assert!(known.insert(name.to_string()), "{name} appeared twice: {changes:#?}");
                    touched.insert(name.to_string());
                }
                Change::PatchChanged(name) => {
                    assert!(known.contains(name.as_str()), "{name} changed unknown: {changes:#?}");
                    touched.insert(name.to_string());
                }
                Change::PatchGone(name) => {
                    assert!(known.remove(name.as_str()), "{name} went unknown: {changes:#?}");
                }
                Change::JobStarted(id) => {
                    assert!(self.started.insert(*id), "job {id:?} started twice");
                    touched_jobs.insert(*id);
                }
                Change::JobChanged(id) => {
                    assert!(self.started.contains(id), "job {id:?} changed before its start");
                    assert!(!self.ended.contains_key(id), "job {id:?} changed after its end");
                    touched_jobs.insert(*id);
                }
                Change::JobEnded(job) => {
                    assert!(
                        self.started.contains(&job.id),
                        "job {:?} ended before its start",
                        job.id
                    );
                    let before = self.ended.insert(job.id, (**job).clone());
                    assert_eq!(before, None, "job {:?} ended twice", job.id);
                    touched_jobs.insert(job.id);
                }
                Change::JobForgotten(id) => {
                    assert!(self.ended.contains_key(id), "job {id:?} forgotten while it runs");
                }
                Change::StateChanged { .. }
                | Change::TransitionStarted { .. }
                | Change::BlockerFound(_)
                | Change::BlockerMoved { .. }
                | Change::Nudged { .. }
                | Change::Stalled { .. }
                | Change::ModuleUnloaded(_)
                | Change::ModuleStays { .. }
                | Change::ActionFailed { .. }
                | Change::DegradedChanged
                | Change::RebootAdvised
                | Change::CoresChanged => {}
            }
        }
        let patches: BTreeMap<_, _> = after.patches.iter().map(|p| (p.name.clone(), p.clone())).collect();
        assert_eq!(known, patches.keys().cloned().collect(), "after {changes:#?}");
        for (name, view) in &patches {
            let silent = !touched.contains(name) && self.patches.get(name) != Some(view);
            assert!(
                !silent,
                "{name} changed silently: {:#?} to {view:#?}",
                self.patches.get(name)
            );
        }
        self.patches = patches;
        self.compare_jobs(&touched_jobs, after);
    }

    fn compare_jobs(&mut self, touched: &BTreeSet<JobId>, after: &Snapshot) {
        assert_eq!(after.jobs.len(), after.job_progress.len());
        let jobs = after.jobs.iter().zip(&after.job_progress);
        let jobs: BTreeMap<_, _> = jobs.map(|(j, p)| (j.id, (j.clone(), *p))).collect();
        for (id, (job, progress)) in &jobs {
            if let Some(ended) = self.ended.get(id) {
                assert_eq!(job, ended, "an ended job changed");
            }
            assert_eq!(job.result.is_some(), self.ended.contains_key(id), "{job:?}");
            let before = self.jobs.get(id);
            let shown = |j: &Job| (j.phase, j.result, j.error.clone(), j.verdict, j.force, j.begun);
            let same = before.is_some_and(|(b, p)| (shown(b), p) == (shown(job), progress));
            assert!(same || touched.contains(id), "{job:?} changed silently from {before:?}");
        }
        self.jobs = jobs;
    }

    /// Jobs that were started and have not ended.
    pub(super) fn running(&self) -> usize {
        self.started.len() - self.ended.len()
    }
}
