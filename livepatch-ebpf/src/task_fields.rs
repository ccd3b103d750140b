// SPDX-License-Identifier: GPL-2.0-only
//! Reads the fields of a task into a record.
//!
//! Every read but that of the patch state goes through `bpf_probe_read_kernel`, which fails on a bad address and then
//! leaves zeros: a task may exit between two reads. No branches: a read answers with its bit of the `known` mask or with
//! zero, and a null pointer is just an address that cannot be read, so the verifier has one path to follow, not one per
//! field and outcome.

use aya_ebpf::{cty::c_void, helpers::generated::bpf_probe_read_kernel};
use livepatch_common::{
    offset::Offset,
    task::{TaskHead, known},
};

use crate::offsets;

/// A `struct task_struct` that the kernel handed to the program, not null.
#[derive(Clone, Copy)]
pub(crate) struct Task(*const u8);

impl Task {
    /// Takes the pointer from the program's context; `None` if it is null.
    #[inline(always)]
    pub(crate) fn new(pointer: *const c_void) -> Option<Self> {
        (!pointer.is_null()).then_some(Self(pointer.cast()))
    }

    /// Its address.
    #[inline(always)]
    pub(crate) fn address(self) -> *const u8 {
        self.0
    }
}

/// Reads a field of the structure at `base` to where it is wanted; returns `bit`, or zero if it cannot be had. A field
/// that is narrower than `T` in this kernel fills its first, low bytes.
///
/// # Safety
///
/// `to` must be valid for writes and zeroed.
#[inline(always)]
pub(crate) unsafe fn read<T>(to: *mut T, base: *const u8, field: Offset, bit: u32) -> u32 {
    let Some((offset, size)) = offsets::of(field) else {
        return 0;
    };
    if size as usize > size_of::<T>() {
        return 0;
    }
    let from = base.wrapping_add(offset);
    // SAFETY: `to` is valid for a `T` by the caller's promise, and the helper takes any `from`
    let result = unsafe { bpf_probe_read_kernel(to.cast(), size, from.cast()) };
    // zero or a negative error number: the sign tells, without a branch
    bit & !((result >> 63) as u32)
}

/// Follows a pointer field; null if it cannot be read.
#[inline(always)]
fn follow(base: *const u8, field: Offset) -> *const u8 {
    let mut address = 0_u64;
    // SAFETY: a local variable
    unsafe { read(&raw mut address, base, field, 0) };
    address as *const u8
}

/// Reads who a task is; returns what of it is known.
///
/// # Safety
///
/// The pointers must be valid for writes and zeroed.
#[inline(always)]
pub(crate) unsafe fn identity(
    task: Task,
    tid: *mut u32,
    tgid: *mut u32,
    start_time: *mut u64,
    comm: *mut [u8; 16],
) -> u32 {
    let base = task.address();
    // SAFETY: the caller's promise
    unsafe {
        read(tid, base, Offset::TaskPid, known::IDS) & read(tgid, base, Offset::TaskTgid, known::IDS)
            | read(start_time, base, Offset::TaskStartBoottime, known::START_TIME)
            | read(comm, base, Offset::TaskComm, known::COMM)
    }
}

/// Reads how a task is: everything of `head` but its identity, patch state and stack; returns what of it is known.
///
/// # Safety
///
/// `head` must be valid for writes and zeroed.
#[inline(always)]
pub(crate) unsafe fn condition(task: Task, head: *mut TaskHead) -> u32 {
    let base = task.address();
    // null once the task is reaped (kernel/exit.c: __exit_signal)
    let signal = follow(base, Offset::TaskSignal);
    let cred = follow(base, Offset::TaskRealCred);
    let cgroup = follow(follow(base, Offset::TaskCgroups), Offset::CssSetDflCgrp);
    let node = follow(cgroup, Offset::CgroupKn);
    // SAFETY: fields of a valid head
    unsafe {
        read(&raw mut (*head).flags, base, Offset::TaskFlags, known::FLAGS)
            | read(&raw mut (*head).state, base, Offset::TaskState, known::STATE)
            | read(
                &raw mut (*head).exit_state,
                base,
                Offset::TaskExitState,
                known::EXIT_STATE,
            )
            | read(&raw mut (*head).on_cpu, base, Offset::TaskOnCpu, known::ON_CPU)
            | read(&raw mut (*head).jobctl, base, Offset::TaskJobctl, known::JOBCTL)
            | read(&raw mut (*head).ptrace, base, Offset::TaskPtrace, known::PTRACE)
            | read(
                &raw mut (*head).signal_flags,
                signal,
                Offset::SignalFlags,
                known::SIGNAL_FLAGS,
            )
            | read(&raw mut (*head).uid, cred, Offset::CredUid, known::UID)
            | read(&raw mut (*head).cgroup, node, Offset::KernfsNodeId, known::CGROUP)
            | frozen(base, &raw mut (*head).frozen)
    }
}

/// Reads `task->frozen`, a bit field of one bit.
///
/// # Safety
///
/// `to` must be valid for writes.
#[inline(always)]
unsafe fn frozen(base: *const u8, to: *mut u32) -> u32 {
    let Some((bit, _)) = offsets::of(Offset::TaskFrozenBit) else {
        return 0;
    };
    let mut byte = 0_u8;
    // SAFETY: a local variable, and the caller's promise
    unsafe {
        let known = read(&raw mut byte, base, Offset::TaskFrozen, known::FROZEN);
        *to = u32::from(byte) >> (bit & 7) & 1;
        known
    }
}
