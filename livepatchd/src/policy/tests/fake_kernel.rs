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
//! 13. Listings and passes over tasks arrive late; events may be missing altogether, kernel log lines never are.

use std::collections::BTreeMap;

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

const ROUND: Millis = Millis(1_000);
const ROUNDS_PER_SIGNAL: u32 = 15;

/// How long things take, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delays {
    /// Between the steps of loading and of disabling, under the core's lock.
    pub(super) step: u64,
    /// From a listing's last read to its arrival.
    pub(super) list: u64,
    /// Between two patches of a listing.
    pub(super) read: u64,
    /// From a pass over tasks to its arrival.
    pub(super) scan: u64,
    /// From an action to its effect, and from that to its outcome.
    pub(super) act: u64,
    /// From an event to its arrival.
    pub(super) event: u64,
    /// From a signal to the thread's return to user space.
    pub(super) wake: u64,
    /// From the end of a transition to the end of the patch's directory.
    pub(super) free: u64,
    /// From there to the end of the reference to its module.
    pub(super) put: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            step: 2,
            list: 1,
            read: 0,
            scan: 3,
            act: 1,
            event: 1,
            wake: 20,
            free: 5,
            put: 20,
        }
    }
}

/// What a module does when it is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Init {
    Enables,
    EnablesNothing,
    Fails,
}

/// A module file, or a loaded module.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags of the kernel, not a state machine"
)]
pub(super) struct Module {
    pub(super) init: Init,
    pub(super) replace: bool,
    /// `enabled`.
    pub(super) enabled: bool,
    /// The core has a directory for it.
    pub(super) listed: bool,
    /// The core holds a reference.
    pub(super) held: bool,
    forced: bool,
}

impl Module {
    pub(super) fn new() -> Self {
        Self {
            init: Init::Enables,
            replace: false,
            enabled: false,
            listed: false,
            held: false,
            forced: false,
        }
    }

    pub(super) fn replacing() -> Self {
        Self {
            replace: true,
            ..Self::new()
        }
    }
}

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
    Pass {
        patch: PatchName,
        direction: Direction,
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
            .retain(|_, e| !matches!(e, Event::Arrives(_) | Event::Read { .. } | Event::Pass { .. }));
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
            Action::List(_) => {
                let names = self.modules.keys().cloned().collect();
                self.later(0, Event::Read { names, got: Vec::new() });
            }
            Action::Scan { patch, direction, .. } => self.later(0, Event::Pass { patch, direction }),
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
            Action::Nudge { patch, key, .. } => self.later(act, Event::Nudge { patch, key }),
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
            Event::Pass { patch, direction } => self.pass(patch, direction),
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
            Event::Nudge { patch, key } => self.take_nudge(patch, key),
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

    fn pass(&mut self, patch: PatchName, direction: Direction) {
        let moving = self.moving() == Some((&patch, direction));
        let there = direction == Direction::Patching;
        let pending = self.tasks.values().filter(|t| moving && t.patched != there);
        let fact = Fact::Scan {
            core: Core::Kernel,
            patch,
            direction,
            pending: pending.map(Task::sighting).collect(),
            visited: u32::try_from(self.tasks.len()).expect("few tasks"),
        };
        self.deliver(self.delays.scan, Some(Slot::Scan(Core::Kernel)), fact);
    }

    /// Loading, in the kernel's order: the module, its directory, `transition`, the start with `enabled`.
    fn step_insmod(&mut self, name: PatchName, by: Option<JobId>, step: u8) {
        match step {
            0 if self.locked => return self.later(1, Event::Insmod { name, by, step }),
            0 => {
                let file = self.files.get(&name).cloned();
                match file {
                    Some(_) if self.modules.contains_key(&name) => {
                        return self.insmod_fails(by, ErrorName::AlreadyLoaded);
                    }
                    Some(file) if file.init != Init::Fails && self.core => {
                        self.modules.insert(name.clone(), file);
                    }
                    Some(_) | None => return self.insmod_fails(by, ErrorName::InvalidModule),
                }
                if self.module(&name).init == Init::EnablesNothing {
                    return self.insmod_ends(by);
                }
                self.locked = true;
                let module = self.module(&name);
                (module.listed, module.held) = (true, true);
            }
            1 if self.transition.is_some() => {
                self.locked = false;
                self.modules.remove(&name);
                return self.insmod_fails(by, ErrorName::Busy);
            }
            1 => {
                self.set_transition(&name, Direction::Patching);
                self.log();
            }
            _ => {
                self.locked = false;
                self.module(&name).enabled = true;
                self.start();
                return self.insmod_ends(by);
            }
        }
        let step = step + 1;
        self.later(self.delays.step, Event::Insmod { name, by, step });
    }

    fn insmod_ends(&mut self, by: Option<JobId>) {
        if let Some(job) = by {
            self.outcome(Slot::Load(job), Outcome::Loaded { job, result: Ok(()) });
        }
    }

    fn insmod_fails(&mut self, by: Option<JobId>, why: ErrorName) {
        if let Some(job) = by {
            let result = Err(Refusal::new(why, "the kernel refused the module"));
            self.outcome(Slot::Load(job), Outcome::Loaded { job, result });
        }
    }

    fn take_write(&mut self, name: PatchName, direction: Direction, ours: bool) {
        if self.locked {
            return self.later(1, Event::Write { name, direction, ours });
        }
        let result = self.enabled_store(&name, direction, ours);
        if self.locked {
            return;
        }
        self.written(name, direction, ours, result);
    }

    fn written(&mut self, name: PatchName, direction: Direction, ours: bool, result: Result<(), Refusal>) {
        self.writes += u32::from(ours && result.is_ok());
        if ours {
            let core = Core::Kernel;
            let outcome = Outcome::Switched {
                core,
                patch: name,
                direction,
                result,
            };
            self.outcome(Slot::Write(core), outcome);
        }
    }

    /// `kernel/livepatch/core.c: enabled_store`.
    fn enabled_store(&mut self, name: &PatchName, direction: Direction, ours: bool) -> Result<(), Refusal> {
        let invalid = || Err(Refusal::new(ErrorName::Refused, "EINVAL"));
        let Some(module) = self.modules.get_mut(name).filter(|m| m.listed) else {
            return Err(Refusal::new(ErrorName::NotFound, "ENOENT"));
        };
        if module.enabled == direction.enabled() {
            return invalid();
        }
        if let Some(t) = self.transition.as_mut().filter(|t| t.patch == *name) {
            (t.target, t.tries) = (direction, 0);
            module.enabled = direction.enabled();
            self.episode += 1;
            self.event(TransitionEvent::Reversed);
            self.event(TransitionEvent::Started);
            self.log();
            return Ok(());
        }
        if direction.enabled() {
            return invalid();
        }
        if self.transition.is_some() {
            return Err(Refusal::new(ErrorName::Busy, "EBUSY"));
        }
        self.locked = true;
        self.set_transition(name, Direction::Unpatching);
        self.log();
        let name = name.clone();
        self.later(self.delays.step, Event::Disable { name, ours });
        Ok(())
    }

    fn take_force(&mut self, name: PatchName) {
        let core = Core::Kernel;
        let result = match self.transition.clone().filter(|t| t.patch == name && !self.locked) {
            None => Err(Refusal::new(ErrorName::Refused, "EINVAL")),
            Some(t) => {
                self.writes += 1;
                let there = t.target == Direction::Patching;
                self.tasks.values_mut().for_each(|task| task.patched = there);
                let replaces = self.module(&name).replace;
                for (other, module) in &mut self.modules {
                    let removed = if there {
                        replaces && *other != name
                    } else {
                        *other == name
                    };
                    module.forced |= removed && module.listed;
                }
                self.event(TransitionEvent::Forced);
                Ok(())
            }
        };
        let outcome = Outcome::Forced {
            core,
            patch: name,
            result,
        };
        self.outcome(Slot::Write(core), outcome);
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

    /// As `act` does it: a task that may not be nudged any more is left alone.
    fn take_nudge(&mut self, patch: PatchName, key: TaskKey) {
        let task = self.tasks.get(&key.tid).filter(|t| t.seen.key == key);
        let result = match task {
            None => Err("it is gone".to_owned()),
            Some(task) if !task.hears() && !task.deaf => Err("it may no longer be nudged".to_owned()),
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

    fn set_transition(&mut self, name: &PatchName, target: Direction) {
        self.transitions += 1;
        self.episode += 1;
        self.transition = Some(InTransition {
            patch: name.clone(),
            target,
            tries: 0,
            number: self.transitions,
        });
    }

    fn start(&mut self) {
        let Some(t) = &self.transition else { return };
        let (there, number) = (t.target == Direction::Patching, t.number);
        self.tasks.values_mut().for_each(|task| task.patched = !there);
        self.event(TransitionEvent::Started);
        self.log();
        self.round(number);
    }

    /// `kernel/livepatch/transition.c: klp_try_complete_transition`.
    fn round(&mut self, number: u32) {
        let Some(t) = self.transition.clone().filter(|t| t.number == number) else {
            return;
        };
        let there = t.target == Direction::Patching;
        let mut verdicts = Vec::new();
        for task in self.tasks.values_mut().filter(|task| task.patched != there) {
            match task.holds(t.target).cloned() {
                None => task.patched = there,
                Some(verdict) => verdicts.push((task.seen.key, task.seen.comm.clone(), verdict)),
            }
        }
        let complete = verdicts.is_empty();
        if self.events {
            for (key, comm, verdict) in verdicts {
                let core = Core::Kernel;
                let fact = Fact::Verdict {
                    core,
                    key,
                    comm,
                    verdict,
                };
                self.deliver(self.delays.event, None, fact);
            }
        }
        self.event(TransitionEvent::RoundEnded);
        if complete {
            return self.complete(&t);
        }
        if t.tries > 0 && t.tries % ROUNDS_PER_SIGNAL == 0 {
            let woken = self.tasks.values().filter(|task| task.patched != there && task.hears());
            for key in woken.map(|task| task.seen.key).collect::<Vec<_>>() {
                self.later(self.delays.wake, Event::Woken(key));
            }
        }
        if let Some(t) = &mut self.transition {
            t.tries += 1;
        }
        self.later(ROUND.0, Event::Round(number));
    }

    fn complete(&mut self, t: &InTransition) {
        self.transition = None;
        self.event(TransitionEvent::Completed);
        self.log();
        let replaces = self.module(&t.patch).replace;
        let mut off = Vec::new();
        for (name, module) in self.modules.iter_mut().filter(|(_, m)| m.listed) {
            let goes = match t.target {
                Direction::Patching => replaces && *name != t.patch,
                Direction::Unpatching => *name == t.patch,
            };
            if goes {
                module.enabled = false;
                off.push(name.clone());
            }
        }
        for name in off {
            self.later(self.delays.free, Event::Free(name));
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
