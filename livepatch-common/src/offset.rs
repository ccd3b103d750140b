// SPDX-License-Identifier: GPL-2.0-only
//! Where the running kernel keeps what the programs read: a table of offsets and sizes, filled from BTF in user space.
//!
//! The table is read-only data of the loaded programs, so that the verifier sees constants and drops the branches of
//! what a kernel lacks. [`UNKNOWN`] is not zero: a field at offset zero is known.

/// An offset that this kernel's BTF does not name.
pub const UNKNOWN: u32 = u32::MAX;

/// The table as user space hands it over. For each [`Offset`] two words: bytes from the start of the structure, then
/// how many bytes to read (`task->on_cpu` has four in 6.18 and one in 7.2).
pub type Table = [u32; 2 * Offset::COUNT];

/// The table of a kernel of which nothing is known.
pub const NOTHING_KNOWN: Table = [UNKNOWN; 2 * Offset::COUNT];

/// A field, by its place in the [`Table`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Offset {
    /// `task_struct.pid`
    TaskPid,
    /// `task_struct.tgid`
    TaskTgid,
    /// `task_struct.start_boottime`
    TaskStartBoottime,
    /// `task_struct.comm`
    TaskComm,
    /// `task_struct.flags`
    TaskFlags,
    /// `task_struct.__state`
    TaskState,
    /// `task_struct.exit_state`
    TaskExitState,
    /// `task_struct.on_cpu`
    TaskOnCpu,
    /// `task_struct.jobctl`
    TaskJobctl,
    /// `task_struct.ptrace`
    TaskPtrace,
    /// The byte of `task_struct.frozen`, a bit field
    TaskFrozen,
    /// The number of the bit of `task_struct.frozen` in that byte
    TaskFrozenBit,
    /// `task_struct.patch_state`
    TaskPatchState,
    /// `task_struct.signal`
    TaskSignal,
    /// `signal_struct.flags`
    SignalFlags,
    /// `task_struct.real_cred`
    TaskRealCred,
    /// `cred.uid`
    CredUid,
    /// `task_struct.cgroups`
    TaskCgroups,
    /// `css_set.dfl_cgrp`
    CssSetDflCgrp,
    /// `cgroup.kn`
    CgroupKn,
    /// `kernfs_node.id`
    KernfsNodeId,
}

impl Offset {
    /// How many there are.
    pub const COUNT: usize = Self::KernfsNodeId as usize + 1;
}
