// SPDX-License-Identifier: GPL-2.0-only
//! The patch state of a task as `klp_rs` publishes it (`klp-module/ABI/testing/bpf-klp_rs`).
//!
//! Copies only, each of which may fail. The state is known only if the sequence was the same even number before and after:
//! arrays of slots are replaced and freed while we look. No branch per slot: the verifier has one path through a block.

use aya_ebpf::{helpers::generated::bpf_probe_read_kernel, macros::map, maps::PerCpuArray};
use livepatch_common::{
    kernel::{PATCH_STATE_IDLE, PATCH_STATE_PATCHED, PATCH_STATE_UNPATCHED},
    states::{BLOCK, SEGMENTS, TaskStates, VERSION, block},
    task::known,
};

use crate::task_fields::Task;

/// The task's address and what was copied; larger than a program's stack.
#[repr(C)]
struct Copies {
    key: u64,
    states: TaskStates,
    block: [u64; BLOCK],
}

#[map]
static COPIES: PerCpuArray<Copies> = PerCpuArray::with_max_entries(1, 0);

/// Where the sequence is in the structure.
const SEQUENCE: u64 = core::mem::offset_of!(TaskStates, sequence) as u64;

/// The state of a task and its bit of the `known` mask; zero and zero if it cannot be known.
#[inline(always)]
pub(crate) fn of(task: Task, address: u64) -> (i32, u32) {
    const UNKNOWN: (i32, u32) = (0, 0);
    let Some(copies) = COPIES.get_ptr_mut(0) else {
        return UNKNOWN;
    };
    // SAFETY: fields of this CPU's slot of the map
    let (states, slots) = unsafe { (&raw mut (*copies).states, &raw mut (*copies).block) };
    // SAFETY: the copies are as large as what is copied to them
    unsafe {
        if !copy(states, address) || (*states).version != VERSION || (*states).sequence & 1 != 0 {
            return UNKNOWN;
        }
        if (*states).moving == 0 {
            return (PATCH_STATE_IDLE, known::PATCH_STATE);
        }
        // the verifier lets nobody compute with a pointer, but what is read from a map is a number
        let key = &raw mut (*copies).key;
        key.write_volatile(task.address() as u64);
        let key = key.read_volatile();
        let mut member = false;
        for index in 0..SEGMENTS {
            if index >= (*states).count as usize {
                break;
            }
            let segment = (*states).segments[index];
            if !copy(slots, segment.slots.wrapping_add(8 * block(key, segment.mask))) {
                return UNKNOWN;
            }
            member |= contains(slots, key);
        }
        let mut sequence = 0_u32;
        if !copy(&raw mut sequence, address.wrapping_add(SEQUENCE)) || sequence != (*states).sequence {
            return UNKNOWN;
        }
        let patched = member != ((*states).began != 0);
        let state = if patched {
            PATCH_STATE_PATCHED
        } else {
            PATCH_STATE_UNPATCHED
        };
        (state, known::PATCH_STATE)
    }
}

/// Copies a `T` from the kernel's memory; says whether it could be read.
///
/// # Safety
///
/// `to` must be valid for writes.
#[inline(always)]
unsafe fn copy<T>(to: *mut T, from: u64) -> bool {
    // SAFETY: the caller's promise; the helper takes any `from`
    unsafe { bpf_probe_read_kernel(to.cast(), size_of::<T>() as u32, from as *const _) == 0 }
}

/// Whether one of the slots is `key`.
///
/// # Safety
///
/// `slots` must be valid.
#[inline(always)]
unsafe fn contains(slots: *const [u64; BLOCK], key: u64) -> bool {
    let mut missed = u64::MAX;
    for index in 0..BLOCK {
        // SAFETY: the index is within the block; volatile, so that the loop stays one of loads and not of comparisons that
        // jump
        let difference = unsafe { slots.cast::<u64>().add(index).read_volatile() } ^ key;
        // the highest bit is set where a difference is not zero
        missed &= difference | difference.wrapping_neg();
    }
    missed >> 63 == 0
}
