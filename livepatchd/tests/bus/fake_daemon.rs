// SPDX-License-Identifier: GPL-2.0-only
//! A scripted loop behind the real objects of the bus: fast, and without a kernel.
//!
//! What it models of the daemon: a call is answered after its changes are published; a job that starts brings its patch
//! and its object; a job that ends says so with `JobEnded` and stays in the snapshot; one job at a time. What it does not:
//! files, time, transitions. The scenario tests in the VM anchor all of it.
//!
//! The last directory of the applied path is the script: `/done/x.ko` ends at once, `/hang/x.ko` has a blocker and stays
//! until it is cancelled or forced, `/timeout/x.ko`, `/failed/x.ko` end so, `/Busy/x.ko` is refused by that name.

use std::{path::Path, sync::Arc, time::Duration};

use livepatchd::{
    bus::{Authority, Bus, Call, Incoming},
    model::{
        change::Change,
        job::{Job, JobId, JobKind, JobOptions, JobPhase, JobResult},
        patch::{Core, Direction, Function, PatchName, PatchState},
        refusal::{ErrorName, Refusal},
        request::{Answer, Reply},
        snapshot::{BlockerView, PatchView, Snapshot},
        task::{Reason, TaskClass},
        time::{Millis, Moment},
    },
    policy::rules::Rules,
};
use tokio::{sync::mpsc, task::JoinHandle};
use zbus::Connection;

/// Everything that a test may have the fake do by itself.
pub(crate) enum Script {
    /// Publish this.
    Publish(Vec<Change>, Snapshot),
}

/// The fake, running on the test's runtime.
pub(crate) struct FakeDaemon {
    scripts: mpsc::Sender<Script>,
    task: JoinHandle<()>,
}

impl FakeDaemon {
    /// A fake for which the user who runs the tests is root.
    pub(crate) async fn start(connection: Connection) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self::with_authority(connection, Authority::with_administrator(uid), State::new()).await
    }

    /// The same, started again with what an earlier one left.
    pub(crate) async fn resume(connection: Connection, snapshot: Snapshot) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self::with_authority(connection, Authority::with_administrator(uid), State { snapshot }).await
    }

    /// A fake for which nobody is root, so that polkit is asked.
    pub(crate) async fn start_without_root(connection: Connection) -> Self {
        Self::with_authority(connection, Authority::with_administrator(u32::MAX - 1), State::new()).await
    }

    async fn with_authority(connection: Connection, authority: Authority, mut state: State) -> Self {
        let (calls, incoming) = mpsc::channel(4);
        let bus = Bus::start(connection, calls, authority, "6.12.0-test".to_owned());
        let bus = bus.await.unwrap();
        let (scripts, scripted) = mpsc::channel(4);
        bus.publish(&[], state.snapshot());
        bus.claim_name().await.unwrap();
        let task = tokio::spawn(async move { state.run(&bus, incoming, scripted).await });
        Self { scripts, task }
    }

    /// Publishes something of the test's own.
    pub(crate) async fn publish(&self, changes: Vec<Change>, snapshot: Snapshot) {
        let script = Script::Publish(changes, snapshot);
        self.scripts.send(script).await.ok().unwrap();
    }
}

impl Drop for FakeDaemon {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A patch's name for a test.
pub(crate) fn name(text: &str) -> PatchName {
    PatchName::new(text).unwrap()
}

/// A patch as the fake shows it.
pub(crate) fn patch(name: &str, state: PatchState) -> PatchView {
    let moving = state.direction().is_some();
    PatchView {
        name: name.to_owned(),
        core: Core::Kernel,
        state,
        replace: false,
        stack_order: 1,
        pending: u32::from(moving),
        total: if moving { 243 } else { 0 },
        stalled: false,
        functions: vec![Function {
            object: "tgt".to_owned(),
            name: "tgt_wait".to_owned(),
            sympos: 1,
        }],
        since: Moment(1000),
    }
}

/// The one blocker of a patch.
pub(crate) fn blocker(patch: &str) -> BlockerView {
    BlockerView {
        patch: patch.to_owned(),
        pid: 812,
        tid: 813,
        comm: "cat".to_owned(),
        class: TaskClass::User,
        state: "sleeping".to_owned(),
        reason: Reason::SleepingInFunction,
        function: "tgt_wait [tgt]".to_owned(),
        unit: "reader.service".to_owned(),
        nudges: 1,
        action: "nudged".to_owned(),
        stack: vec!["tgt_wait+0x1f/0x40 [tgt]".to_owned()],
    }
}

struct State {
    snapshot: Snapshot,
}

impl State {
    fn new() -> Self {
        let snapshot = Snapshot {
            cores: vec![Core::Kernel],
            patches: vec![patch("old_fix", PatchState::Enabled)],
            ..Snapshot::default()
        };
        Self { snapshot }
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::new(self.snapshot.clone())
    }

    async fn run(&mut self, bus: &Bus, mut incoming: mpsc::Receiver<Call>, mut scripted: mpsc::Receiver<Script>) {
        loop {
            tokio::select! {
                Some(call) = incoming.recv() => self.serve(bus, call).await,
                Some(Script::Publish(changes, snapshot)) = scripted.recv() => {
                    self.snapshot = snapshot;
                    bus.publish(&changes, self.snapshot());
                }
                _ = bus.closed() => return,
            }
        }
    }

    async fn serve(&mut self, bus: &Bus, call: Call) {
        let (answer, then) = self.answer(bus, &call.incoming);
        // a caller that has gone does not matter to the daemon
        let _ = call.reply.send(answer);
        if let Some((id, result)) = then {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.end(bus, id, result);
        }
    }

    fn answer(&mut self, bus: &Bus, incoming: &Incoming) -> (Reply, Option<(JobId, JobResult)>) {
        match incoming {
            Incoming::Apply { path, options, .. } => {
                let script = script_of(path);
                if let Some(name) = ErrorName::ALL.into_iter().find(|name| name.as_str() == script) {
                    let why = format!("{}: as scripted\nklp: a line of the kernel's log", path.display());
                    return (Err(Refusal::new(name, why)), None);
                }
                let patch = name(path.file_stem().unwrap().to_str().unwrap());
                let id = self.begin(bus, JobKind::Apply, &patch, options.or(&Rules::default()));
                (Ok(Answer::Job(id)), outcome(&script).map(|result| (id, result)))
            }
            Incoming::ApplyFd {
                name: expected,
                options,
                ..
            } => {
                let patch = expected.clone().unwrap_or_else(|| name("from_file"));
                let id = self.begin(bus, JobKind::Apply, &patch, options.or(&Rules::default()));
                (Ok(Answer::Job(id)), Some((id, JobResult::Done)))
            }
            Incoming::Revert { patch, options, .. } => {
                if let Err(refusal) = self.find(patch) {
                    return (Err(refusal), None);
                }
                let id = self.begin(bus, JobKind::Revert, patch, options.or(&Rules::default()));
                (Ok(Answer::Job(id)), Some((id, JobResult::Done)))
            }
            Incoming::Cancel { patch, .. } => self.overrule(bus, JobKind::Cancel, patch, JobResult::Cancelled),
            Incoming::Force { patch, .. } => self.overrule(bus, JobKind::Force, patch, JobResult::Done),
            Incoming::Nudge { patch, .. } => {
                let number = u32::try_from(self.snapshot.blockers.len()).unwrap();
                (self.moving(patch).map(|()| Answer::Nudging(number)), None)
            }
        }
    }

    fn find(&self, patch: &PatchName) -> Result<usize, Refusal> {
        let place = self
            .snapshot
            .patches
            .iter()
            .position(|view| view.name == patch.as_str());
        place.ok_or_else(|| Refusal::new(ErrorName::NotFound, format!("no patch called {patch} is loaded")))
    }

    fn moving(&self, patch: &PatchName) -> Result<(), Refusal> {
        let view = &self.snapshot.patches[self.find(patch)?];
        let moving = view.state.direction().is_some();
        moving
            .then_some(())
            .ok_or_else(|| Refusal::new(ErrorName::NotInTransition, format!("{patch} is not in transition")))
    }

    /// Ends the job that runs for this patch with `result`, and does so as another job.
    fn overrule(
        &mut self,
        bus: &Bus,
        kind: JobKind,
        patch: &PatchName,
        result: JobResult,
    ) -> (Reply, Option<(JobId, JobResult)>) {
        if let Err(refusal) = self.moving(patch) {
            return (Err(refusal), None);
        }
        let running = self
            .snapshot
            .jobs
            .iter()
            .find(|job| job.result.is_none())
            .map(|job| job.id);
        let id = self.begin(bus, kind, patch, Rules::default().into_options());
        if let Some(running) = running {
            self.end(bus, running, result);
        }
        (Ok(Answer::Job(id)), Some((id, JobResult::Done)))
    }

    fn begin(&mut self, bus: &Bus, kind: JobKind, patch: &PatchName, options: JobOptions) -> JobId {
        let id = JobId(u32::try_from(self.snapshot.jobs.len()).unwrap() + 1);
        let to = if kind == JobKind::Apply {
            PatchState::Enabling
        } else {
            PatchState::Disabling
        };
        let mut changes = vec![Change::JobStarted(id)];
        if let Ok(place) = self.find(patch) {
            self.snapshot.patches[place] = self::patch(patch.as_str(), to);
            changes.push(Change::PatchChanged(patch.clone()));
        } else {
            self.snapshot.patches.push(self::patch(patch.as_str(), to));
            changes.push(Change::PatchAppeared(patch.clone()));
        }
        self.snapshot.blockers = vec![blocker(patch.as_str())];
        self.snapshot.transition = Some(patch.clone());
        self.snapshot.jobs.push(job(id, kind, patch, options));
        self.snapshot.job_progress.push((1, 243));
        bus.publish(&changes, self.snapshot());
        id
    }

    fn end(&mut self, bus: &Bus, id: JobId, result: JobResult) {
        let job = self.snapshot.jobs.iter_mut().find(|job| job.id == id).unwrap();
        job.phase = JobPhase::Ended;
        job.result = Some(result);
        job.error = match result {
            JobResult::Done | JobResult::Cancelled => None,
            JobResult::Timeout => Some(Refusal::new(ErrorName::Timeout, "1 task pending: cat (813)")),
            JobResult::Failed => Some(Refusal::new(
                ErrorName::InvalidModule,
                "the kernel said no\nklp: no symbol",
            )),
        };
        let job = job.clone();
        let patch = job.patch.clone();
        let mut changes = Vec::new();
        // a cancelled job and the one that cancels it both end with the patch gone
        if let Ok(place) = self.find(&patch) {
            if job.kind == JobKind::Apply && result == JobResult::Done {
                self.snapshot.patches[place] = self::patch(patch.as_str(), PatchState::Enabled);
                changes.push(Change::PatchChanged(patch));
            } else {
                self.snapshot.patches.remove(place);
                changes.push(Change::PatchGone(patch));
            }
        }
        self.snapshot.transition = None;
        self.snapshot.blockers.clear();
        self.snapshot.job_progress[id.0 as usize - 1] = (0, 243);
        changes.push(Change::JobEnded(Box::new(job)));
        bus.publish(&changes, self.snapshot());
    }
}

trait IntoOptions {
    fn into_options(self) -> JobOptions;
}

impl IntoOptions for Rules {
    fn into_options(self) -> JobOptions {
        livepatchd::bus::AskedOptions::default().or(&self)
    }
}

/// A job that has just begun.
pub(crate) fn job(id: JobId, kind: JobKind, patch: &PatchName, options: JobOptions) -> Job {
    Job {
        id,
        kind,
        patch: patch.clone(),
        core: Core::Kernel,
        options,
        started: Moment(0),
        deadline: Moment(0) + Millis(options.timeout.0),
        phase: JobPhase::Transition,
        target: if kind == JobKind::Apply {
            Direction::Patching
        } else {
            Direction::Unpatching
        },
        begun: true,
        force: (kind == JobKind::Force).then_some(Moment(0)),
        refused_writes: 0,
        verdict: None,
        result: None,
        error: None,
    }
}

fn script_of(path: &Path) -> String {
    let folder = path.parent().and_then(Path::file_name);
    folder
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn outcome(script: &str) -> Option<JobResult> {
    match script {
        "hang" => None,
        "timeout" => Some(JobResult::Timeout),
        "failed" => Some(JobResult::Failed),
        _ => Some(JobResult::Done),
    }
}
