// SPDX-License-Identifier: GPL-2.0-only
//! One task as the iterator saw it: identity, flags, scheduler state, patch state, kernel stack.
//!
//! Raw numbers only; what they mean for a nudge is decided in the daemon. A bit of [`TaskHead::known`] says that the
//! field was read in the kernel: without it the field is zero and means nothing.

use bytemuck::{Pod, Zeroable};

/// First word of a [`TaskHead`].
pub const KIND_TASK: u32 = u32::from_ne_bytes(*b"task");

/// `TASK_COMM_LEN` (`include/linux/sched.h`).
pub const COMM_LEN: usize = 16;

/// Stack entries kept: as many as the kernel's own core looks at (`kernel/livepatch/transition.c: MAX_STACK_ENTRIES`).
pub const MAX_STACK: usize = 100;

/// Bits of [`TaskHead::known`], one per field that a kernel may lack or a read may miss.
pub mod known {
    /// `tid` and `tgid`.
    pub const IDS: u32 = 1 << 0;
    /// `start_time`.
    pub const START_TIME: u32 = 1 << 1;
    /// `comm`.
    pub const COMM: u32 = 1 << 2;
    /// `flags`.
    pub const FLAGS: u32 = 1 << 3;
    /// `state`.
    pub const STATE: u32 = 1 << 4;
    /// `exit_state`.
    pub const EXIT_STATE: u32 = 1 << 5;
    /// `on_cpu`.
    pub const ON_CPU: u32 = 1 << 6;
    /// `jobctl`.
    pub const JOBCTL: u32 = 1 << 7;
    /// `ptrace`.
    pub const PTRACE: u32 = 1 << 8;
    /// `frozen`.
    pub const FROZEN: u32 = 1 << 9;
    /// `signal_flags`.
    pub const SIGNAL_FLAGS: u32 = 1 << 10;
    /// `uid`.
    pub const UID: u32 = 1 << 11;
    /// `cgroup`.
    pub const CGROUP: u32 = 1 << 12;
    /// `patch_state`.
    pub const PATCH_STATE: u32 = 1 << 13;
}

/// The fixed part of a task's record; `stack_len` stack entries follow it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TaskHead {
    /// [`KIND_TASK`].
    pub kind: u32,
    /// Bytes of this record with its stack.
    pub len: u32,
    /// Which of the fields below were read: [`known`].
    pub known: u32,
    /// Thread id in the initial pid namespace (`task->pid`).
    pub tid: u32,
    /// Process id (`task->tgid`).
    pub tgid: u32,
    /// `task->flags`, see `PF_*`.
    pub flags: u32,
    /// `task->start_boottime`: nanoseconds of `CLOCK_BOOTTIME`. Field 22 of `/proc/TID/stat` is this in clock ticks,
    /// rounded down, in the reader's time namespace (`fs/proc/array.c: do_task_stat`).
    pub start_time: u64,
    /// `task->comm`, NUL-padded.
    pub comm: [u8; COMM_LEN],
    /// `task->__state`.
    pub state: u32,
    /// `task->exit_state`.
    pub exit_state: u32,
    /// `task->on_cpu`: nonzero while a CPU runs it.
    pub on_cpu: u32,
    /// `task->ptrace`: nonzero while somebody traces it.
    pub ptrace: u32,
    /// `task->jobctl`, see `JOBCTL_*`.
    pub jobctl: u64,
    /// `task->frozen`: 1 while cgroup version 2 holds it frozen.
    pub frozen: u32,
    /// `task->signal->flags`, see `SIGNAL_*`.
    pub signal_flags: u32,
    /// `task->real_cred->uid`, in the initial user namespace.
    pub uid: u32,
    /// Its patch state, see `PATCH_STATE_*`.
    pub patch_state: i32,
    /// Id of its cgroup in the default hierarchy (`task->cgroups->dfl_cgrp->kn->id`), the inode number of its
    /// directory.
    pub cgroup: u64,
    /// Stack entries that follow, innermost first; negative: the error number of `bpf_get_task_stack`.
    pub stack_len: i32,
    /// Zero.
    pub reserved: u32,
}

/// A task's record at its full length.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TaskRecord {
    /// The fixed part.
    pub head: TaskHead,
    /// Return addresses, innermost first.
    pub stack: [u64; MAX_STACK],
}

const _: () = assert!(size_of::<TaskHead>() == 104);
const _: () = assert!(size_of::<TaskRecord>() == 104 + 8 * MAX_STACK);
const _: () = assert!(align_of::<TaskRecord>() == 8);
