// SPDX-License-Identifier: GPL-2.0-only
//! The numbers and exclusions that policy decides by: the configuration file's content as the pure middle sees it.

use crate::model::{job::OnTimeout, time::Millis};

/// Everything configurable that decisions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Time for a transition that a job asked for.
    pub timeout: Millis,
    /// What happens then; never force, which is asked for job by job.
    pub on_timeout: OnTimeout,
    /// Whether blockers are nudged at all.
    pub nudge: bool,
    /// From the moment a task is seen pending to its first nudge.
    pub nudge_after: Millis,
    /// From one nudge of a task to its next.
    pub nudge_every: Millis,
    /// Nudges per task and transition.
    pub nudge_limit: u32,
    /// A transition in which no task moved for so long is stalled.
    pub stall_after: Millis,
    /// Tasks that are never nudged.
    pub exclude: Exclusions,
}

/// Tasks that are never nudged. A name matches whole, or up to a final `*`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exclusions {
    /// systemd units.
    pub units: Vec<String>,
    /// User ids.
    pub uids: Vec<u32>,
    /// Task names (`comm`).
    pub comms: Vec<String>,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            timeout: Millis(75_000),
            on_timeout: OnTimeout::Reverse,
            nudge: true,
            nudge_after: Millis(250),
            nudge_every: Millis(2_000),
            nudge_limit: 5,
            // three rounds of the kernel's own core, which tries once a second
            stall_after: Millis(3_000),
            exclude: Exclusions::default(),
        }
    }
}
