// SPDX-License-Identifier: GPL-2.0-only
//! What changed in the model: the only thing that the bus and the journal publish.

use super::{
    job::{Job, JobId},
    patch::{Core, Direction, PatchName, PatchState},
    refusal::Refusal,
    task::{Blocker, TaskKey},
    time::Millis,
};

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A patch that was not known is there.
    PatchAppeared(PatchName),
    /// A property of a patch has a new value (state, stack order, pending, stalled, …).
    PatchChanged(PatchName),
    /// A patch is gone.
    PatchGone(PatchName),
    /// A patch went from one state to another: a line for the journal.
    StateChanged {
        /// The patch.
        patch: PatchName,
        /// Its core.
        core: Core,
        /// Before; `None` for one that just appeared.
        from: Option<PatchState>,
        /// Now.
        to: PatchState,
        /// How long the state before lasted.
        after: Millis,
        /// Whether a job of ours asked for it; otherwise somebody else did it.
        ours: bool,
    },
    /// A transition started, or one that was running when we came was adopted.
    TransitionStarted {
        /// The patch.
        patch: PatchName,
        /// Its core.
        core: Core,
        /// Where to.
        direction: Direction,
    },
    /// A task holds the transition back, with a reason that was not known before.
    BlockerFound(Box<Blocker>),
    /// A task that was a blocker has moved (or is gone).
    BlockerMoved {
        /// The patch.
        patch: PatchName,
        /// The task.
        key: TaskKey,
        /// Its name.
        comm: String,
        /// How long it held the transition back.
        after: Millis,
        /// How often it was nudged; tries that came to nothing do not count.
        nudges: u32,
    },
    /// A blocker was nudged, or could not be.
    Nudged {
        /// The blocker.
        blocker: Box<Blocker>,
        /// Why not, if not.
        result: Result<(), String>,
    },
    /// No task moved for `stall-after`.
    Stalled {
        /// The patch.
        patch: PatchName,
        /// How many are pending.
        pending: u32,
    },
    /// A job started.
    JobStarted(JobId),
    /// A property of a job has a new value.
    JobChanged(JobId),
    /// A job ended.
    JobEnded(Box<Job>),
    /// A finished job is no longer kept.
    JobForgotten(JobId),
    /// A module was unloaded because its patch is no longer in use.
    ModuleUnloaded(PatchName),
    /// A module could not be unloaded.
    ModuleStays {
        /// The module.
        patch: PatchName,
        /// Why.
        why: Refusal,
    },
    /// Something the daemon wrote to a core was not taken.
    ActionFailed {
        /// The patch.
        patch: PatchName,
        /// Why.
        why: Refusal,
    },
    /// The list of what this kernel does not tell changed.
    DegradedChanged,
    /// A transition was forced: from now on a reboot is advised.
    RebootAdvised,
    /// A core appeared or went away.
    CoresChanged,
}
