// SPDX-License-Identifier: GPL-2.0-only
//! A pending task, what was observed of it, and the reason found for it.
//!
//! [`Sighting`] is an observation; [`Blocker`] is what the model makes of all observations of one task.

use livepatch_common::kernel::{PF_IO_WORKER, PF_KTHREAD, PF_USER_WORKER};
use serde::{Deserialize, Serialize};

use super::{patch::PatchName, time::Moment};

/// One thread for its whole life: thread ids are reused, start times are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskKey {
    /// Thread id in the initial pid namespace.
    pub tid: u32,
    /// `task->start_boottime` in clock ticks (`sysconf(_SC_CLK_TCK)`), as in field 22 of `/proc/TID/stat`.
    pub start_ticks: u64,
}

/// What kind of task it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskClass {
    /// A thread of a user process.
    User,
    /// A kernel thread (`PF_KTHREAD`).
    Kthread,
    /// A kernel-made worker of a user process: `io_uring` or vhost (`PF_IO_WORKER`, `PF_USER_WORKER`).
    IoWorker,
    /// PID 1 of the initial namespace.
    Init,
    /// A CPU's idle task.
    Idle,
}

impl TaskClass {
    /// A task's class from its ids and its `PF_*` flags.
    pub fn of(tid: u32, tgid: u32, flags: u32) -> Self {
        if tid == 0 {
            Self::Idle
        } else if tgid == 1 {
            Self::Init
        } else if flags & (PF_IO_WORKER | PF_USER_WORKER) != 0 {
            // before kernel threads: some kernels set both
            Self::IoWorker
        } else if flags & PF_KTHREAD != 0 {
            Self::Kthread
        } else {
            Self::User
        }
    }
}

/// Why a pending task has not moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// Asleep, interruptibly, inside a function that the patch changes.
    SleepingInFunction,
    /// On a CPU or waiting for one.
    Running,
    /// Its stack cannot be walked reliably.
    UnreliableStack,
    /// Asleep where signals do not reach it (state `D`).
    Uninterruptible,
    /// Stopped, or about to stop, by a signal that somebody else sent.
    Stopped,
    /// Traced by a debugger.
    Traced,
    /// In a frozen cgroup, or frozen for suspend.
    Frozen,
    /// Nothing that we can observe explains it.
    Unknown,
}

macro_rules! words {
    ($type:ty { $($variant:ident => $word:literal,)+ }) => {
        impl $type {
            /// The word used on the bus, in JSON and in the journal.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

words!(TaskClass {
    User => "user",
    Kthread => "kthread",
    IoWorker => "io-worker",
    Init => "init",
    Idle => "idle",
});

words!(Reason {
    SleepingInFunction => "sleeping-in-function",
    Running => "running",
    UnreliableStack => "unreliable-stack",
    Uninterruptible => "uninterruptible",
    Stopped => "stopped",
    Traced => "traced",
    Frozen => "frozen",
    Unknown => "unknown",
});

/// The kernel's own word on a task that it could not move (`kernel/livepatch/transition.c: klp_check_and_switch_task`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// `-EBUSY`: it runs on a CPU.
    Running,
    /// `-EINVAL`: its stack is unreliable.
    UnreliableStack,
    /// `-EADDRINUSE`: it sleeps on this function of the patch.
    SleepingOn(String),
}

/// How the scheduler sees a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheduling {
    /// Runnable.
    Running,
    /// Asleep, and signals wake it.
    Interruptible,
    /// Asleep, and no signal (or only a fatal one) wakes it.
    Uninterruptible,
    /// Stopped by a signal.
    Stopped,
    /// Stopped by its tracer.
    TracedStop,
    /// Gone or going.
    Dead,
}

/// One observation of one pending task.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent flags of the kernel, not a state machine"
)]
pub struct Sighting {
    /// Which task.
    pub key: TaskKey,
    /// Its process (thread group) id.
    pub tgid: u32,
    /// Its name, as the kernel shows it.
    pub comm: String,
    /// What kind of task.
    pub class: TaskClass,
    /// How the scheduler sees it.
    pub scheduling: Scheduling,
    /// A group stop is in force or on its way (`JOBCTL_STOP_PENDING`, `SIGNAL_STOP_STOPPED`).
    pub stop_pending: bool,
    /// Somebody traces it (`task->ptrace`), stopped or not.
    pub traced: bool,
    /// Its cgroup is frozen or freezing, or it is frozen for suspend.
    pub frozen: bool,
    /// It belongs to this daemon's own process.
    pub own: bool,
    /// User id it runs as; `None` if unknown.
    pub uid: Option<u32>,
    /// systemd unit (or cgroup path where there is no unit); empty if unknown.
    pub unit: String,
    /// The first function of the patch found on its stack, with its module: `tgt_wait [tgt]`; `None` if none was found
    /// or no stack was to be had.
    pub on_stack: Option<String>,
    /// The stack, innermost first, as `symbol+0xoff [module]`; empty if it was not asked for or not to be had.
    pub stack: Vec<String>,
}

/// A pending task with the reason found for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blocker {
    /// The patch whose transition it holds back.
    pub patch: PatchName,
    /// The last observation.
    pub sighting: Sighting,
    /// The kernel's own verdict of its last round, where it can be had.
    pub verdict: Option<Verdict>,
    /// The reason, derived from the two above.
    pub reason: Reason,
    /// The function that it sleeps in, with its module; empty if none.
    pub function: String,
    /// When this transition first saw it pending.
    pub first_seen: Moment,
    /// What was done about it in this transition.
    pub nudges: Nudges,
}

/// Nudges of one task. Those that came to nothing count for how soon and how often to try, and for nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nudges {
    /// How often it was tried.
    pub tried: u32,
    /// How often both signals went out.
    pub sent: u32,
    /// When it was last tried.
    pub last: Option<Moment>,
}

impl Nudges {
    /// One more.
    #[must_use]
    pub(super) fn and(self, now: Moment, sent: bool) -> Self {
        Self {
            tried: self.tried + 1,
            sent: self.sent + u32::from(sent),
            last: Some(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_comes_from_ids_and_flags() {
        for (tid, tgid, flags, expected) in [
            (0, 0, PF_KTHREAD, TaskClass::Idle),
            (1, 1, 0, TaskClass::Init),
            (77, 1, 0, TaskClass::Init),
            (2, 2, PF_KTHREAD, TaskClass::Kthread),
            (99, 90, PF_IO_WORKER, TaskClass::IoWorker),
            (99, 90, PF_USER_WORKER, TaskClass::IoWorker),
            (99, 90, PF_USER_WORKER | PF_KTHREAD, TaskClass::IoWorker),
            // as /proc shows them of a kthread, an io_uring worker and a user's thread
            (2, 2, 0x0020_8040, TaskClass::Kthread),
            (99, 90, 0x0040_0010, TaskClass::IoWorker),
            (99, 90, 0x0040_0040, TaskClass::User),
        ] {
            assert_eq!(TaskClass::of(tid, tgid, flags), expected, "{tid} {tgid} {flags:#x}");
        }
    }
}

/// What came of a nudge that an earlier daemon had begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// The task is not stopped, or somebody else stopped it.
    NothingOfOurs,
    /// It was stopped by us, and was continued.
    Continued,
    /// The task is gone.
    Gone,
    /// It may be stopped by us, and the system refused what it takes to continue it: why.
    CouldNotContinue(String),
}
