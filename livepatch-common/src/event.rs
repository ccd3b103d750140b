// SPDX-License-Identifier: GPL-2.0-only
//! What the programs at functions and tracepoints report through the ring buffer.
//!
//! Two records: a transition did something, or its core judged a task. Both carry the time at which it happened.
//! Records that did not fit are counted per CPU in a map beside the ring buffer.

use bytemuck::{Pod, Zeroable};

use crate::task::COMM_LEN;

/// Bytes of the ring buffer: 4,000 verdicts. The daemon maps it, so it counts (twice: the mapping repeats) in its RSS.
pub const RING_BYTES: u32 = 512 * 1024;
/// The end of the ring buffer that verdicts leave free, so that a flood of them never hides the end of the round.
pub const RING_RESERVE: u32 = 8 * 1024;
/// What is left free by verdicts of a thread on itself: the scheduler asks for them whenever the thread goes to sleep,
/// so that a busy one could fill the buffer before the next round judges the others.
pub const RING_RESERVE_FROM_SELF: u32 = RING_BYTES / 4 * 3;

// 1 to 5 are also the numbers of the tracepoint `klp_rs_transition` (`klp-module/ABI/testing/tracepoints-klp_rs`).

/// [`TransitionRecord::kind`]: about to start (entry of `kernel/livepatch/transition.c: klp_start_transition`). A
/// reversal starts again, but the compiler may have given it its own copy of that function: then only [`KIND_REVERSED`]
/// tells of it.
pub const KIND_STARTED: u32 = 1;
/// Every pending task was tried once (exit of `klp_try_complete_transition`, or in its midst: see
/// `livepatch-ebpf/src/round_ends.rs`).
pub const KIND_ROUND_ENDED: u32 = 2;
/// The transition is over (exit of `klp_complete_transition`); its last round's end comes before or after it.
pub const KIND_COMPLETED: u32 = 3;
/// The direction changed (exit of `klp_reverse_transition`); a [`KIND_STARTED`] may come before it.
pub const KIND_REVERSED: u32 = 4;
/// All tasks were moved by force (exit of `klp_force_transition`).
pub const KIND_FORCED: u32 = 5;
/// First word of a [`VerdictRecord`].
pub const KIND_VERDICT: u32 = 6;

/// The kernel's own core.
pub const CORE_KERNEL: u32 = 0;
/// `klp_rs`.
pub const CORE_KLP_RS: u32 = 1;

/// Room for a function's name with its NUL; longer ones are cut.
pub const FUNCTION_LEN: usize = 64;

/// A transition did something.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TransitionRecord {
    /// One of `KIND_STARTED` to `KIND_FORCED`.
    pub kind: u32,
    /// Whose transition: `CORE_*`.
    pub core: u32,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
}

/// A core could not move a task (exit of `kernel/livepatch/transition.c: klp_check_and_switch_task`, or the tracepoint
/// `klp_rs_verdict`).
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct VerdictRecord {
    /// [`KIND_VERDICT`].
    pub kind: u32,
    /// See `VERDICT_*`.
    pub verdict: i32,
    /// `CLOCK_MONOTONIC` nanoseconds.
    pub time: u64,
    /// As in a task record.
    pub start_time: u64,
    /// As in a task record; zero for idle tasks.
    pub tid: u32,
    /// As in a task record.
    pub tgid: u32,
    /// As in a task record.
    pub flags: u32,
    /// Which of the task's fields were read: bits of `task::known`.
    pub known: u32,
    /// Whose verdict: `CORE_*`.
    pub core: u32,
    /// Zero.
    pub reserved: u32,
    /// As in a task record.
    pub comm: [u8; COMM_LEN],
    /// The function that the task sleeps in, NUL-terminated; empty for other verdicts.
    pub function: [u8; FUNCTION_LEN],
}

const _: () = assert!(RING_BYTES.is_power_of_two());
const _: () = assert!(size_of::<TransitionRecord>() == 16);
const _: () = assert!(size_of::<VerdictRecord>() == 128);
