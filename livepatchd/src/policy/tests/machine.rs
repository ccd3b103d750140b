// SPDX-License-Identifier: GPL-2.0-only
//! The daemon's loop as the middle expects it, driven by a virtual clock against the fake kernel.
//!
//! One turn: take in what arrived, tick, decide, drop what is under way, begin the rest, sleep until something arrives or
//! `wake_at`. Every turn checks what must hold at all times.

use std::collections::{BTreeMap, BTreeSet};

use super::{client::Client, fake_kernel::FakeKernel, fake_kernel::Module};
use crate::{
    model::{
        Model,
        change::Change,
        fact::Fact,
        job::{Job, JobId, JobOptions, JobResult, OnTimeout},
        patch::{Core, PatchName, PatchState},
        request::{Answer, Reply, Request},
        resume::Lasting,
        snapshot::Snapshot,
        task::{Scheduling, TaskClass, TaskKey},
        testing::{key, name},
        time::{Millis, Moment},
    },
    policy::{action::Action, answer, begun, decide, describe::describe, rules::Rules},
};

/// What can be under way once at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    List(Core),
    Scan(Core),
    Load(JobId),
    Write(Core),
    Unload(PatchName),
    Nudge(TaskKey),
}

impl Slot {
    fn of(action: &Action) -> Self {
        match action {
            Action::List(core) => Self::List(*core),
            Action::Scan { core, .. } => Self::Scan(*core),
            Action::Load(job) => Self::Load(*job),
            Action::Switch { core, .. } | Action::Force { core, .. } => Self::Write(*core),
            Action::Unload { patch } => Self::Unload(patch.clone()),
            Action::Nudge { key, .. } => Self::Nudge(*key),
        }
    }
}

/// Turns that one moment may take before it counts as spinning.
const TURNS_PER_MOMENT: u32 = 60;
/// Turns without anything new, per second of virtual time, before that counts as a busy loop.
const IDLE_TURNS_PER_SECOND: u64 = 40;

/// Daemon, kernel and a client in one.
pub(super) struct Machine {
    pub(super) kernel: FakeKernel,
    pub(super) model: Model,
    pub(super) rules: Rules,
    /// Every change, with its time.
    pub(super) told: Vec<(Moment, Change)>,
    pub(super) client: Client,
    under_way: BTreeSet<Slot>,
    loads: BTreeMap<JobId, PatchName>,
    began: Moment,
    idle_turns: u64,
    /// Turns in which the loop woke up, for whatever reason.
    pub(super) turns: u64,
}

impl Machine {
    /// A daemon that has just started on a kernel with patch files `lp`, `lp2` and `cumulative` (a `replace` patch).
    pub(super) fn new() -> Self {
        let mut kernel = FakeKernel::new();
        kernel.files.insert(name("lp"), Module::new());
        kernel.files.insert(name("lp2"), Module::new());
        kernel.files.insert(name("cumulative"), Module::replacing());
        let mut machine = Self {
            began: kernel.now,
            kernel,
            model: Model::new(),
            rules: Rules::default(),
            told: Vec::new(),
            client: Client::default(),
            under_way: BTreeSet::new(),
            loads: BTreeMap::new(),
            idle_turns: 0,
            turns: 0,
        };
        machine.start_daemon(Lasting::default(), Vec::new());
        machine
    }

    /// The daemon is killed and starts again with the jobs that were written down.
    pub(super) fn restart_daemon(&mut self) {
        self.restart_daemon_after(0);
    }

    /// The same with so many milliseconds in between.
    pub(super) fn restart_daemon_after(&mut self, ms: u64) {
        let jobs = self.model.jobs().filter(|j| j.result.is_none()).cloned().collect();
        let lasting = self.model.lasting();
        self.kernel.lose_daemon();
        self.under_way.clear();
        self.client = Client::default();
        let until = self.kernel.now + Millis(ms);
        while let Some(at) = self.kernel.next().filter(|at| *at <= until) {
            self.kernel.now = at;
            // nobody hears
            drop(self.kernel.advance());
        }
        self.kernel.now = until;
        self.start_daemon(lasting, jobs);
    }

    fn start_daemon(&mut self, lasting: Lasting, jobs: Vec<Job>) {
        self.model = Model::new();
        let changes = self.model.resume(self.kernel.now, lasting, jobs);
        self.hear(changes);
        self.observe(Fact::Stirred(Core::Kernel));
        self.run_for(10);
    }

    fn observe(&mut self, fact: Fact) {
        let changes = self.model.observe(self.kernel.now, fact);
        self.hear(changes);
    }

    fn hear(&mut self, changes: Vec<Change>) {
        let snapshot = self.snapshot();
        self.client.hear(&changes, &snapshot);
        let now = self.kernel.now;
        self.told.extend(changes.into_iter().map(|c| (now, c)));
    }

    /// What readers see.
    pub(super) fn snapshot(&self) -> Snapshot {
        describe(&self.model, &self.rules)
    }

    /// Whether a nudge of this thread is on its way.
    pub(super) fn is_nudging(&self, tid: u32) -> bool {
        self.under_way.contains(&Slot::Nudge(key(tid)))
    }

    /// Lets so many milliseconds pass.
    pub(super) fn run_for(&mut self, ms: u64) {
        let until = self.kernel.now + Millis(ms);
        let mut turns_now = 0;
        loop {
            let deliveries = self.kernel.advance();
            self.turns += 1;
            for delivery in deliveries {
                if let Some(slot) = delivery.over {
                    self.under_way.remove(&slot);
                }
                self.observe(delivery.fact);
            }
            let changes = self.model.tick(self.kernel.now, self.rules.stall_after);
            self.hear(changes);
            let wake_at = self.act();
            let idle_limit = 200 + IDLE_TURNS_PER_SECOND * self.kernel.now.since(self.began).0 / 1000;
            assert!(self.idle_turns < idle_limit, "the loop wakes up for nothing");
            let arrives = self.kernel.next();
            let next = arrives.into_iter().chain(wake_at).min();
            let Some(next) = next.filter(|at| *at <= until) else {
                self.kernel.now = until;
                return;
            };
            self.idle_turns += u64::from(arrives != Some(next));
            turns_now = if next == self.kernel.now { turns_now + 1 } else { 0 };
            assert!(turns_now < TURNS_PER_MOMENT, "the loop spins at {:?}", self.kernel.now);
            self.kernel.now = next;
        }
    }

    /// Decides and begins; when to decide again.
    fn act(&mut self) -> Option<Moment> {
        let now = self.kernel.now;
        let decision = decide(&self.model, &self.rules, now);
        assert!(decision.wake_at.is_none_or(|at| at > now), "{decision:?}");
        for action in decision.actions {
            self.check_nudge(&action);
            self.check_force(&action);
            if self.under_way.insert(Slot::of(&action)) {
                begun(&mut self.model, now, &action);
                let loads = match &action {
                    Action::Load(job) => self.loads.get(job).cloned(),
                    _ => None,
                };
                self.kernel.begin(action, loads);
            }
        }
        decision.wake_at
    }

    /// Who must never be nudged, written down a second time.
    fn check_nudge(&self, action: &Action) {
        let Action::Nudge { patch, key, .. } = action else {
            return;
        };
        let transition = self
            .model
            .transition_of(patch)
            .expect("a nudge outside of a transition");
        let looked = transition.last_seen.expect("a nudge of a task that nobody saw");
        assert!(self.kernel.now.since(looked) <= Millis(50));
        let seen = &transition.blockers[key].sighting;
        assert_eq!(seen.class, TaskClass::User);
        assert_eq!(seen.scheduling, Scheduling::Interruptible);
        assert!(!seen.traced && !seen.frozen && !seen.stop_pending && !seen.own);
        assert!(!self.rules.exclude.units.contains(&seen.unit));
        assert!(!self.rules.exclude.comms.contains(&seen.comm));
        let blocker = &transition.blockers[key];
        let asked = transition.nudge_now.contains(key);
        assert!(asked || blocker.nudges.tried < self.rules.nudge_limit);
        let rested = |last: Moment| self.kernel.now.since(last) >= self.rules.nudge_every;
        assert!(asked || blocker.nudges.last.is_none_or(rested));
        let uids = &self.rules.exclude.uids;
        assert!(uids.is_empty() || seen.uid.is_some_and(|uid| !uids.contains(&uid)));
    }

    /// Before a force somebody looked whom it goes over, or tried for two seconds.
    fn check_force(&self, action: &Action) {
        let Action::Force { patch, .. } = action else {
            return;
        };
        let asked = self.model.force_since(patch).expect("nobody asked for force");
        let transition = self
            .model
            .transition_of(patch)
            .expect("a force outside of a transition");
        let waited = self.kernel.now.since(asked.max(transition.started));
        assert!(transition.seen_since(asked) || waited == Millis(2_000), "{waited}");
    }

    /// Asks for something.
    pub(super) fn request(&mut self, request: Request) -> Reply {
        let now = self.kernel.now;
        let patch = match &request {
            Request::Apply { patch, .. } => Some(patch.clone()),
            _ => None,
        };
        let (reply, changes) = answer(&mut self.model, &self.rules, now, request);
        if let (Ok(Answer::Job(id)), Some(patch)) = (&reply, patch) {
            self.loads.insert(*id, patch);
        }
        self.hear(changes);
        self.run_for(0);
        reply
    }

    /// The options of a request that names none.
    pub(super) fn options(&self) -> JobOptions {
        JobOptions {
            timeout: self.rules.timeout,
            on_timeout: self.rules.on_timeout,
            nudge: true,
        }
    }

    /// The same with another end.
    pub(super) fn on_timeout(&self, on_timeout: OnTimeout) -> JobOptions {
        JobOptions {
            on_timeout,
            ..self.options()
        }
    }

    pub(super) fn apply_with(&mut self, patch: &str, options: JobOptions) -> Reply {
        self.request(Request::Apply {
            patch: name(patch),
            core: Core::Kernel,
            options,
        })
    }

    pub(super) fn apply(&mut self, patch: &str) -> JobId {
        let options = self.options();
        job(&self.apply_with(patch, options))
    }

    pub(super) fn revert(&mut self, patch: &str) -> Reply {
        let options = self.options();
        self.request(Request::Revert {
            patch: name(patch),
            options,
        })
    }

    pub(super) fn cancel(&mut self, patch: &str) -> Reply {
        let options = self.options();
        self.request(Request::Cancel {
            patch: name(patch),
            options,
        })
    }

    pub(super) fn force(&mut self, patch: &str) -> Reply {
        self.request(Request::Force { patch: name(patch) })
    }

    pub(super) fn nudge(&mut self, patch: &str) -> Reply {
        self.request(Request::Nudge { patch: name(patch) })
    }

    /// Applies a patch and waits for it; the readers come afterwards.
    pub(super) fn applied(patch: &str) -> Self {
        let mut machine = Self::new();
        machine.apply_and_wait(patch);
        machine
    }

    pub(super) fn apply_and_wait(&mut self, patch: &str) {
        let job = self.apply(patch);
        self.run_for(3_000);
        assert_eq!(self.result(job), Some(JobResult::Done));
    }

    /// How the job ended, if it did.
    pub(super) fn result(&self, id: JobId) -> Option<JobResult> {
        self.ended(id).and_then(|job| job.result)
    }

    /// The job as it ended.
    pub(super) fn ended(&self, id: JobId) -> Option<&Job> {
        self.client.ended.get(&id)
    }

    /// The message of an ended job.
    pub(super) fn message(&self, id: JobId) -> &str {
        let error = self.ended(id).and_then(|job| job.error.as_ref());
        error.map_or("", |why| &why.message)
    }

    /// How long the job took, in milliseconds.
    pub(super) fn took(&self, id: JobId) -> u64 {
        let ended = self.told.iter().find_map(|(at, change)| match change {
            Change::JobEnded(job) if job.id == id => Some(at.since(job.started).0),
            _ => None,
        });
        ended.expect("a job that ended")
    }

    pub(super) fn state(&self, patch: &str) -> Option<PatchState> {
        self.model.patch(&name(patch)).map(|p| p.state)
    }

    /// How many told changes are like this.
    pub(super) fn count(&self, like: impl Fn(&Change) -> bool) -> usize {
        self.told.iter().filter(|(_, change)| like(change)).count()
    }

    /// The states that a patch went through, as told.
    pub(super) fn history(&self, patch: &str) -> Vec<PatchState> {
        let states = self.told.iter().filter_map(|(_, change)| match change {
            Change::StateChanged { patch: p, to, .. } if p.as_str() == patch => Some(*to),
            _ => None,
        });
        states.collect()
    }

    /// Nothing moves, nothing runs, nothing is asked for, and nobody wakes up.
    pub(super) fn assert_asleep(&mut self) {
        let decision = decide(&self.model, &self.rules, self.kernel.now);
        assert_eq!(decision, crate::policy::Decision::default());
        let turns = self.turns;
        self.run_for(600_000);
        assert!(
            self.turns - turns <= 4,
            "woke up {} times in ten minutes",
            self.turns - turns
        );
    }
}

/// The job of an answer.
pub(super) fn job(reply: &Reply) -> JobId {
    match reply {
        Ok(Answer::Job(id)) => *id,
        other => panic!("no job: {other:?}"),
    }
}
