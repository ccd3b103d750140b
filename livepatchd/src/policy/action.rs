// SPDX-License-Identifier: GPL-2.0-only
//! What is to be done, as plain data. `act` carries out each; nothing else touches the system.

use crate::model::{
    job::JobId,
    patch::{Core, Direction, Function, PatchName},
    task::TaskKey,
};

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Read a core's sysfs directory (answered by `Fact::Listing`).
    List(Core),
    /// Find the tasks that have not reached the target (answered by `Fact::Scan`).
    Scan {
        /// The core.
        core: Core,
        /// The patch in transition.
        patch: PatchName,
        /// Where its tasks go.
        direction: Direction,
        /// Its functions, to be looked for on stacks.
        functions: Vec<Function>,
        /// Patches whose functions it replaces once more.
        below: Vec<PatchName>,
        /// No others can be pending; `None`: all tasks are to be looked at.
        among: Option<Vec<TaskKey>>,
    },
    /// Load the module that the daemon keeps for this job.
    Load(JobId),
    /// Write `enabled`.
    Switch {
        /// The core.
        core: Core,
        /// The patch.
        patch: PatchName,
        /// The value, as the direction it starts.
        direction: Direction,
    },
    /// Write `force`.
    Force {
        /// The core.
        core: Core,
        /// The patch.
        patch: PatchName,
    },
    /// Unload a module.
    Unload {
        /// The module.
        patch: PatchName,
    },
    /// SIGSTOP and SIGCONT to one thread, if it is still pending.
    Nudge {
        /// The core.
        core: Core,
        /// Where the transition goes.
        direction: Direction,
        /// The patch.
        patch: PatchName,
        /// The thread.
        key: TaskKey,
        /// Its process.
        tgid: u32,
        /// Its name, for the record.
        comm: String,
    },
}
