// SPDX-License-Identifier: GPL-2.0-only
//! A copy of the model for readers: what the bus serves and `livepatchctl --json` prints. Field names are the contract's.

use serde::{Deserialize, Serialize};

use super::{
    job::Job,
    patch::{Core, Function, PatchName, PatchState},
    task::{Reason, TaskClass},
    time::Moment,
};

/// Everything that can be read over the bus, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Cores that this kernel has now.
    pub cores: Vec<Core>,
    /// The patch in transition.
    pub transition: Option<PatchName>,
    /// A transition was forced since boot.
    pub reboot_advised: bool,
    /// Knowledge that this kernel or our rights do not give, one sentence each.
    pub degraded: Vec<String>,
    /// Every patch, by name.
    pub patches: Vec<PatchView>,
    /// Running jobs and the last finished ones, by number.
    pub jobs: Vec<Job>,
    /// How many tasks each running job's patch has pending, and of how many: `(pending, total)`, in the order of `jobs`.
    pub job_progress: Vec<(u32, u32)>,
    /// Every blocker, by patch, then thread id.
    pub blockers: Vec<BlockerView>,
}

/// A patch as readers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchView {
    /// Its name.
    pub name: String,
    /// Its core.
    pub core: Core,
    /// Its state.
    pub state: PatchState,
    /// Whether it retires all others; false where the kernel does not say.
    pub replace: bool,
    /// Its place in the core's stack, from 1; 0 where the kernel does not say or it is in none.
    pub stack_order: u32,
    /// Pending tasks; 0 outside transitions.
    pub pending: u32,
    /// Tasks that were there when the transition was last looked at; 0 outside transitions.
    pub total: u32,
    /// No task has moved for `stall-after`.
    pub stalled: bool,
    /// Its functions.
    pub functions: Vec<Function>,
    /// Since when it is in its state (`CLOCK_BOOTTIME`); not part of the JSON.
    #[serde(skip)]
    pub since: Moment,
}

/// A blocker as readers see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockerView {
    /// The patch it holds back.
    pub patch: String,
    /// Its process id.
    pub pid: u32,
    /// Its thread id.
    pub tid: u32,
    /// Its name.
    pub comm: String,
    /// What kind of task.
    pub class: TaskClass,
    /// Its state in one word: running, sleeping, uninterruptible, stopped, traced, dead.
    pub state: String,
    /// Why it has not moved.
    pub reason: Reason,
    /// The function that it sleeps in, with its module; empty if none.
    pub function: String,
    /// Its systemd unit or cgroup; empty if unknown.
    pub unit: String,
    /// How often it was nudged; tries that came to nothing do not count.
    pub nudges: u32,
    /// What is being done about it, or why nothing: `nudge due`, `nudged`, `not nudged: a kernel thread`, …
    pub action: String,
    /// Its kernel stack; shown to administrators only.
    pub stack: Vec<String>,
}
