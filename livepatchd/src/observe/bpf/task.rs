// SPDX-License-Identifier: GPL-2.0-only
//! One task of a pass, in the model's words.
//!
//! What the kernel's bits mean; not what to do about them. What was not recorded is never taken for "no" where a nudge
//! depends on it: a task whose stop or trace flags are unknown counts as stopped or traced.

use livepatch_common::{
    kernel::{
        JOBCTL_STOP_PENDING, JOBCTL_STOPPED, JOBCTL_TRACED, JOBCTL_TRAP_FREEZE, JOBCTL_TRAP_STOP, SIGNAL_STOP_STOPPED,
        TASK_DEAD, TASK_FROZEN, TASK_INTERRUPTIBLE, TASK_NEW, TASK_PARKED, TASK_STOPPED, TASK_TRACED,
        TASK_UNINTERRUPTIBLE,
    },
    task::{TaskHead, known},
};

use crate::model::task::{Scheduling, TaskClass, TaskKey};

/// Nanoseconds per clock tick of `/proc`: `USER_HZ` is 100 on every architecture with live patching
/// (`include/asm-generic/param.h`, `kernel/time/time.c: nsec_to_clock_t`).
const TICK_NS: u64 = 10_000_000;

/// One task of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    head: TaskHead,
    stack: Result<Box<[u64]>, i32>,
}

impl Task {
    /// Takes a record apart into its fixed part and its stack, or the error number in place of the stack.
    pub fn new(head: TaskHead, stack: Result<Box<[u64]>, i32>) -> Self {
        Self { head, stack }
    }

    /// Which task; start time in clock ticks, as in field 22 of `/proc/TID/stat` (`fs/proc/array.c: do_task_stat`) for
    /// readers in the initial time namespace.
    pub fn key(&self) -> TaskKey {
        key(self.head.tid, self.head.start_time)
    }

    /// Its process.
    pub fn tgid(&self) -> u32 {
        self.head.tgid
    }

    /// Its name.
    pub fn comm(&self) -> String {
        text(&self.head.comm)
    }

    /// What kind of task.
    pub fn class(&self) -> TaskClass {
        TaskClass::of(self.head.tid, self.head.tgid, self.head.flags)
    }

    /// How the scheduler sees it.
    pub fn scheduling(&self) -> Scheduling {
        let TaskHead {
            state,
            exit_state,
            on_cpu,
            ..
        } = self.head;
        if exit_state != 0 || state & TASK_DEAD != 0 {
            Scheduling::Dead
        } else if on_cpu != 0 {
            Scheduling::Running
        } else if state & TASK_STOPPED != 0 {
            Scheduling::Stopped
        } else if state & TASK_TRACED != 0 {
            Scheduling::TracedStop
        } else if state & TASK_INTERRUPTIBLE != 0 {
            Scheduling::Interruptible
        } else if state & (TASK_UNINTERRUPTIBLE | TASK_PARKED | TASK_FROZEN | TASK_NEW) != 0 {
            Scheduling::Uninterruptible
        } else {
            Scheduling::Running
        }
    }

    /// A group stop is in force or on its way.
    pub fn stop_pending(&self) -> bool {
        !self.knows(known::JOBCTL | known::SIGNAL_FLAGS)
            || self.head.jobctl & (JOBCTL_STOP_PENDING | JOBCTL_STOPPED) != 0
            || self.head.signal_flags & SIGNAL_STOP_STOPPED != 0
    }

    /// Somebody traces it, stopped or not.
    pub fn traced(&self) -> bool {
        !self.knows(known::PTRACE)
            || self.head.ptrace != 0
            || self.head.jobctl & (JOBCTL_TRACED | JOBCTL_TRAP_STOP) != 0
    }

    /// Its cgroup is frozen or freezing, or it is frozen for suspend.
    pub fn frozen(&self) -> bool {
        self.head.frozen != 0 || self.head.jobctl & JOBCTL_TRAP_FREEZE != 0 || self.head.state & TASK_FROZEN != 0
    }

    /// Its user id in the initial user namespace, if the kernel told it.
    pub fn uid(&self) -> Option<u32> {
        self.knows(known::UID).then_some(self.head.uid)
    }

    /// The id of its cgroup in the version 2 hierarchy (the inode number of its directory), if the kernel told it.
    pub fn cgroup(&self) -> Option<u64> {
        self.knows(known::CGROUP).then_some(self.head.cgroup)
    }

    /// Return addresses on its kernel stack, innermost first. Empty for a task on a CPU; the error number of
    /// `bpf_get_task_stack` if there is none to be had.
    pub fn stack(&self) -> Result<&[u64], i32> {
        self.stack.as_deref().map_err(|errno| *errno)
    }

    /// The record as it came from the kernel.
    pub fn head(&self) -> &TaskHead {
        &self.head
    }

    fn knows(&self, bits: u32) -> bool {
        self.head.known & bits == bits
    }
}

/// A task's key from what records say of it.
pub(super) fn key(tid: u32, start_time: u64) -> TaskKey {
    TaskKey {
        tid,
        start_ticks: start_time / TICK_NS,
    }
}

/// NUL-terminated text of the kernel; what is not UTF-8 is replaced.
pub(super) fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests;
