// SPDX-License-Identifier: GPL-2.0-only
//! The fake kernel's livepatch core: loading, `enabled`, `force`, and the tries of a transition (points 1–10).

use super::{Event, FakeKernel, InTransition, Init, Slot};
use crate::model::{
    fact::{Fact, Outcome, TransitionEvent},
    job::JobId,
    patch::{Core, Direction, PatchName},
    refusal::{ErrorName, Refusal},
    time::Millis,
};

const ROUND: Millis = Millis(1_000);
const ROUNDS_PER_SIGNAL: u32 = 15;

impl FakeKernel {
    /// Loading, in the kernel's order: the module, its directory, `transition`, the start with `enabled`.
    pub(super) fn step_insmod(&mut self, name: PatchName, by: Option<JobId>, step: u8) {
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

    pub(super) fn insmod_ends(&mut self, by: Option<JobId>) {
        if let Some(job) = by {
            self.outcome(Slot::Load(job), Outcome::Loaded { job, result: Ok(()) });
        }
    }

    pub(super) fn insmod_fails(&mut self, by: Option<JobId>, why: ErrorName) {
        if let Some(job) = by {
            let result = Err(Refusal::new(why, "the kernel refused the module"));
            self.outcome(Slot::Load(job), Outcome::Loaded { job, result });
        }
    }

    pub(super) fn take_write(&mut self, name: PatchName, direction: Direction, ours: bool) {
        if self.locked {
            return self.later(1, Event::Write { name, direction, ours });
        }
        let result = self.enabled_store(&name, direction, ours);
        if self.locked {
            return;
        }
        self.written(name, direction, ours, result);
    }

    pub(super) fn written(&mut self, name: PatchName, direction: Direction, ours: bool, result: Result<(), Refusal>) {
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
    pub(super) fn enabled_store(&mut self, name: &PatchName, direction: Direction, ours: bool) -> Result<(), Refusal> {
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

    pub(super) fn take_force(&mut self, name: PatchName) {
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

    pub(super) fn set_transition(&mut self, name: &PatchName, target: Direction) {
        self.transitions += 1;
        self.episode += 1;
        self.transition = Some(InTransition {
            patch: name.clone(),
            target,
            tries: 0,
            number: self.transitions,
        });
    }

    pub(super) fn start(&mut self) {
        let Some(t) = &self.transition else { return };
        let (there, number) = (t.target == Direction::Patching, t.number);
        self.tasks.values_mut().for_each(|task| task.patched = !there);
        self.event(TransitionEvent::Started);
        self.log();
        self.round(number);
    }

    /// `kernel/livepatch/transition.c: klp_try_complete_transition`.
    pub(super) fn round(&mut self, number: u32) {
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

    pub(super) fn complete(&mut self, t: &InTransition) {
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
}
