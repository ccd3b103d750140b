// SPDX-License-Identifier: GPL-2.0-only
//! Carrying out actions on the blocking pool, each kind at most once at a time.
//!
//! An action is under way from [`Work::begin`] to the loop's [`Work::finished`]; policy decides from the state of the
//! world and does not know what is under way, so the same decision may come many times meanwhile.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use super::{Event, backoff::Backoff};
use crate::{
    act::{Executor, Loadable},
    model::{
        fact::{Fact, Outcome},
        job::JobId,
        patch::{Core, PatchName},
        place::Places,
        refusal::Refusal,
        task::TaskKey,
    },
    observe::{
        kmsg,
        module_file::OpenModule,
        scan::{Asked, Scanner},
        sysfs,
    },
    policy::action::Action,
};

/// How long a load waits for the kernel's events to be there: whoever comes too late misses the first round.
const EVENTS_TIME: Duration = Duration::from_secs(5);
/// How long the end of the daemon waits for the nudge under way to end: two signals.
const NUDGE_TIME: Duration = Duration::from_secs(2);

/// What can be under way once at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Slot {
    List(Core),
    Scan(Core),
    Load(JobId),
    /// Writes to `enabled` and `force`.
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

/// The actions under way.
pub(super) struct Work {
    places: Places,
    executor: Arc<Executor>,
    scanner: Arc<Mutex<Scanner>>,
    events_ready: watch::Receiver<bool>,
    events: mpsc::UnboundedSender<Event>,
    under_way: BTreeSet<Slot>,
    failed_lists: BTreeMap<Core, Backoff>,
    nudges: JoinSet<()>,
    /// The daemon ends: no further nudge is begun.
    pub(super) ending: Arc<AtomicBool>,
}

impl Work {
    pub(super) fn new(
        places: &Places,
        scanner: Arc<Mutex<Scanner>>,
        events_ready: watch::Receiver<bool>,
        events: mpsc::UnboundedSender<Event>,
    ) -> Self {
        let kernel_log = || kmsg::since(&kmsg::path());
        Self {
            places: places.clone(),
            executor: Arc::new(Executor::new(places.clone(), Box::new(kernel_log))),
            scanner,
            events_ready,
            events,
            under_way: BTreeSet::new(),
            failed_lists: BTreeMap::new(),
            nudges: JoinSet::new(),
            ending: Arc::default(),
        }
    }

    /// Marks an action as under way; false if one of its kind is already.
    pub(super) fn begin(&mut self, action: &Action) -> bool {
        self.under_way.insert(Slot::of(action))
    }

    /// An action is over; `told`: it had something to tell.
    pub(super) fn finished(&mut self, slot: &Slot, told: bool) {
        self.under_way.remove(slot);
        match slot {
            Slot::List(core) if told => self.failed_lists.entry(*core).or_default().works(),
            Slot::List(core) => self.list_later(*core),
            Slot::Scan(_) | Slot::Load(_) | Slot::Write(_) | Slot::Unload(_) | Slot::Nudge(_) => {}
        }
    }

    /// A core could not be listed: has it listed again after a while. Nothing else may ever ask for it.
    pub(super) fn list_later(&mut self, core: Core) {
        let wait = self.failed_lists.entry(core).or_default().failed();
        let events = self.events.clone();
        tokio::spawn(async move {
            sleep(wait).await;
            // the loop is gone only when the daemon ends
            let _ = events.send(Event::Fact(Fact::Stirred(core)));
        });
    }

    /// Starts an action that is marked as under way; `module` goes with [`Action::Load`].
    pub(super) fn start(&mut self, action: Action, module: Option<OpenModule>) {
        let slot = Slot::of(&action);
        let (places, executor) = (self.places.clone(), Arc::clone(&self.executor));
        let (scanner, events) = (Arc::clone(&self.scanner), self.events.clone());
        let mut ready = self.events_ready.clone();
        let is_load = matches!(action, Action::Load(_));
        let carry_out = move || carry_out(&places, &executor, &scanner, &action, module.as_ref());
        let finished = move |done: Result<Vec<Fact>, JoinError>| {
            let facts = done.unwrap_or_else(|panic| {
                tracing::error!("{slot:?}: {panic}");
                Vec::new()
            });
            let _ = events.send(Event::Finished(slot, facts));
        };
        if is_load && *ready.borrow() {
            // on its way before the loop goes on to tell of it
            let done = spawn_blocking(carry_out);
            tokio::spawn(async move { finished(done.await) });
            return;
        }
        tokio::spawn(async move {
            if is_load {
                // without the events the load goes on all the same, and reasons come from stacks
                let _ = timeout(EVENTS_TIME, ready.wait_for(|ready| *ready)).await;
            }
            finished(spawn_blocking(carry_out).await);
        });
    }

    /// Says no to a write that is marked as under way, as the kernel would.
    pub(super) fn refuse_force(&self, core: Core, patch: PatchName, why: Refusal) {
        let outcome = Outcome::Forced {
            core,
            patch,
            result: Err(why),
        };
        let _ = self
            .events
            .send(Event::Finished(Slot::Write(core), vec![Fact::Outcome(outcome)]));
    }

    /// Starts nudges that are marked as under way, one after the other.
    pub(super) fn start_nudges(&mut self, nudges: Vec<Action>) {
        while self.nudges.try_join_next().is_some() {}
        if nudges.is_empty() {
            return;
        }
        let (executor, events) = (Arc::clone(&self.executor), self.events.clone());
        let ending = Arc::clone(&self.ending);
        self.nudges.spawn_blocking(move || {
            for nudge in nudges {
                if ending.load(Ordering::Relaxed) {
                    return;
                }
                let slot = Slot::of(&nudge);
                let facts = executor.execute(&nudge, None).map(Fact::Outcome);
                let _ = events.send(Event::Finished(slot, facts.into_iter().collect()));
            }
        });
    }

    /// Begins no further nudge and waits for the one under way: no thread is left between SIGSTOP and SIGCONT.
    pub(super) async fn finish(&mut self) {
        self.ending.store(true, Ordering::Relaxed);
        let all = async { while self.nudges.join_next().await.is_some() {} };
        if timeout(NUDGE_TIME, all).await.is_err() {
            tracing::warn!("nudges are still under way; the next start finishes them");
        }
    }
}

fn carry_out(
    places: &Places,
    executor: &Executor,
    scanner: &Mutex<Scanner>,
    action: &Action,
    module: Option<&OpenModule>,
) -> Vec<Fact> {
    match action {
        Action::List(core) => {
            let fact = list(places, *core);
            if *core == Core::KlpRs {
                let mut scanner = scanner.lock().unwrap_or_else(PoisonError::into_inner);
                scanner.follow_klp_rs(fact.as_ref().is_some_and(has_patches));
            }
            fact.into_iter().collect()
        }
        Action::Scan {
            core,
            patch,
            direction,
            functions,
            below,
            among,
        } => {
            let mut scanner = scanner.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = Asked {
                core: *core,
                patch,
                direction: *direction,
                functions,
                below,
                among: among.as_deref(),
            };
            match scanner.pending(asked) {
                Ok(found) => vec![Fact::Scan {
                    core: *core,
                    patch: patch.clone(),
                    direction: *direction,
                    pending: found.pending,
                    total: found.total,
                }],
                Err(why) => {
                    tracing::warn!("{patch}: pending tasks cannot be listed: {why}");
                    Vec::new()
                }
            }
        }
        Action::Load(_)
        | Action::Switch { .. }
        | Action::Force { .. }
        | Action::Unload { .. }
        | Action::Nudge { .. } => {
            let loadable = module.map(|module| Loadable {
                file: module.file(),
                facts: module.facts(),
            });
            let outcome = executor.execute(action, loadable);
            outcome.into_iter().map(Fact::Outcome).collect()
        }
    }
}

/// Whether there is something to follow.
fn has_patches(fact: &Fact) -> bool {
    matches!(fact, Fact::Listing { patches, .. } if patches.iter().any(|patch| patch.listed.is_some()))
}

/// What a core lists now; `None` if that cannot be read.
pub(super) fn list(places: &Places, core: Core) -> Option<Fact> {
    match sysfs::list(places, core) {
        Ok(Some(patches)) => Some(Fact::Listing { core, patches }),
        Ok(None) => Some(Fact::CoreGone(core)),
        Err(why) => {
            tracing::warn!("{}: {why}", places.core(core).display());
            None
        }
    }
}
