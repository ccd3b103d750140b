// SPDX-License-Identifier: GPL-2.0-only
//! The truth as last observed: one pure state machine.
//!
//! [`Fact`] in, [`Change`] out; requests are answered at once. No clock, no file, no bus: time is an argument.
//! sysfs is the truth: what a [`Fact::Listing`] says replaces what was believed, whoever did it.
//!
//! Rooms: [`patch`], [`task`], [`job`] hold the nouns; [`transition`] the running transition; `requests` starts jobs, `jobs`
//! moves them along; `listing` takes in sysfs, and `freshness` knows how old that is; [`leaving`] sees modules out.
//!
//! Between deciding an action and hearing of its outcome things happen. The caller says what it has begun
//! ([`Model::listing_asked`] and the other `…_asked`), so that nothing is concluded from what is about to change.

pub mod change;
pub mod fact;
pub mod freezer;
mod freshness;
pub mod job;
mod jobs;
pub mod leaving;
mod listing;
pub mod module;
pub mod patch;
pub mod place;
pub mod proc_text;
pub mod reason;
pub mod refusal;
pub mod request;
mod requests;
pub mod resume;
pub mod snapshot;
pub mod task;
#[cfg(test)]
pub(crate) mod testing;
pub mod time;
pub mod transition;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use self::{
    change::Change,
    fact::{Fact, Outcome, TransitionEvent},
    freshness::Freshness,
    job::{Job, JobId},
    leaving::Leaving,
    patch::{Core, Patch, PatchName, PatchState},
    task::{Blocker, TaskKey},
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
    /// Jobs that ended and are kept, in the order in which they ended.
    finished: VecDeque<JobId>,
    /// Modules to be unloaded, with when to try next and until when to keep trying.
    leaving: BTreeMap<PatchName, Leaving>,
    /// Patches whose modules the kernel never lets go, because they were forced off.
    kept: BTreeSet<PatchName>,
    /// Patches whose `force` is being written, each with the modules that the kernel never lets go if it takes that.
    forcing: BTreeMap<PatchName, BTreeSet<PatchName>>,
    /// Patches that an earlier daemon saw enabled and this one has not seen yet.
    were_enabled: BTreeSet<PatchName>,
    freshness: BTreeMap<Core, Freshness>,
    /// Patches to whose `enabled` or `force` a write is under way.
    writing: BTreeSet<PatchName>,
    /// Blockers that are being nudged, as they were when that began.
    nudging: BTreeMap<TaskKey, Blocker>,
    reboot_advised: bool,
    degraded: Vec<String>,
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
                self.freshness.entry(core).or_default().stir();
                Vec::new()
            }
            Fact::Transition { core, event } => self.take_event(now, core, event),
            Fact::EventsLost => {
                for core in Core::ALL {
                    self.freshness.entry(core).or_default().stir();
                }
                self.rounds.values_mut().for_each(Rounds::lose);
                Vec::new()
            }
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
                total,
            } => {
                let rounds = self.rounds.entry(core).or_default();
                match self.transitions.get_mut(&core) {
                    Some(t) if (&t.patch, t.direction) == (&patch, direction) => {
                        let functions = self.patches.get(&t.patch).map_or(&[][..], |p| &p.functions);
                        t.scanned(now, pending, total, rounds, functions)
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
        };
        changes.extend(self.settle_jobs(now));
        self.show_progress(&mut changes);
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
        self.show_progress(&mut changes);
        changes
    }

    /// Notes that a listing of this core was asked for: no other is needed until something stirs again.
    pub fn listing_asked(&mut self, now: Moment, core: Core) {
        self.freshness.entry(core).or_default().ask(now);
    }

    /// Notes that a scan for this core's transition was asked for.
    pub fn scan_asked(&mut self, now: Moment, core: Core, next_by: Moment) {
        if let Some(t) = self.transitions.get_mut(&core) {
            t.last_scan = Some(now);
            t.scan_by = next_by;
        }
    }

    /// Notes that a write to this patch's `enabled` or `force` was begun: until its outcome is known, no job of the patch
    /// is judged by the patch's state.
    pub fn write_asked(&mut self, patch: &PatchName) {
        self.writing.insert(patch.clone());
    }

    /// Notes that a write to this patch's `force` is about to begin. Write down [`Model::lasting`] before it does: whether
    /// the kernel took it may never be heard.
    pub fn force_asked(&mut self, patch: &PatchName) {
        self.write_asked(patch);
        self.forcing.insert(patch.clone(), self.retired_by_force(patch));
    }

    /// Notes that a nudge of this task was begun, so that it is told even if the task has moved when its outcome comes.
    pub fn nudge_asked(&mut self, patch: &PatchName, key: TaskKey) {
        let blocker = self.transition_of(patch).and_then(|t| t.blockers.get(&key));
        if let Some(blocker) = blocker.cloned() {
            self.nudging.insert(key, blocker);
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

    /// Since when force is asked for, for this patch.
    pub fn force_since(&self, patch: &PatchName) -> Option<Moment> {
        let jobs = self.jobs.values().filter(|j| j.patch == *patch);
        jobs.filter_map(|j| j.force).min()
    }

    /// Modules to be unloaded.
    pub fn leaving(&self) -> impl Iterator<Item = (&PatchName, Leaving)> {
        self.leaving.iter().map(|(name, l)| (name, *l))
    }

    /// Whether this core should be listed again.
    pub fn is_stale(&self, core: Core) -> bool {
        self.freshness(core).is_stale()
    }

    /// Whether what is known of this core's patches is from before the outcome of an action.
    pub fn is_behind(&self, core: Core) -> bool {
        self.freshness(core).is_behind()
    }

    /// Whom alone a scan of this core's transition need look at ([`Transition::suspects`]). Only the kernel's own core shows
    /// the states of single tasks.
    pub fn suspects(&self, core: Core) -> Option<Vec<TaskKey>> {
        let transition = self.transitions.get(&core).filter(|_| core == Core::Kernel)?;
        transition.suspects(self.rounds.get(&core)?)
    }

    /// When this core was last listed.
    pub fn listed_at(&self, core: Core) -> Moment {
        self.freshness(core).listed_at()
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
        let freshness = self.freshness.entry(core).or_default();
        match event {
            TransitionEvent::Started | TransitionEvent::Reversed | TransitionEvent::Completed => {
                rounds.clear();
                freshness.stir();
                Vec::new()
            }
            TransitionEvent::RoundEnded => {
                rounds.end_round(now);
                let Some(t) = self.transitions.get_mut(&core) else {
                    freshness.stir();
                    return Vec::new();
                };
                t.scan_after_round(now, rounds);
                let functions = self.patches.get(&t.patch).map_or(&[][..], |p| &p.functions);
                t.reexplain(now, rounds, functions)
            }
            TransitionEvent::Forced => {
                freshness.stir();
                if let Some(patch) = self.transitions.get(&core).map(|t| t.patch.clone()) {
                    self.kept.extend(self.retired_by_force(&patch));
                }
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
            } => self.job_switched(core, &patch, direction, result),
            Outcome::Forced { core, patch, result } => self.job_forced(core, &patch, result),
            Outcome::Unloaded { patch, result } => self.module_left(now, patch, result),
            Outcome::Nudged { patch, key, result } => {
                let begun = self.nudging.remove(&key).filter(|b| b.patch == patch);
                let transition = self.transitions.values_mut().find(|t| t.patch == patch);
                let (blocker, moved) = if let Some(transition) = transition {
                    transition.nudged(now, key, begun, result.is_ok())
                } else {
                    let nudged = begun.map(|b| Blocker {
                        nudges: b.nudges.and(now, result.is_ok()),
                        ..b
                    });
                    (nudged, None)
                };
                let told = blocker.map(Box::new);
                let nudged = told.map(|blocker| Change::Nudged { blocker, result });
                nudged.into_iter().chain(moved).collect()
            }
        }
    }

    /// Threads whose nudge was begun and has no known outcome yet.
    pub fn nudging(&self) -> impl ExactSizeIterator<Item = &TaskKey> {
        self.nudging.keys()
    }

    /// Whether this thread is one of them.
    pub fn is_nudging(&self, key: &TaskKey) -> bool {
        self.nudging.contains_key(key)
    }

    fn advise_reboot(&mut self) -> Vec<Change> {
        let news = !self.reboot_advised;
        self.reboot_advised = true;
        news.then_some(Change::RebootAdvised).into_iter().collect()
    }

    /// A running job shows its patch's progress as its own.
    fn show_progress(&self, changes: &mut Vec<Change>) {
        let moved = |job: &Job| {
            let mut patches = changes.iter().filter_map(|change| match change {
                Change::PatchChanged(patch) | Change::PatchGone(patch) => Some(patch),
                _ => None,
            });
            patches.any(|patch| *patch == job.patch)
        };
        let running = self.jobs.values().filter(|j| j.result.is_none());
        let news: Vec<_> = running.filter(|j| moved(j)).map(|j| Change::JobChanged(j.id)).collect();
        changes.extend(news);
    }

    fn freshness(&self, core: Core) -> Freshness {
        self.freshness.get(&core).copied().unwrap_or_default()
    }

    fn state_of(&self, patch: &PatchName) -> Option<PatchState> {
        self.patches.get(patch).map(|p| p.state)
    }
}

#[cfg(test)]
mod tests;
