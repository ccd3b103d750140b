// SPDX-License-Identifier: GPL-2.0-only
//! What one pass of the iterator looks for, and the record that ends it.
//!
//! One request at a time: it lies in maps that the program reads for every task, so it must not change during a pass.

use bytemuck::{Pod, Zeroable};

/// Look for tasks whose patch state is neither idle nor [`ScanRequest::target`].
pub const MODE_PENDING: u32 = 1;
/// Look for tasks with a return address in one of the marked [`Granules`].
pub const MODE_SLEEPING_IN: u32 = 2;

/// First word of a [`ScanTrailer`].
pub const KIND_TRAILER: u32 = u32::from_ne_bytes(*b"last");

/// One pass's question.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ScanRequest {
    /// [`MODE_PENDING`] or [`MODE_SLEEPING_IN`].
    pub mode: u32,
    /// For [`MODE_PENDING`]: the patch state that tasks move to, see `PATCH_STATE_*`.
    pub target: i32,
    /// For [`MODE_PENDING`]: where `klp_rs` publishes the states of tasks; zero for the kernel's own core.
    pub states: u64,
}

/// Kernel text marked by the 16 bytes, modulo 32 MiB: one bit each.
///
/// A filter, not an answer: an address may be marked because of one 32 MiB away (vmlinux and modules are further
/// apart), so user space looks again at what the filter lets pass. In exchange the program tests an address with one
/// load, and the number of functions has no limit.
pub type Granules = [u64; 1 << (GRANULE_BITS - 6)];

/// Bits in [`Granules`]: 16 bytes times 2^21 are the 32 MiB that hold the text of a distribution's vmlinux.
pub const GRANULE_BITS: u32 = 21;
/// Functions start at multiples of 16 (`CONFIG_FUNCTION_ALIGNMENT`).
const GRANULE_SHIFT: u32 = 4;

/// The word and the bit in [`Granules`] that stand for an address.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "masked to the size of the table")]
pub const fn granule(address: u64) -> (usize, u32) {
    let granule = address >> GRANULE_SHIFT;
    (
        (granule >> 6) as usize & ((1 << (GRANULE_BITS - 6)) - 1),
        granule as u32 & 63,
    )
}

/// The first address of the granule after this one's.
pub const fn next_granule(address: u64) -> u64 {
    ((address >> GRANULE_SHIFT) + 1) << GRANULE_SHIFT
}

/// Ends a pass. Without it the pass is incomplete.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Pod, Zeroable)]
pub struct ScanTrailer {
    /// [`KIND_TRAILER`].
    pub kind: u32,
    /// Bytes of this record.
    pub len: u32,
    /// Tasks visited, emitted or not.
    pub visited: u64,
    /// Tasks emitted.
    pub emitted: u64,
    /// `CLOCK_MONOTONIC` nanoseconds at the end of the pass.
    pub time: u64,
}

const _: () = assert!(size_of::<ScanRequest>() == 16);
const _: () = assert!(size_of::<Granules>() == 256 * 1024);
const _: () = assert!(size_of::<ScanTrailer>() == 32);
