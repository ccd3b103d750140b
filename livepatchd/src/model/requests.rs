// SPDX-License-Identifier: GPL-2.0-only
//! Answering requests: each starts a job, or is refused by name with what to do instead.
//!
//! Nothing is written here: a job states where it works to, and `jobs` moves it along.

use super::{
    Model,
    change::Change,
    job::{Job, JobId, JobKind, JobOptions, JobPhase, JobResult, OnTimeout},
    jobs::{FORCE_TIME, reversal_time},
    leaving::kept,
    patch::{Core, Direction, PatchName, PatchState},
    refusal::{ErrorName, Refusal},
    request::{Answer, Reply, Request},
    task::Blocker,
    time::Moment,
};

impl Model {
    /// Answers a request.
    pub fn request(&mut self, now: Moment, request: Request) -> (Reply, Vec<Change>) {
        let mut changes = Vec::new();
        let last_job = self.last_job;
        let answer = match request {
            Request::Apply { patch, core, options } => self.start_apply(now, patch, core, options),
            Request::Revert { patch, options } => self.start_revert(now, &patch, options),
            Request::Cancel { patch, options } => self.start_cancel(now, &patch, options, &mut changes),
            Request::Force { patch } => self.start_force(now, &patch),
            Request::Nudge { patch } => self.nudge_now(&patch),
        };
        if self.last_job != last_job {
            changes.push(Change::JobStarted(JobId(self.last_job)));
            changes.extend(self.settle_jobs(now));
        }
        (answer, changes)
    }

    fn start_apply(&mut self, now: Moment, patch: PatchName, core: Core, options: JobOptions) -> Reply {
        if let Some(job) = self.running_job(&patch) {
            return Err(busy_with_job(job));
        }
        if let Some(known) = self.patches.get(&patch) {
            return Err(Refusal::new(
                ErrorName::AlreadyLoaded,
                format!(
                    "{patch} is already loaded ({}); to apply it anew, revert it first: livepatchctl revert {patch}",
                    known.state.as_str()
                ),
            ));
        }
        self.refuse_if_moving(core)?;
        let mut job = self.new_job(now, JobKind::Apply, patch, core, options, Direction::Patching);
        job.phase = JobPhase::Loading;
        job.begun = true;
        Ok(self.add_job(job))
    }

    fn start_revert(&mut self, now: Moment, patch: &PatchName, options: JobOptions) -> Reply {
        if let Some(job) = self.running_job(patch) {
            return Err(busy_with_job(job));
        }
        let known = self.patches.get(patch).ok_or_else(|| not_found(patch))?;
        let (core, state) = (known.core, known.state);
        match state {
            PatchState::Enabling | PatchState::Disabling => {
                return Err(Refusal::new(
                    ErrorName::Busy,
                    format!(
                        "{patch} is in transition ({}); wait for it, or reverse it: livepatchctl cancel {patch}",
                        state.as_str()
                    ),
                ));
            }
            PatchState::Enabled => self.refuse_if_moving(core)?,
            PatchState::Loaded | PatchState::Disabled if self.kept.contains(patch) => return Err(kept(patch)),
            PatchState::Loaded | PatchState::Disabled => {}
        }
        let patch = patch.clone();
        let job = self.new_job(now, JobKind::Revert, patch, core, options, Direction::Unpatching);
        Ok(self.add_job(job))
    }

    fn start_cancel(
        &mut self,
        now: Moment,
        patch: &PatchName,
        options: JobOptions,
        changes: &mut Vec<Change>,
    ) -> Reply {
        let running = || {
            let jobs = self.jobs.values();
            jobs.filter(|j| j.result.is_none() && j.patch == *patch)
        };
        if let Some(cancel) = running().find(|j| j.kind == JobKind::Cancel) {
            return Ok(Answer::Job(cancel.id));
        }
        let from_job = running().find_map(|j| match j.phase {
            JobPhase::Loading | JobPhase::Transition => Some((j.core, j.target)),
            JobPhase::Reversing => Some((j.core, j.target.reversed())),
            JobPhase::Unloading | JobPhase::Ended => None,
        });
        let from_sysfs = || {
            let known = self.patches.get(patch)?;
            Some((known.core, known.state.direction()?))
        };
        let Some((core, direction)) = from_job.or_else(from_sysfs) else {
            return Err(self.not_in_transition(patch, &format!("to undo a patch: livepatchctl revert {patch}")));
        };
        for job in self.jobs.values_mut() {
            if job.result.is_none() && job.patch == *patch && job.verdict.is_none() {
                job.verdict = Some(JobResult::Cancelled);
                if job.phase == JobPhase::Transition {
                    job.turn_round(now);
                }
                changes.push(Change::JobChanged(job.id));
            }
        }
        // a reversal that stalls too is reported, never turned round again
        let options = JobOptions {
            on_timeout: OnTimeout::Keep,
            nudge: options.nudge && self.wishes_nudges(patch),
            ..options
        };
        let patch = patch.clone();
        let mut job = self.new_job(now, JobKind::Cancel, patch, core, options, direction.reversed());
        job.deadline = now + reversal_time(options);
        Ok(self.add_job(job))
    }

    fn start_force(&mut self, now: Moment, patch: &PatchName) -> Reply {
        let known = self.patches.get(patch).ok_or_else(|| not_found(patch))?;
        let Some(direction) = known.state.direction() else {
            return Err(self.not_in_transition(patch, "there is nothing to force"));
        };
        let core = known.core;
        let options = JobOptions {
            timeout: FORCE_TIME,
            on_timeout: OnTimeout::Keep,
            nudge: self.wishes_nudges(patch),
        };
        let mut job = self.new_job(now, JobKind::Force, patch.clone(), core, options, direction);
        job.begun = true;
        job.force = Some(now);
        Ok(self.add_job(job))
    }

    fn nudge_now(&mut self, patch: &PatchName) -> Reply {
        let transition = self.transitions.values_mut().find(|t| t.patch == *patch);
        let Some(transition) = transition else {
            return Err(self.not_in_transition(patch, "nothing blocks it"));
        };
        transition.nudge_now = transition.blockers.keys().copied().collect();
        Ok(Answer::Nudging(transition.pending()))
    }

    /// Narrows what [`Request::Nudge`] asked for to the tasks that may be nudged; their number.
    pub fn keep_nudges(&mut self, patch: &PatchName, may: impl Fn(&Blocker) -> bool) -> u32 {
        let Some(t) = self.transitions.values_mut().find(|t| t.patch == *patch) else {
            return 0;
        };
        let blockers = &t.blockers;
        t.nudge_now.retain(|key| blockers.get(key).is_some_and(&may));
        u32::try_from(t.nudge_now.len()).unwrap_or(u32::MAX)
    }

    /// Whether nobody who had a part in this patch's transition asked for no nudges.
    fn wishes_nudges(&self, patch: &PatchName) -> bool {
        self.transition_of(patch).is_none_or(|t| t.nudge) && self.jobs_wish_nudges(patch)
    }

    /// The same of its running jobs alone.
    pub(super) fn jobs_wish_nudges(&self, patch: &PatchName) -> bool {
        let mut running = self.jobs.values().filter(|j| j.result.is_none());
        running.all(|j| j.patch != *patch || j.options.nudge)
    }

    fn refuse_if_moving(&self, core: Core) -> Result<(), Refusal> {
        if let Some(t) = self.transitions.get(&core) {
            return Err(Refusal::new(
                ErrorName::Busy,
                format!(
                    "{} is in transition ({}), and only one patch can be at a time; wait for it or reverse it: livepatchctl cancel {}",
                    t.patch,
                    t.direction.as_str(),
                    t.patch
                ),
            ));
        }
        let mut running = self.jobs.values().filter(|j| j.result.is_none() && j.core == core);
        match running.find(|j| j.phase != JobPhase::Unloading) {
            Some(job) => Err(busy_with_job(job)),
            None => Ok(()),
        }
    }

    fn not_in_transition(&self, patch: &PatchName, then: &str) -> Refusal {
        match self.state_of(patch) {
            None => not_found(patch),
            Some(state) => Refusal::new(
                ErrorName::NotInTransition,
                format!("{patch} is not in transition ({}); {then}", state.as_str()),
            ),
        }
    }

    /// A job that works to `target` and has begun nothing yet.
    fn new_job(
        &self,
        now: Moment,
        kind: JobKind,
        patch: PatchName,
        core: Core,
        options: JobOptions,
        target: Direction,
    ) -> Job {
        Job {
            id: JobId(self.last_job + 1),
            kind,
            patch,
            core,
            options,
            started: now,
            deadline: now + options.timeout,
            phase: JobPhase::Transition,
            target,
            begun: false,
            force: None,
            refused_writes: 0,
            verdict: None,
            result: None,
            error: None,
        }
    }

    fn add_job(&mut self, job: Job) -> Answer {
        let id = job.id;
        self.last_job = id.0;
        self.jobs.insert(id, job);
        Answer::Job(id)
    }
}

fn not_found(patch: &PatchName) -> Refusal {
    Refusal::new(
        ErrorName::NotFound,
        format!("no live patch named {patch} is loaded; see livepatchctl list"),
    )
}

fn busy_with_job(job: &Job) -> Refusal {
    let (kind, id, patch) = (job.kind.as_str(), job.id.0, &job.patch);
    Refusal::new(
        ErrorName::Busy,
        format!("job {id} ({kind} {patch}) is running; wait for it, or: livepatchctl cancel {patch}"),
    )
}
