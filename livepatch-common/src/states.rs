// SPDX-License-Identifier: GPL-2.0-only
//! The states of tasks as `klp_rs` publishes them: the twin of `klp-module/ABI/testing/bpf-klp_rs`.
//!
//! The structure lies in the kernel's memory and is only ever copied. A task's state is "as at the beginning" unless its
//! address is in a segment, and there it can be in one block of slots only.

use bytemuck::{Pod, Zeroable};

/// The version that is described here.
pub const VERSION: u32 = 1;
/// Slots in a block.
pub const BLOCK: usize = 64;
/// Room for segments.
pub const SEGMENTS: usize = 8;

/// An array of slots, each the address of a task.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct Segment {
    /// Its address.
    pub slots: u64,
    /// The number of slots less one.
    pub mask: u64,
}

/// The published structure.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct TaskStates {
    /// [`VERSION`].
    pub version: u32,
    /// Its bytes.
    pub size: u32,
    /// Odd while the rest changes; must be the same before and after all that was read.
    pub sequence: u32,
    /// Whether a transition runs.
    pub moving: u32,
    /// The state of tasks in no segment.
    pub began: u32,
    /// Segments in use.
    pub count: u32,
    /// They.
    pub segments: [Segment; SEGMENTS],
}

/// The first slot of the block that a task can be in.
#[inline]
pub const fn block(task: u64, mask: u64) -> u64 {
    ((task >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) & mask & !(BLOCK as u64 - 1)
}

const _: () = assert!(size_of::<TaskStates>() == 24 + 16 * SEGMENTS);
