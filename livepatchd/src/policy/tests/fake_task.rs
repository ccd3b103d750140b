// SPDX-License-Identifier: GPL-2.0-only
//! A task of the fake kernel: what it sleeps in, what the kernel says of it, and what wakes it.

use crate::model::{
    patch::Direction,
    task::{Scheduling, Sighting, TaskClass, Verdict},
    testing::sighting,
};

/// Which version of the patched function a task is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Inside {
    Neither,
    Old,
    New,
}

/// One task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) seen: Sighting,
    pub(super) inside: Inside,
    /// What the kernel says of it while it is inside.
    pub(super) verdict: Verdict,
    /// Its patch state.
    pub(super) patched: bool,
    /// Once woken, it calls the function again.
    pub(super) returns: bool,
    /// It sleeps interruptibly, but goes back to sleep whatever wakes it.
    pub(super) deaf: bool,
}

impl Task {
    /// A task that is nowhere near the patched function.
    pub(super) fn elsewhere(tid: u32) -> Self {
        Self {
            seen: sighting(tid),
            inside: Inside::Neither,
            verdict: Verdict::SleepingOn("tgt_wait".into()),
            patched: false,
            returns: false,
            deaf: false,
        }
    }

    /// A thread that sleeps, interruptibly, in the function that a patch will change.
    pub(super) fn reader(tid: u32) -> Self {
        Self {
            inside: Inside::Old,
            ..Self::elsewhere(tid)
        }
    }

    /// A thread that sleeps, interruptibly, in the patched function.
    pub(super) fn in_new(tid: u32) -> Self {
        Self {
            inside: Inside::New,
            patched: true,
            ..Self::elsewhere(tid)
        }
    }

    /// The first, with something about it that forbids a nudge.
    pub(super) fn stuck(tid: u32, how: impl FnOnce(&mut Sighting)) -> Self {
        let mut task = Self::reader(tid);
        how(&mut task.seen);
        task
    }

    /// A reader that no nudge moves.
    pub(super) fn deaf(tid: u32) -> Self {
        Self {
            deaf: true,
            ..Self::reader(tid)
        }
    }

    /// Why the kernel cannot move it there; `None` if it can.
    pub(super) fn holds(&self, target: Direction) -> Option<&Verdict> {
        let blocks = match target {
            Direction::Patching => self.inside == Inside::Old,
            Direction::Unpatching => self.inside == Inside::New,
        };
        blocks.then_some(&self.verdict)
    }

    /// Whether a signal makes it leave the kernel.
    pub(super) fn hears(&self) -> bool {
        self.takes_signals() && !self.deaf
    }

    /// Whether a signal may be sent to it.
    pub(super) fn takes_signals(&self) -> bool {
        let Sighting {
            class,
            scheduling,
            stop_pending,
            traced,
            frozen,
            ..
        } = &self.seen;
        *class == TaskClass::User && *scheduling == Scheduling::Interruptible && !stop_pending && !traced && !frozen
    }

    /// It leaves the kernel, and with that gets to the target; then it may call the function again.
    pub(super) fn leave(&mut self, target: Option<Direction>) {
        if let Some(target) = target {
            self.patched = target == Direction::Patching;
        }
        self.inside = match (self.returns, self.patched) {
            (false, _) => Inside::Neither,
            (true, false) => Inside::Old,
            (true, true) => Inside::New,
        };
    }

    /// What a pass over tasks sees of it.
    pub(super) fn sighting(&self) -> Sighting {
        Sighting {
            on_stack: (self.inside != Inside::Neither).then(|| "tgt_wait [tgt]".into()),
            ..self.seen.clone()
        }
    }
}
