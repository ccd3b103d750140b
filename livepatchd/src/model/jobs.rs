// SPDX-License-Identifier: GPL-2.0-only
//! Moving jobs along: requests start them, outcomes and listings advance them, deadlines turn them round.
//!
//! A job never writes anything: it states where it works to (`target`), and policy compares that with what is.
//! A job fights nobody: when somebody else turns a transition that the job had begun, the job ends.

use super::{
    Model,
    change::Change,
    job::{Job, JobId, JobKind, JobOptions, JobPhase, JobResult, OnTimeout},
    patch::{Core, Direction, PatchName, PatchState},
    refusal::{ErrorName, Refusal},
    request::{Answer, Reply, Request},
    time::{Millis, Moment},
};

/// Writes that the kernel may refuse in one phase before the job gives up.
const WRITE_TRIES: u32 = 3;
/// Time for a module to be unloaded before the job ends without that.
const UNLOAD_TIME: Millis = Millis(15_000);

impl Model {
    /// Answers a request.
    pub fn request(&mut self, now: Moment, request: Request) -> (Reply, Vec<Change>) {
        let answer = match request {
            Request::Apply { patch, core, options } => self.start_apply(now, patch, core, options),
            Request::Revert { patch, options } => self.start_revert(now, &patch, options),
            Request::Cancel { patch, options } => self.start_cancel(now, &patch, options),
            Request::Force { patch } => self.start_force(now, &patch),
            Request::Nudge { patch } => self.nudge_now(&patch),
        };
        let mut changes = Vec::new();
        if let Ok(Answer::Job(id)) = answer {
            changes.push(Change::JobStarted(id));
            changes.extend(self.settle_jobs(now));
        }
        (answer, changes)
    }

    fn start_apply(&mut self, now: Moment, patch: PatchName, core: Core, options: JobOptions) -> Reply {
        if !self.cores.contains(&core) {
            return Err(no_core(core));
        }
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
        let job = self.new_job(now, JobKind::Apply, patch, core, options, Direction::Patching);
        Ok(Answer::Job(self.add_job(job)))
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
            PatchState::Loaded | PatchState::Disabled => {}
        }
        let mut job = self.new_job(
            now,
            JobKind::Revert,
            patch.clone(),
            core,
            options,
            Direction::Unpatching,
        );
        job.phase = JobPhase::Transition;
        Ok(Answer::Job(self.add_job(job)))
    }

    fn start_cancel(&mut self, now: Moment, patch: &PatchName, options: JobOptions) -> Reply {
        let running: Vec<_> = self
            .jobs
            .values()
            .filter(|j| j.result.is_none() && j.patch == *patch)
            .collect();
        if let Some(cancel) = running.iter().find(|j| j.kind == JobKind::Cancel) {
            return Ok(Answer::Job(cancel.id));
        }
        let from_job = running.iter().find_map(|j| match j.phase {
            JobPhase::Loading | JobPhase::Transition => Some((j.core, j.target)),
            JobPhase::Reversing => Some((j.core, j.target.reversed())),
            JobPhase::Unloading | JobPhase::Ended => None,
        });
        let from_sysfs = || {
            let known = self.patches.get(patch)?;
            Some((known.core, known.state.direction()?))
        };
        let Some((core, direction)) = from_job.or_else(from_sysfs) else {
            return Err(match self.patches.get(patch) {
                None => not_found(patch),
                Some(known) => Refusal::new(
                    ErrorName::NotInTransition,
                    format!(
                        "{patch} is not in transition ({}); to undo a patch: livepatchctl revert {patch}",
                        known.state.as_str()
                    ),
                ),
            });
        };
        for job in self.jobs.values_mut() {
            if job.result.is_none() && job.patch == *patch && job.verdict.is_none() {
                job.verdict = Some(JobResult::Cancelled);
                if job.phase == JobPhase::Transition {
                    job.turn_round(now);
                }
            }
        }
        // a reversal that stalls too is reported, never turned round again
        let options = JobOptions {
            on_timeout: OnTimeout::Keep,
            ..options
        };
        let mut job = self.new_job(now, JobKind::Cancel, patch.clone(), core, options, direction.reversed());
        job.phase = JobPhase::Transition;
        Ok(Answer::Job(self.add_job(job)))
    }

    fn start_force(&mut self, now: Moment, patch: &PatchName) -> Reply {
        let known = self.patches.get(patch).ok_or_else(|| not_found(patch))?;
        let Some(direction) = known.state.direction() else {
            return Err(Refusal::new(
                ErrorName::NotInTransition,
                format!(
                    "{patch} is not in transition ({}); there is nothing to force",
                    known.state.as_str()
                ),
            ));
        };
        let core = known.core;
        let options = JobOptions {
            timeout: Millis(10_000),
            on_timeout: OnTimeout::Keep,
            nudge: false,
        };
        let mut job = self.new_job(now, JobKind::Force, patch.clone(), core, options, direction);
        job.phase = JobPhase::Transition;
        job.begun = true;
        job.force = true;
        Ok(Answer::Job(self.add_job(job)))
    }

    fn nudge_now(&mut self, patch: &PatchName) -> Reply {
        if !self.patches.contains_key(patch) {
            return Err(not_found(patch));
        }
        let transition = self.transitions.values_mut().find(|t| t.patch == *patch);
        let transition = transition.ok_or_else(|| {
            Refusal::new(
                ErrorName::NotInTransition,
                format!("{patch} is not in transition: nothing blocks it"),
            )
        })?;
        transition.nudge_now = transition.blockers.keys().copied().collect();
        Ok(Answer::Nudging(0))
    }

    /// Narrows what [`Request::Nudge`] asked for to the tasks that may be nudged; their number.
    pub fn keep_nudges(&mut self, patch: &PatchName, may: impl Fn(&super::task::Blocker) -> bool) -> u32 {
        let Some(t) = self.transitions.values_mut().find(|t| t.patch == *patch) else {
            return 0;
        };
        let blockers = &t.blockers;
        t.nudge_now.retain(|key| blockers.get(key).is_some_and(&may));
        u32::try_from(t.nudge_now.len()).unwrap_or(u32::MAX)
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
        match running.find(|j| !matches!(j.phase, JobPhase::Unloading | JobPhase::Ended)) {
            Some(job) => Err(busy_with_job(job)),
            None => Ok(()),
        }
    }

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
            phase: JobPhase::Loading,
            target,
            begun: kind == JobKind::Apply,
            force: false,
            refused_writes: 0,
            verdict: None,
            result: None,
            error: None,
        }
    }

    fn add_job(&mut self, job: Job) -> JobId {
        let id = job.id;
        self.last_job = id.0;
        self.jobs.insert(id, job);
        id
    }

    pub(super) fn job_loaded(&mut self, now: Moment, id: JobId, result: Result<(), Refusal>) -> Vec<Change> {
        let Some(job) = self.jobs.get_mut(&id).filter(|j| j.phase == JobPhase::Loading) else {
            return Vec::new();
        };
        self.stale.insert(job.core);
        match result {
            Err(why) => vec![job.end(JobResult::Failed, Some(why))],
            Ok(()) if job.verdict.is_some() => {
                job.turn_round(now);
                vec![Change::JobChanged(id)]
            }
            Ok(()) => {
                job.phase = JobPhase::Transition;
                vec![Change::JobChanged(id)]
            }
        }
    }

    pub(super) fn job_switched(
        &mut self,
        patch: &PatchName,
        direction: Direction,
        result: Result<(), Refusal>,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut told = false;
        for job in self.jobs.values_mut() {
            if job.result.is_some() || job.patch != *patch || job.target != direction {
                continue;
            }
            match &result {
                Ok(()) => job.begun = true,
                Err(why) => {
                    job.refused_writes += 1;
                    if job.refused_writes >= WRITE_TRIES {
                        let as_what = job.verdict.unwrap_or(JobResult::Failed);
                        changes.push(job.end(as_what, Some(why.clone())));
                    }
                    told = true;
                }
            }
        }
        if let (Err(why), true) = (result, told) {
            changes.push(Change::ActionFailed {
                patch: patch.clone(),
                why,
            });
        }
        changes
    }

    pub(super) fn job_switched_by_force(&mut self, patch: &PatchName, refused: Option<Refusal>) -> Vec<Change> {
        let mut changes = Vec::new();
        for job in self
            .jobs
            .values_mut()
            .filter(|j| j.result.is_none() && j.patch == *patch && j.force)
        {
            job.force = false;
            if let Some(why) = &refused {
                changes.push(job.end(JobResult::Failed, Some(why.clone())));
            }
        }
        changes
    }

    pub(super) fn fail_unloading(&mut self, patch: &PatchName, why: &Refusal) {
        for job in self
            .jobs
            .values_mut()
            .filter(|j| j.phase == JobPhase::Unloading && j.patch == *patch)
        {
            job.verdict.get_or_insert(JobResult::Failed);
            job.error.get_or_insert_with(|| why.clone());
        }
    }

    /// Deadlines fall.
    pub(super) fn expire_jobs(&mut self, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        for job in self
            .jobs
            .values_mut()
            .filter(|j| j.result.is_none() && j.deadline <= now)
        {
            let pending = self
                .transitions
                .get(&job.core)
                .filter(|t| t.patch == job.patch)
                .map_or(0, super::Transition::pending);
            let late = |what: &str| {
                let after = now.since(job.started);
                Refusal::new(
                    ErrorName::Timeout,
                    format!("{what} after {after}: {pending} tasks pending"),
                )
            };
            match (job.phase, job.options.on_timeout) {
                (JobPhase::Loading | JobPhase::Ended, _) => {}
                (JobPhase::Transition, OnTimeout::Reverse) => {
                    job.error = Some(late("not complete, reversed"));
                    job.verdict = Some(JobResult::Timeout);
                    job.turn_round(now);
                    changes.push(Change::JobChanged(job.id));
                }
                (JobPhase::Transition, OnTimeout::Force) if job.kind != JobKind::Force && !job.force => {
                    job.force = true;
                    job.deadline = now + job.options.timeout;
                    changes.push(Change::JobChanged(job.id));
                }
                (JobPhase::Transition, _) => {
                    let why = late("not complete, left in transition");
                    changes.push(job.end(JobResult::Timeout, Some(why)));
                }
                (JobPhase::Reversing, _) => {
                    let why = late("the reversal is not complete either, left in transition");
                    let as_what = job.verdict.unwrap_or(JobResult::Timeout);
                    changes.push(job.end(as_what, Some(why)));
                }
                (JobPhase::Unloading, _) => {
                    let as_what = job.verdict.unwrap_or(JobResult::Failed);
                    let why = job
                        .error
                        .clone()
                        .unwrap_or_else(|| late("the patch is disabled, but its module is still loaded"));
                    changes.push(job.end(as_what, Some(why)));
                }
            }
        }
        changes
    }

    /// Compares each running job with its patch's state.
    pub(super) fn settle_jobs(&mut self, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        let ids: Vec<_> = self
            .jobs
            .values()
            .filter(|j| j.result.is_none())
            .map(|j| j.id)
            .collect();
        for id in ids {
            changes.extend(self.settle_job(now, id));
        }
        while self.jobs.len() > Self::KEPT_JOBS {
            let Some(oldest) = self.jobs.values().find(|j| j.result.is_some()).map(|j| j.id) else {
                break;
            };
            self.jobs.remove(&oldest);
            changes.push(Change::JobForgotten(oldest));
        }
        changes
    }

    fn settle_job(&mut self, now: Moment, id: JobId) -> Option<Change> {
        let job = self.jobs.get(&id)?;
        let (patch, core) = (job.patch.clone(), job.core);
        let state = self.state_of(&patch);
        let leaving = self.leaving.contains_key(&patch);
        let loading = self
            .jobs
            .values()
            .any(|j| j.patch == patch && j.phase == JobPhase::Loading);
        let is_fresh = !self.stale.contains(&core);
        let job = self.jobs.get_mut(&id)?;
        match job.phase {
            JobPhase::Loading | JobPhase::Ended => None,
            // before the next listing, `state` may be that from before the load or the write
            JobPhase::Transition | JobPhase::Reversing if loading || !is_fresh => None,
            JobPhase::Transition | JobPhase::Reversing => {
                use {
                    Direction::{Patching, Unpatching},
                    PatchState::{Disabled, Disabling, Enabled, Enabling, Loaded},
                };
                match (job.target, state) {
                    (Patching, Some(Enabled)) | (Unpatching, None) => Some(job.end_as_asked()),
                    (Unpatching, Some(Disabled | Loaded)) => {
                        job.phase = JobPhase::Unloading;
                        job.deadline = now + UNLOAD_TIME;
                        self.set_leaving(now, &patch);
                        Some(Change::JobChanged(id))
                    }
                    // a revert that was to be turned round had just finished
                    (Patching, None | Some(Disabled | Loaded)) if job.phase == JobPhase::Reversing => {
                        job.verdict = None;
                        job.error = None;
                        job.target = Unpatching;
                        job.phase = JobPhase::Unloading;
                        job.deadline = now + UNLOAD_TIME;
                        if state.is_some() {
                            self.set_leaving(now, &patch);
                        }
                        Some(Change::JobChanged(id))
                    }
                    (Patching, Some(Loaded)) if job.kind == JobKind::Apply => {
                        let why = Refusal::new(
                            ErrorName::InvalidModule,
                            format!("{patch} was loaded, but enabled no patch in its init; unload it: rmmod {patch}"),
                        );
                        Some(job.end(JobResult::Failed, Some(why)))
                    }
                    (Patching, None | Some(Disabled | Loaded | Disabling)) | (Unpatching, Some(Enabled | Enabling))
                        if job.begun =>
                    {
                        let as_what = job.verdict.unwrap_or(JobResult::Cancelled);
                        let why = Refusal::new(
                            ErrorName::Refused,
                            format!("somebody else turned {patch} round; left to them"),
                        );
                        Some(job.end(as_what, Some(why)))
                    }
                    (Patching, None | Some(Disabled | Loaded)) => {
                        let why = Refusal::new(
                            ErrorName::NotInTransition,
                            format!("{patch} was disabled to the end and cannot be enabled again"),
                        );
                        Some(job.end(JobResult::Failed, Some(why)))
                    }
                    (Patching, Some(Enabling | Disabling)) | (Unpatching, Some(Enabled | Enabling | Disabling)) => None,
                }
            }
            JobPhase::Unloading => (state.is_none() || !leaving).then(|| job.end_as_asked()),
        }
    }
}

impl Job {
    /// Works back to where it came from.
    pub(super) fn turn_round(&mut self, now: Moment) {
        self.phase = JobPhase::Reversing;
        self.target = self.target.reversed();
        self.begun = false;
        self.force = false;
        self.refused_writes = 0;
        self.deadline = now + self.options.timeout;
    }

    fn end_as_asked(&mut self) -> Change {
        let (result, error) = (self.verdict.unwrap_or(JobResult::Done), self.error.take());
        self.end(result, error)
    }

    fn end(&mut self, result: JobResult, error: Option<Refusal>) -> Change {
        self.phase = JobPhase::Ended;
        self.result = Some(result);
        self.error = self.error.take().or(error);
        Change::JobEnded(Box::new(self.clone()))
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

fn no_core(core: Core) -> Refusal {
    let message = match core {
        Core::Kernel => "this kernel has no live patching (CONFIG_LIVEPATCH); see livepatchctl status",
        Core::KlpRs => "this patch is for the klp_rs core, which is not loaded; load it first: modprobe klp_rs",
    };
    Refusal::new(ErrorName::NotSupported, message)
}
