// SPDX-License-Identifier: GPL-2.0-only
//! The truth as last observed: one pure state machine.
//!
//! [`Fact`] in, [`Change`] out; requests are answered at once. No clock, no file, no bus: time is an argument.
//! sysfs is the truth: what a [`Fact::Listing`] says replaces what was believed, whoever did it.
//!
//! Rooms: [`patch`], [`task`], [`job`] hold the nouns; [`transition`] the running transition; `jobs` moves jobs along;
//! `listing` takes in sysfs.

pub mod change;
pub mod fact;
pub mod job;
mod jobs;
mod listing;
pub mod module;
pub mod patch;
pub mod place;
pub mod proc_text;
pub mod reason;
pub mod refusal;
pub mod request;
mod resume;
pub mod snapshot;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod transition;

use std::collections::{BTreeMap, BTreeSet};

use self::{
    change::Change,
    fact::{Fact, Outcome, TransitionEvent},
    job::{Job, JobId},
    patch::{Core, Patch, PatchName, PatchState},
    time::{Millis, Moment},
    transition::{Rounds, Transition},
};

/// Everything that is known of the system's live patches.
#[derive(Debug, Default)]
pub struct Model {
    cores: BTreeSet<Core>,
    patches: BTreeMap<PatchName, Patch>,
    transitions: BTreeMap<Core, Transition>,
    rounds: BTreeMap<Core, Rounds>,
    jobs: BTreeMap<JobId, Job>,
    last_job: u32,
    /// Modules to be unloaded, with when to try next and until when to keep trying.
    leaving: BTreeMap<PatchName, Leaving>,
    stale: BTreeSet<Core>,
    listed_at: BTreeMap<Core, Moment>,
    reboot_advised: bool,
    degraded: Vec<String>,
}

/// A module whose patch is no longer in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// When to try next.
    pub next: Moment,
    /// When to give up.
    pub until: Moment,
}

impl Model {
    /// Finished jobs kept for readers.
    const KEPT_JOBS: usize = 16;

    /// A model that knows nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in one fact; says what changed.
    pub fn observe(&mut self, now: Moment, fact: Fact) -> Vec<Change> {
        let mut changes = match fact {
            Fact::Listing { core, patches } => self.take_listing(now, core, patches),
            Fact::CoreGone(core) => self.lose_core(now, core),
            Fact::Stirred(core) => {
                self.stale.insert(core);
                Vec::new()
            }
            Fact::Transition { core, event } => self.take_event(now, core, event),
            Fact::Verdict {
                core,
                key,
                comm,
                verdict,
            } => {
                self.rounds.entry(core).or_default().note(key, comm, verdict);
                Vec::new()
            }
            Fact::Scan {
                core,
                patch,
                direction,
                pending,
                visited,
            } => {
                let rounds = self.rounds.entry(core).or_default();
                match self.transitions.get_mut(&core) {
                    Some(t) if (&t.patch, t.direction) == (&patch, direction) => {
                        let functions = self.patches.get(&t.patch).map_or(&[][..], |p| &p.functions);
                        t.scanned(now, pending, visited, rounds, functions)
                    }
                    // asked for before the transition turned round or ended
                    Some(_) | None => Vec::new(),
                }
            }
            Fact::Outcome(outcome) => self.take_outcome(now, outcome),
            Fact::Degraded(list) => {
                let changed = self.degraded != list;
                self.degraded = list;
                changed.then_some(Change::DegradedChanged).into_iter().collect()
            }
            Fact::ForcedBefore => self.advise_reboot(),
            Fact::NudgeRecovered { key, continued } => vec![Change::NudgeRecovered { key, continued }],
        };
        changes.extend(self.settle_jobs(now));
        changes
    }

    /// Lets time pass: stalls are noticed, deadlines fall.
    pub fn tick(&mut self, now: Moment, stall_after: Millis) -> Vec<Change> {
        let stalls = self.transitions.values_mut();
        let mut changes: Vec<_> = stalls.filter_map(|t| t.check_stall(now, stall_after)).collect();
        let stalled: Vec<_> = changes
            .iter()
            .filter_map(|c| match c {
                Change::Stalled { patch, .. } => Some(Change::PatchChanged(patch.clone())),
                _ => None,
            })
            .collect();
        changes.extend(stalled);
        changes.extend(self.expire_jobs(now));
        changes.extend(self.settle_jobs(now));
        changes
    }

    /// Notes that a listing of this core was asked for: what is known counts as fresh until something stirs again.
    pub fn listing_asked(&mut self, now: Moment, core: Core) {
        self.stale.remove(&core);
        self.listed_at.insert(core, now);
    }

    /// Notes that a scan for this core's transition was asked for.
    pub fn scan_asked(&mut self, now: Moment, core: Core, next_by: Moment) {
        if let Some(t) = self.transitions.get_mut(&core) {
            t.last_scan = Some(now);
            t.scan_by = next_by;
        }
    }

    /// Cores that are there.
    pub fn cores(&self) -> impl Iterator<Item = Core> {
        self.cores.iter().copied()
    }

    /// Every patch, by name.
    pub fn patches(&self) -> impl Iterator<Item = &Patch> {
        self.patches.values()
    }

    /// The patch of this name.
    pub fn patch(&self, name: &PatchName) -> Option<&Patch> {
        self.patches.get(name)
    }

    /// Running transitions: at most one per core.
    pub fn transitions(&self) -> impl Iterator<Item = (Core, &Transition)> {
        self.transitions.iter().map(|(core, t)| (*core, t))
    }

    /// The transition of this patch, if it is in one.
    pub fn transition_of(&self, patch: &PatchName) -> Option<&Transition> {
        self.transitions.values().find(|t| t.patch == *patch)
    }

    /// Running and kept jobs.
    pub fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.jobs.values()
    }

    /// The running job of this patch that was started last.
    pub fn running_job(&self, patch: &PatchName) -> Option<&Job> {
        let mut running = self.jobs.values().rev().filter(|j| j.result.is_none());
        running.find(|j| j.patch == *patch)
    }

    /// Modules to be unloaded.
    pub fn leaving(&self) -> impl Iterator<Item = (&PatchName, Leaving)> {
        self.leaving.iter().map(|(name, l)| (name, *l))
    }

    /// Whether what is known of this core's patches is out of date.
    pub fn is_stale(&self, core: Core) -> bool {
        self.stale.contains(&core)
    }

    /// When this core was last listed.
    pub fn listed_at(&self, core: Core) -> Moment {
        self.listed_at.get(&core).copied().unwrap_or_default()
    }

    /// Whether a transition was forced since boot.
    pub fn reboot_advised(&self) -> bool {
        self.reboot_advised
    }

    /// What this kernel or our rights do not tell.
    pub fn degraded(&self) -> &[String] {
        &self.degraded
    }

    fn take_event(&mut self, now: Moment, core: Core, event: TransitionEvent) -> Vec<Change> {
        let rounds = self.rounds.entry(core).or_default();
        match event {
            TransitionEvent::Started | TransitionEvent::Reversed => {
                rounds.clear();
                self.stale.insert(core);
                Vec::new()
            }
            TransitionEvent::RoundEnded => {
                rounds.end_round();
                let Some(t) = self.transitions.get_mut(&core) else {
                    self.stale.insert(core);
                    return Vec::new();
                };
                t.scan_by = now;
                let functions = self.patches.get(&t.patch).map_or(&[][..], |p| &p.functions);
                t.reexplain(now, rounds, functions)
            }
            TransitionEvent::Completed => {
                rounds.clear();
                self.stale.insert(core);
                Vec::new()
            }
            TransitionEvent::Forced => {
                self.stale.insert(core);
                self.advise_reboot()
            }
        }
    }

    fn take_outcome(&mut self, now: Moment, outcome: Outcome) -> Vec<Change> {
        match outcome {
            Outcome::Loaded { job, result } => self.job_loaded(now, job, result),
            Outcome::Switched {
                core,
                patch,
                direction,
                result,
            } => {
                self.stale.insert(core);
                self.job_switched(&patch, direction, result)
            }
            Outcome::Forced { core, patch, result } => {
                self.stale.insert(core);
                match result {
                    Ok(()) => {
                        let mut changes = self.advise_reboot();
                        changes.extend(self.job_switched_by_force(&patch, None));
                        changes
                    }
                    Err(why) => self.job_switched_by_force(&patch, Some(why)),
                }
            }
            Outcome::Unloaded { patch, result } => self.module_left(now, patch, result),
            Outcome::Nudged { patch, key, result } => {
                let mut transitions = self.transitions.values_mut();
                let found = transitions.find(|t| t.patch == patch);
                found.and_then(|t| t.nudged(now, key, result)).into_iter().collect()
            }
        }
    }

    fn advise_reboot(&mut self) -> Vec<Change> {
        let news = !self.reboot_advised;
        self.reboot_advised = true;
        news.then_some(Change::RebootAdvised).into_iter().collect()
    }

    fn module_left(&mut self, now: Moment, patch: PatchName, result: Result<bool, refusal::Refusal>) -> Vec<Change> {
        /// A reference is usually dropped within milliseconds, by a worker of the core that frees the patch.
        const RETRY: Millis = Millis(100);
        let Some(leaving) = self.leaving.get_mut(&patch) else {
            return Vec::new();
        };
        match result {
            Ok(true) => {
                self.leaving.remove(&patch);
                self.stale.extend(self.cores.iter().copied());
                let known = self.patches.remove(&patch).is_some();
                let gone = known.then(|| Change::PatchGone(patch.clone()));
                [Change::ModuleUnloaded(patch)].into_iter().chain(gone).collect()
            }
            Ok(false) if now < leaving.until => {
                leaving.next = now + RETRY;
                Vec::new()
            }
            Ok(false) => self.module_stays(
                patch.clone(),
                refusal::Refusal::new(
                    refusal::ErrorName::Busy,
                    format!(
                        "{patch} is no longer in use as a patch, but its module is still referenced (a forced patch keeps \
                         its module for ever); see refcnt in /sys/module/{patch}"
                    ),
                ),
            ),
            Err(why) => self.module_stays(patch, why),
        }
    }

    fn module_stays(&mut self, patch: PatchName, why: refusal::Refusal) -> Vec<Change> {
        self.leaving.remove(&patch);
        self.fail_unloading(&patch, &why);
        vec![Change::ModuleStays { patch, why }]
    }

    fn set_leaving(&mut self, now: Moment, patch: &PatchName) {
        /// How long to wait for the last reference: a task may still run in the module's code.
        const PATIENCE: Millis = Millis(10_000);
        self.leaving.entry(patch.clone()).or_insert(Leaving {
            next: now,
            until: now + PATIENCE,
        });
    }

    fn state_of(&self, patch: &PatchName) -> Option<PatchState> {
        self.patches.get(patch).map(|p| p.state)
    }
}

#[cfg(test)]
mod tests;
