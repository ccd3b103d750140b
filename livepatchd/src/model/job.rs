// SPDX-License-Identifier: GPL-2.0-only
//! A job: one long operation that somebody asked for, from the request to its result.

use serde::{Deserialize, Serialize};

use super::{
    patch::{Core, Direction, PatchName},
    refusal::Refusal,
    time::{Millis, Moment},
};

/// A job's number, counted from 1 since boot: a daemon goes on where the one before it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(pub u32);

/// What a job does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobKind {
    /// Load a module and see its patch enabled.
    Apply,
    /// Disable a patch and unload its module.
    Revert,
    /// Reverse a running transition.
    Cancel,
    /// End a running transition by force.
    Force,
}

impl JobKind {
    /// The word used on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Apply => "apply",
            Self::Revert => "revert",
            Self::Cancel => "cancel",
            Self::Force => "force",
        }
    }
}

/// What happens when a transition is not over at its deadline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnTimeout {
    /// Reverse it: the system is as before.
    #[default]
    Reverse,
    /// Leave it running.
    Keep,
    /// Force it.
    Force,
}

impl OnTimeout {
    /// The value of this word, if it is one.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "reverse" => Some(Self::Reverse),
            "keep" => Some(Self::Keep),
            "force" => Some(Self::Force),
            _ => None,
        }
    }
}

/// How a job is to be run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobOptions {
    /// Time for the transition, from the moment the job starts.
    pub timeout: Millis,
    /// What then.
    pub on_timeout: OnTimeout,
    /// Whether blockers are nudged, as far as the caller is asked.
    pub nudge: bool,
}

/// What a job is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobPhase {
    /// The kernel is loading the module.
    Loading,
    /// Tasks move towards what was asked for.
    Transition,
    /// Tasks move back: cancelled, or past the deadline.
    Reversing,
    /// The module is being unloaded.
    Unloading,
    /// It is over.
    Ended,
}

impl JobPhase {
    /// The word used on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Loading => "loading",
            Self::Transition => "transition",
            Self::Reversing => "reversing",
            Self::Unloading => "unloading",
            Self::Ended => "ended",
        }
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum JobResult {
    /// As asked.
    Done,
    /// Reversed on request.
    Cancelled,
    /// Not over at its deadline.
    Timeout,
    /// The kernel or the system refused.
    Failed,
}

impl JobResult {
    /// The word used on the bus.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Cancelled => "cancelled",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
        }
    }
}

/// One job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Its number.
    pub id: JobId,
    /// What it does.
    pub kind: JobKind,
    /// The patch.
    pub patch: PatchName,
    /// The core that holds the patch, or will.
    pub core: Core,
    /// How it is to be run.
    pub options: JobOptions,
    /// When it started.
    pub started: Moment,
    /// When the present phase must be over.
    pub deadline: Moment,
    /// What it is doing.
    pub phase: JobPhase,
    /// Where it works to in this phase.
    pub target: Direction,
    /// Whether the transition towards `target` was begun, by loading the module or by a write that the kernel took.
    pub begun: bool,
    /// Since when it asks for force, if it does.
    pub force: Option<Moment>,
    /// How many writes the kernel refused in this phase.
    pub refused_writes: u32,
    /// The result it will end with once the reversal (or the unloading) is over; `None` while all goes as asked.
    pub verdict: Option<JobResult>,
    /// How it ended; `Some` exactly in [`JobPhase::Ended`].
    pub result: Option<JobResult>,
    /// Why it did not end as asked.
    pub error: Option<Refusal>,
}
