// SPDX-License-Identifier: GPL-2.0-only
//! Moving jobs along: outcomes and listings advance them, deadlines turn them round.
//!
//! A job never writes anything: it states where it works to (`target`), and policy compares that with what is.
//! A job fights nobody: when somebody else turns a transition that the job had begun, the job ends.

use super::{
    Model,
    change::Change,
    job::{Job, JobId, JobKind, JobOptions, JobPhase, JobResult, OnTimeout},
    patch::{
        Core, Direction, PatchName,
        PatchState::{self, Disabled, Disabling, Enabled, Enabling, Loaded},
    },
    refusal::{ErrorName, Refusal},
    time::{Millis, Moment},
    transition::Transition,
};

/// Writes that the kernel may refuse in one phase before the job gives up.
const WRITE_TRIES: u32 = 3;
/// A reversal has at least so long, however short the job's own time was: the kernel looks at tasks once a second.
const REVERSAL_TIME: Millis = Millis(10_000);
/// A force has at least so long: it waits for a last look at the tasks, and then the kernel's own core ends the transition
/// at its next round, a second later at most.
pub(super) const FORCE_TIME: Millis = Millis(10_000);
/// Time for a module to be unloaded before the job ends without that.
const UNLOAD_TIME: Millis = Millis(15_000);

impl Model {
    /// Takes in the outcome of loading a job's module.
    pub(super) fn job_loaded(&mut self, now: Moment, id: JobId, result: Result<(), Refusal>) -> Vec<Change> {
        let Some(job) = self.jobs.get_mut(&id).filter(|j| j.phase == JobPhase::Loading) else {
            return Vec::new();
        };
        self.freshness.entry(job.core).or_default().overtake();
        if let Err(why) = result {
            return vec![job.end(JobResult::Failed, Some(why))];
        }
        job.phase = JobPhase::Transition;
        if job.verdict.is_some() {
            job.turn_round(now);
        }
        vec![Change::JobChanged(id)]
    }

    /// Takes in the outcome of a write to `enabled`.
    pub(super) fn job_switched(
        &mut self,
        core: Core,
        patch: &PatchName,
        direction: Direction,
        result: Result<(), Refusal>,
    ) -> Vec<Change> {
        self.writing.remove(patch);
        self.freshness.entry(core).or_default().overtake();
        let on_the_way = |j: &&mut Job| j.is_moving() && j.patch == *patch && j.target == direction;
        let jobs = self.jobs.values_mut().filter(on_the_way);
        match result {
            Ok(()) => jobs
                .map(|job| {
                    job.begun = true;
                    Change::JobChanged(job.id)
                })
                .collect(),
            Err(why) => refuse_write(jobs, patch, why),
        }
    }

    /// Takes in the outcome of a write to `force`.
    pub(super) fn job_forced(&mut self, core: Core, patch: &PatchName, result: Result<(), Refusal>) -> Vec<Change> {
        self.writing.remove(patch);
        self.freshness.entry(core).or_default().overtake();
        let retired = self.forcing.remove(patch);
        let asked = |j: &&mut Job| j.is_moving() && j.patch == *patch && j.force.is_some();
        let jobs = self.jobs.values_mut().filter(asked);
        match result {
            Ok(()) => {
                let granted = jobs.map(|job| {
                    job.force = None;
                    Change::JobChanged(job.id)
                });
                let mut changes: Vec<_> = granted.collect();
                let retired = retired.unwrap_or_else(|| self.retired_by_force(patch));
                self.kept.extend(retired);
                changes.extend(self.advise_reboot());
                changes
            }
            // it may just have ended by itself: the next listing tells
            Err(why) => refuse_write(jobs, patch, why),
        }
    }

    pub(super) fn fail_unloading(&mut self, patch: &PatchName, why: &Refusal) {
        let jobs = self.jobs.values_mut();
        for job in jobs.filter(|j| j.phase == JobPhase::Unloading && j.patch == *patch) {
            job.verdict.get_or_insert(JobResult::Failed);
            job.error = Some(why.clone().after(job.error.take()));
        }
    }

    /// Deadlines fall.
    pub(super) fn expire_jobs(&mut self, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        let late = |j: &&mut Job| j.result.is_none() && j.deadline <= now;
        for job in self.jobs.values_mut().filter(late) {
            let transition = self.transitions.get(&job.core).filter(|t| t.patch == job.patch);
            let after = format!(
                "not complete after {}, {}",
                now.since(job.started),
                tasks_pending(transition)
            );
            let timeout = |what: String| Some(Refusal::new(ErrorName::Timeout, what));
            match (job.phase, job.options.on_timeout) {
                // the kernel does not let go of a module that it is loading
                (JobPhase::Loading | JobPhase::Ended, _) => {}
                (JobPhase::Transition, OnTimeout::Reverse) => {
                    job.error = timeout(format!("{after}: reversed"));
                    job.verdict = Some(JobResult::Timeout);
                    job.turn_round(now);
                    changes.push(Change::JobChanged(job.id));
                }
                (JobPhase::Transition, OnTimeout::Force) => {
                    job.force = Some(now);
                    // once: what force does not end, nothing does
                    job.options.on_timeout = OnTimeout::Keep;
                    job.deadline = now + job.options.timeout.max(FORCE_TIME);
                    changes.push(Change::JobChanged(job.id));
                }
                (JobPhase::Transition, OnTimeout::Keep) => {
                    changes.push(job.end(JobResult::Timeout, timeout(format!("{after}: left in transition"))));
                }
                (JobPhase::Reversing, _) => {
                    let why = timeout(format!("the reversal is {after}: left in transition"));
                    changes.push(job.end(JobResult::Timeout, why));
                }
                (JobPhase::Unloading, _) => {
                    let (patch, seconds) = (&job.patch, UNLOAD_TIME);
                    let why = format!(
                        "{patch} is disabled, but its module was not unloaded within {seconds}: a task may run in the \
                         functions that it patched; later try: livepatchctl revert {patch}"
                    );
                    changes.push(job.end(job.verdict.unwrap_or(JobResult::Failed), timeout(why)));
                }
            }
        }
        changes
    }

    /// Compares each running job with its patch's state.
    pub(super) fn settle_jobs(&mut self, now: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        let running = self.jobs.values().filter(|j| j.result.is_none());
        for id in running.map(|j| j.id).collect::<Vec<_>>() {
            // an unloading that has nothing to do ends at once
            loop {
                let news = self.settle_job(now, id);
                if news.is_empty() {
                    break;
                }
                changes.extend(news);
            }
        }
        changes.extend(self.forget_jobs());
        changes
    }

    fn settle_job(&mut self, now: Moment, id: JobId) -> Vec<Change> {
        let Some(job) = self.jobs.get(&id) else {
            return Vec::new();
        };
        let standing = match job.phase {
            JobPhase::Loading | JobPhase::Ended => Standing::Waits,
            JobPhase::Transition | JobPhase::Reversing if self.in_doubt(job) => Standing::Waits,
            JobPhase::Transition | JobPhase::Reversing => standing(job, self.state_of(&job.patch)),
            JobPhase::Unloading if self.leaving.contains_key(&job.patch) => Standing::Waits,
            JobPhase::Unloading => Standing::Arrived,
        };
        let patch = job.patch.clone();
        let Some(job) = self.jobs.get_mut(&id) else {
            return Vec::new();
        };
        match standing {
            Standing::Waits => return Vec::new(),
            Standing::Arrived => return vec![job.end(job.verdict.unwrap_or(JobResult::Done), None)],
            Standing::Fails(result, why) => return vec![job.end(result, Some(why))],
            Standing::DoneAfterAll => {
                (job.verdict, job.error) = (None, None);
                return vec![job.end(JobResult::Done, None)];
            }
            Standing::OffAfterAll => {
                (job.verdict, job.error) = (None, None);
                job.target = Direction::Unpatching;
            }
            Standing::OffByItself(why) => {
                job.verdict = Some(JobResult::Failed);
                job.error = Some(why);
                job.target = Direction::Unpatching;
            }
            Standing::Off => {}
        }
        job.phase = JobPhase::Unloading;
        job.deadline = now + UNLOAD_TIME;
        let mut changes = vec![Change::JobChanged(id)];
        if self.patches.contains_key(&patch) {
            changes.extend(self.let_leave(now, &patch));
        }
        changes
    }

    /// Whether the patch's state as last listed may be from before something that we did.
    fn in_doubt(&self, job: &Job) -> bool {
        let loading = |j: &Job| j.patch == job.patch && j.phase == JobPhase::Loading;
        self.is_behind(job.core) || self.writing.contains(&job.patch) || self.jobs.values().any(loading)
    }

    pub(super) fn forget_jobs(&mut self) -> Vec<Change> {
        let news = self.jobs.values().filter(|j| j.result.is_some()).map(|j| j.id);
        let news: Vec<_> = news.filter(|id| !self.finished.contains(id)).collect();
        self.finished.extend(news);
        let surplus = self.finished.len().saturating_sub(Self::KEPT_JOBS);
        let oldest = self.finished.drain(..surplus);
        let jobs = &mut self.jobs;
        oldest
            .map(|id| {
                jobs.remove(&id);
                Change::JobForgotten(id)
            })
            .collect()
    }
}

/// How long a reversal may take.
pub(super) fn reversal_time(options: JobOptions) -> Millis {
    options.timeout.max(REVERSAL_TIME)
}

/// Where a job stands, by its patch's state.
enum Standing {
    /// It goes on.
    Waits,
    /// The patch is where the job works to.
    Arrived,
    /// The patch is off, as the job wanted: its module can leave.
    Off,
    /// The revert that was to be turned round had just finished.
    OffAfterAll,
    /// The patch is off against the job's will, and only its module is left.
    OffByItself(Refusal),
    /// The apply that was too late, and was to be turned round, had just finished.
    DoneAfterAll,
    /// The patch cannot get there, or somebody else took it elsewhere.
    Fails(JobResult, Refusal),
}

fn standing(job: &Job, state: Option<PatchState>) -> Standing {
    use Direction::{Patching, Unpatching};
    let patch = &job.patch;
    let turned_by_others = || {
        let why = format!("somebody else turned {patch} round; left to them");
        let as_what = job.verdict.unwrap_or(JobResult::Cancelled);
        Standing::Fails(as_what, Refusal::new(ErrorName::Refused, why))
    };
    match (job.target, state) {
        (Patching, Some(Enabled)) | (Unpatching, None) => Standing::Arrived,
        (Unpatching, Some(Disabled | Loaded)) => Standing::Off,
        (Unpatching, Some(Enabled)) if !job.begun && job.verdict == Some(JobResult::Timeout) => Standing::DoneAfterAll,
        (Patching, None | Some(Disabled | Loaded)) if job.phase == JobPhase::Reversing => Standing::OffAfterAll,
        (Patching, None) if job.kind == JobKind::Apply => {
            let why = format!("{patch} is not loaded: its loading was cut short, or somebody else unloaded it");
            Standing::Fails(JobResult::Failed, Refusal::new(ErrorName::NotFound, why))
        }
        (Patching, Some(Loaded)) if job.kind == JobKind::Apply => {
            let why = format!("{patch} enabled no patch when it was loaded; it is unloaded again");
            Standing::OffByItself(Refusal::new(ErrorName::InvalidModule, why))
        }
        (Patching, None | Some(Disabled | Loaded | Disabling)) | (Unpatching, Some(Enabled | Enabling))
            if job.begun =>
        {
            turned_by_others()
        }
        (Patching, None | Some(Disabled | Loaded)) => {
            let why = format!("{patch} was disabled to the end and cannot be enabled again");
            Standing::Fails(JobResult::Failed, Refusal::new(ErrorName::NotInTransition, why))
        }
        (Patching, Some(Enabling | Disabling)) | (Unpatching, Some(Enabled | Enabling | Disabling)) => Standing::Waits,
    }
}

/// Counts a refused write against the jobs that asked for it; those that ran out of tries end.
fn refuse_write<'a>(jobs: impl Iterator<Item = &'a mut Job>, patch: &PatchName, why: Refusal) -> Vec<Change> {
    let mut asked = false;
    let mut changes = Vec::new();
    for job in jobs {
        asked = true;
        job.refused_writes += 1;
        if job.refused_writes >= WRITE_TRIES {
            let as_what = job.verdict.filter(|v| *v == JobResult::Timeout);
            changes.push(job.end(as_what.unwrap_or(JobResult::Failed), Some(why.clone())));
        }
    }
    if asked {
        let patch = patch.clone();
        changes.push(Change::ActionFailed { patch, why });
    }
    changes
}

fn tasks_pending(transition: Option<&Transition>) -> String {
    match transition.map_or(0, Transition::pending) {
        1 => "1 task pending".to_owned(),
        n => format!("{n} tasks pending"),
    }
}

impl Job {
    /// Whether it waits for a transition.
    fn is_moving(&self) -> bool {
        matches!(self.phase, JobPhase::Transition | JobPhase::Reversing)
    }

    /// Works back to where it came from.
    pub(super) fn turn_round(&mut self, now: Moment) {
        self.phase = JobPhase::Reversing;
        self.target = self.target.reversed();
        self.begun = false;
        self.force = None;
        self.refused_writes = 0;
        self.deadline = now + reversal_time(self.options);
    }

    /// Ends; what went wrong last is told after what went wrong first.
    fn end(&mut self, result: JobResult, error: Option<Refusal>) -> Change {
        self.phase = JobPhase::Ended;
        self.result = Some(result);
        let first = self.error.take();
        self.error = match error {
            Some(last) => Some(last.after(first)),
            None => first,
        };
        Change::JobEnded(Box::new(self.clone()))
    }
}
