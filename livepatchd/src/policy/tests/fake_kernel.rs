// SPDX-License-Identifier: GPL-2.0-only
//! A kernel to test against: its livepatch core, its tasks, its modules' references, on a virtual clock.
//!
//! What it models, and nothing else:
//!
//! 1. A transition tries every pending task when it starts and then once a second; only a try completes it.
//! 2. After 15 tries in vain the kernel wakes the sleepers itself (the fake signal), at every 15th.
//! 3. A nudge moves an interruptible sleeper within 50 ms; the transition is complete at the next try, not before.
//! 4. `enabled` can be reversed only while the patch is in transition; a reversal waits for the next try.
//! 5. A patch disabled to the end cannot be enabled again (EINVAL), nor can a value be written that is there (EINVAL).
//! 6. One transition at a time: disabling another patch, or loading one, gives EBUSY.
//! 7. A patch is listed before it moves, and `transition` is set before `enabled`, both when it is enabled and when it is
//!    disabled; a listing may fall between, and reads one patch after the other.
//! 8. A disabled patch's directory goes a while after the transition, the reference to its module a while after that.
//! 9. A complete `replace` patch disables all others without a transition of theirs, and they go as in 8.
//! 10. `force` moves every task at once; the next try completes. The modules of patches that it disables stay for ever.
//! 11. A module with a reference is not unloaded. A module of that name is not loaded twice.
//! 12. Others load, write, unload, stop and continue tasks at any time.
//! 13. Listings and looks at tasks arrive late; events may be missing altogether, kernel log lines never are.

mod delays;
mod livepatch;
mod module;

use std::collections::BTreeMap;

pub(super) use self::{
    delays::Delays,
    module::{Init, Module},
};
use super::{fake_task::Task, machine::Slot};
use crate::{
    model::{
        fact::{Fact, Outcome, TransitionEvent},
        job::JobId,
        patch::{Core, Direction, Function, Listed, PatchListing, PatchName},
        refusal::{ErrorName, Refusal},
        task::TaskKey,
        time::{Millis, Moment},
    },
    policy::action::Action,
};

#[derive(Clone, Debug)]
struct InTransition {
    patch: PatchName,
    target: Direction,
    tries: u32,
    number: u32,
}

/// Something that reaches the daemon, and the action that is over with it.
#[derive(Clone, Debug)]
pub(super) struct Delivery {
    pub(super) over: Option<Slot>,
    pub(super) fact: Fact,
}

#[derive(Clone, Debug)]
enum Event {
    Arrives(Delivery),
    Read {
        names: Vec<PatchName>,
        got: Vec<PatchListing>,
    },
    Look {
        patch: PatchName,
        direction: Direction,
        among: Option<Vec<TaskKey>>,
    },
    Insmod {
        name: PatchName,
        by: Option<JobId>,
        step: u8,
    },
    Write {
        name: PatchName,
        direction: Direction,
        ours: bool,
    },
    Disable {
        name: PatchName,
        ours: bool,
    },
    Force {
        name: PatchName,
    },
    Rmmod {
        name: PatchName,
        ours: bool,
    },
    Nudge {
        patch: PatchName,
        direction: Direction,
        key: TaskKey,
    },
    Woken(TaskKey),
    Round(u32),
    Free(PatchName),
    Put(PatchName),
}

/// The kernel.
#[derive(Clone, Debug)]
pub(super) struct FakeKernel {
    pub(super) now: Moment,
    pub(super) delays: Delays,
    /// Whether it has a livepatch core at all.
    pub(super) core: bool,
    /// Whether BPF events reach the daemon.
    pub(super) events: bool,
    pub(super) tasks: BTreeMap<u32, Task>,
    /// Module files that can be loaded.
    pub(super) files: BTreeMap<PatchName, Module>,
    pub(super) modules: BTreeMap<PatchName, Module>,
    /// Every nudge that went out: when, to whom.
    pub(super) nudged: Vec<(Moment, u32)>,
    /// For each of them: how often a transition had started or turned round before.
    pub(super) episodes: Vec<u32>,
    /// Writes to `enabled` and `force` that came from the daemon and were taken.
    pub(super) writes: u32,
    transition: Option<InTransition>,
    transitions: u32,
    episode: u32,
    /// The core's lock is held: by loading, or by disabling.
    locked: bool,
    agenda: BTreeMap<(Moment, u64), Event>,
    last: u64,
}

impl FakeKernel {
    pub(super) fn new() -> Self {
        Self {
            now: Moment(1_000_000),
            delays: Delays::default(),
            core: true,
            events: true,
            tasks: (1..=5).map(|tid| (tid, Task::elsewhere(tid))).collect(),
            files: BTreeMap::new(),
            modules: BTreeMap::new(),
            nudged: Vec::new(),
            episodes: Vec::new(),
            episode: 0,
            writes: 0,
            transition: None,
            transitions: 0,
            locked: false,
            agenda: BTreeMap::new(),
            last: 0,
        }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Moment> {
        self.agenda.keys().next().map(|(at, _)| *at)
    }

    /// Lets everything happen that is due; what reaches the daemon.
    pub(super) fn advance(&mut self) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while let Some(first) = self.agenda.first_entry().filter(|e| e.key().0 <= self.now) {
            match first.remove() {
                Event::Arrives(delivery) => deliveries.push(delivery),
                event => self.happen(event),
            }
        }
        deliveries
    }

    /// The daemon is killed: system calls that it is in come to their end first, others are never made, and nobody hears
    /// of any outcome.
    pub(super) fn lose_daemon(&mut self) {
        self.agenda.retain(|_, event| match event {
            Event::Insmod { by, step, .. } => by.is_none() || *step > 0,
            Event::Write { ours, .. } | Event::Rmmod { ours, .. } => !*ours,
            Event::Force { .. } | Event::Nudge { .. } => false,
            _ => true,
        });
        while self.locked {
            self.now = self.now + Millis(1);
            self.advance();
        }
        self.agenda
            .retain(|_, e| !matches!(e, Event::Arrives(_) | Event::Read { .. } | Event::Look { .. }));
    }

    /// The patch in transition.
    pub(super) fn moving(&self) -> Option<(&PatchName, Direction)> {
        self.transition.as_ref().map(|t| (&t.patch, t.target))
    }

    pub(super) fn add(&mut self, task: Task) {
        self.tasks.insert(task.seen.key.tid, task);
    }

    /// Carries out an action of the daemon; `loads` is the module of [`Action::Load`].
    pub(super) fn begin(&mut self, action: Action, loads: Option<PatchName>) {
        let act = self.delays.act;
        match action {
            // this kernel has no other core
            Action::List(core @ Core::KlpRs) => {
                self.deliver(self.delays.list, Some(Slot::List(core)), Fact::CoreGone(core));
            }
            Action::List(Core::Kernel) => {
                let names = self.modules.keys().cloned().collect();
                self.later(0, Event::Read { names, got: Vec::new() });
            }
            Action::Scan {
                patch,
                direction,
                among,
                ..
            } => self.later(
                0,
                Event::Look {
                    patch,
                    direction,
                    among,
                },
            ),
            Action::Load(job) => {
                let name = loads.expect("a module for the job");
                let by = Some(job);
                self.later(act, Event::Insmod { name, by, step: 0 });
            }
            Action::Switch { patch, direction, .. } => {
                let (name, ours) = (patch, true);
                self.later(act, Event::Write { name, direction, ours });
            }
            Action::Force { patch, .. } => self.later(act, Event::Force { name: patch }),
            Action::Unload { patch } => self.later(
                act,
                Event::Rmmod {
                    name: patch,
                    ours: true,
                },
            ),
            Action::Nudge {
                patch, direction, key, ..
            } => self.later(act, Event::Nudge { patch, direction, key }),
        }
    }

    /// `insmod` by somebody else.
    pub(super) fn insmod(&mut self, name: &PatchName) {
        let (name, by) = (name.clone(), None);
        self.later(0, Event::Insmod { name, by, step: 0 });
    }

    /// `echo 0` or `echo 1` by somebody else.
    pub(super) fn write(&mut self, name: &PatchName, direction: Direction) {
        let (name, ours) = (name.clone(), false);
        self.later(0, Event::Write { name, direction, ours });
    }

    /// `rmmod` by somebody else.
    pub(super) fn rmmod(&mut self, name: &PatchName) {
        let (name, ours) = (name.clone(), false);
        self.later(0, Event::Rmmod { name, ours });
    }

    fn later(&mut self, delay: u64, event: Event) {
        self.last += 1;
        self.agenda.insert((self.now + Millis(delay), self.last), event);
    }

    fn deliver(&mut self, delay: u64, over: Option<Slot>, fact: Fact) {
        self.later(delay, Event::Arrives(Delivery { over, fact }));
    }

    fn outcome(&mut self, over: Slot, outcome: Outcome) {
        self.deliver(self.delays.act, Some(over), Fact::Outcome(outcome));
    }

    /// A BPF event.
    fn event(&mut self, event: TransitionEvent) {
        if self.events {
            let core = Core::Kernel;
            self.deliver(self.delays.event, None, Fact::Transition { core, event });
        }
    }

    /// A line of the kernel's log.
    fn log(&mut self) {
        self.deliver(self.delays.event + 1, None, Fact::Stirred(Core::Kernel));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Arrives(_) => unreachable!("handed to the daemon"),
            Event::Read { names, got } => self.read(names, got),
            Event::Look {
                patch,
                direction,
                among,
            } => self.look(patch, direction, among.as_deref()),
            Event::Insmod { name, by, step } => self.step_insmod(name, by, step),
            Event::Write { name, direction, ours } => self.take_write(name, direction, ours),
            Event::Disable { name, ours } => {
                self.locked = false;
                self.module(&name).enabled = false;
                self.start();
                self.written(name, Direction::Unpatching, ours, Ok(()));
            }
            Event::Force { name } => self.take_force(name),
            Event::Rmmod { name, ours } => self.take_rmmod(name, ours),
            Event::Nudge { patch, direction, key } => self.take_nudge(patch, direction, key),
            Event::Woken(key) => self.wake(key),
            Event::Round(number) => self.round(number),
            Event::Free(name) => {
                if let Some(module) = self.modules.get_mut(&name) {
                    module.listed = false;
                    self.later(self.delays.put, Event::Put(name));
                }
            }
            Event::Put(name) => {
                if let Some(module) = self.modules.get_mut(&name) {
                    module.held = module.forced;
                }
            }
        }
    }

    fn module(&mut self, name: &PatchName) -> &mut Module {
        self.modules.get_mut(name).expect("a module that is loaded")
    }

    fn read(&mut self, names: Vec<PatchName>, mut got: Vec<PatchListing>) {
        let mut names = names.into_iter();
        for name in names.by_ref() {
            if let Some(module) = self.modules.get(&name) {
                let listed = module.listed.then(|| Listed {
                    enabled: module.enabled,
                    transition: self.moving().is_some_and(|(moving, _)| *moving == name),
                    replace: Some(module.replace),
                    stack_order: None,
                    functions: vec![Function {
                        object: "tgt".into(),
                        name: "tgt_wait".into(),
                        sympos: 1,
                    }],
                });
                got.push(PatchListing { name, listed });
            }
            if self.delays.read > 0 {
                break;
            }
        }
        if names.len() > 0 {
            let names = names.collect();
            return self.later(self.delays.read, Event::Read { names, got });
        }
        let core = Core::Kernel;
        let fact = if self.core {
            Fact::Listing { core, patches: got }
        } else {
            Fact::CoreGone(core)
        };
        self.deliver(self.delays.list, Some(Slot::List(core)), fact);
    }

    fn look(&mut self, patch: PatchName, direction: Direction, among: Option<&[TaskKey]>) {
        let moving = self.moving() == Some((&patch, direction));
        let there = direction == Direction::Patching;
        let looked_at = |t: &&Task| among.is_none_or(|among| among.contains(&t.seen.key));
        let pending = self
            .tasks
            .values()
            .filter(looked_at)
            .filter(|t| moving && t.patched != there);
        let fact = Fact::Scan {
            core: Core::Kernel,
            patch,
            direction,
            pending: pending.map(Task::sighting).collect(),
            total: u32::try_from(self.tasks.len()).expect("few tasks"),
        };
        self.deliver(self.delays.scan, Some(Slot::Scan(Core::Kernel)), fact);
    }

    fn take_rmmod(&mut self, name: PatchName, ours: bool) {
        let result = match self.modules.get(&name) {
            None => Err(Refusal::new(ErrorName::NotFound, "ENOENT")),
            Some(module) if module.held => Ok(false),
            Some(_) => {
                self.modules.remove(&name);
                Ok(true)
            }
        };
        if result == Ok(true) && !ours {
            self.log();
        }
        if ours {
            let outcome = Outcome::Unloaded {
                patch: name.clone(),
                result,
            };
            self.outcome(Slot::Unload(name), outcome);
        }
    }

    /// As `act` does it: a task that has moved or may not be nudged any more is left alone.
    fn take_nudge(&mut self, patch: PatchName, direction: Direction, key: TaskKey) {
        let task = self.tasks.get(&key.tid).filter(|t| t.seen.key == key);
        let moving = self.transition.is_some();
        let result = match task {
            None => Err("it is gone".to_owned()),
            Some(task) if !moving || task.patched == direction.enabled() => Err("it has moved".to_owned()),
            Some(task) if !task.takes_signals() => Err("it may no longer be nudged".to_owned()),
            Some(task) => {
                self.nudged.push((self.now, key.tid));
                self.episodes.push(self.episode);
                if task.hears() {
                    self.later(self.delays.wake, Event::Woken(key));
                }
                Ok(())
            }
        };
        self.outcome(Slot::Nudge(key), Outcome::Nudged { patch, key, result });
    }

    fn wake(&mut self, key: TaskKey) {
        let target = self.transition.as_ref().map(|t| t.target);
        if let Some(task) = self.tasks.get_mut(&key.tid).filter(|t| t.hears()) {
            task.leave(target);
        }
    }

    /// Somebody else stops or continues a task.
    pub(super) fn stop(&mut self, tid: u32, stopped: bool) {
        use crate::model::task::Scheduling;
        if let Some(task) = self.tasks.get_mut(&tid) {
            task.seen.stop_pending = stopped;
            task.seen.scheduling = if stopped {
                Scheduling::Stopped
            } else {
                Scheduling::Interruptible
            };
        }
    }
}
