// SPDX-License-Identifier: GPL-2.0-only
//! What `observe` and `act` tell the model. A fact is never a wish: it has happened or it was seen.

use super::{
    job::JobId,
    patch::{Core, Direction, PatchListing, PatchName},
    refusal::Refusal,
    task::{Sighting, TaskKey, Verdict},
};

/// Something observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// All patches of one core, read in one go. Every `Action::List` is answered by this or, where the core is not
    /// there, by [`Fact::CoreGone`].
    Listing {
        /// The core.
        core: Core,
        /// Its patches; those it no longer lists but whose modules are still loaded come with `listed: None`.
        patches: Vec<PatchListing>,
    },
    /// A core went away (its module was unloaded) or is not in this kernel.
    CoreGone(Core),
    /// Something about a core's patches may have changed (a kernel log line, a uevent): it is worth another look.
    Stirred(Core),
    /// A core's transition did something.
    Transition {
        /// The core.
        core: Core,
        /// What it did.
        event: TransitionEvent,
    },
    /// The kernel's verdict on a task in its current round.
    Verdict {
        /// The core.
        core: Core,
        /// The task. Idle tasks all have tid 0; their CPU's number stands for the start time.
        key: TaskKey,
        /// Its name.
        comm: String,
        /// The verdict.
        verdict: Verdict,
    },
    /// Some of what the cores' transitions did was not heard.
    EventsLost,
    /// Which tasks are pending. Every `Action::Scan` is answered by one.
    Scan {
        /// The core whose transition it looked at.
        core: Core,
        /// The patch in transition, as the action that asked for the pass named it.
        patch: PatchName,
        /// Where its tasks were to go: a pass that was asked for before a reversal says nothing about the time after it.
        direction: Direction,
        /// Every pending task that the pass could see.
        pending: Vec<Sighting>,
        /// Tasks there are in all.
        total: u32,
    },
    /// What became of an action.
    Outcome(Outcome),
    /// Knowledge this kernel or these rights do not give, each as a sentence for administrators. Replaces what was said before.
    Degraded(Vec<String>),
}

/// What a core's transition did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransitionEvent {
    /// It started, or was reversed, in this direction. sysfs has the patch.
    Started,
    /// The core tried every pending task once.
    RoundEnded,
    /// It was reversed.
    Reversed,
    /// It was forced.
    Forced,
    /// It ended.
    Completed,
}

/// What became of an action that policy decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// `Action::Load`.
    Loaded {
        /// The job that asked.
        job: JobId,
        /// Whether the module is in.
        result: Result<(), Refusal>,
    },
    /// `Action::Switch`.
    Switched {
        /// The core.
        core: Core,
        /// The patch.
        patch: PatchName,
        /// The direction written.
        direction: Direction,
        /// Whether the kernel took it.
        result: Result<(), Refusal>,
    },
    /// `Action::Force`.
    Forced {
        /// The core.
        core: Core,
        /// The patch.
        patch: PatchName,
        /// Whether the kernel took it.
        result: Result<(), Refusal>,
    },
    /// `Action::Unload`.
    Unloaded {
        /// The module.
        patch: PatchName,
        /// `Ok(true)`: gone. `Ok(false)`: still in use, try again later.
        result: Result<bool, Refusal>,
    },
    /// `Action::Nudge`.
    Nudged {
        /// The patch.
        patch: PatchName,
        /// The task.
        key: TaskKey,
        /// Whether both signals went out; the message says why not.
        result: Result<(), String>,
    },
}
