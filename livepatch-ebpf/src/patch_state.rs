// SPDX-License-Identifier: GPL-2.0-only
//! Where the patch state of a task comes from: for the kernel's own core `task->patch_state`, for `klp_rs` what it
//! publishes ([`crate::task_states`]).

use livepatch_common::{kernel::PATCH_STATE_IDLE, offset::Offset, task::known};

use crate::{offsets, task_fields::Task, task_states};

/// `int patch_state` (`include/linux/sched.h: task_struct`).
const SIZE: u32 = 4;

/// The patch state of a task, and its bit of the `known` mask; zero and zero if it cannot be known. `states` says where
/// `klp_rs` publishes; zero for the kernel's own core.
#[inline(always)]
pub(crate) fn of(task: Task, states: u64) -> (i32, u32) {
    if states != 0 {
        return task_states::of(task, states);
    }
    let Some((offset, SIZE)) = offsets::of(Offset::TaskPatchState) else {
        return (0, 0);
    };
    // The one read that every task of the system costs, so no helper is called for it.
    // SAFETY: to the verifier this is the context's task plus a constant, and it checks both against the kernel's types; the
    // iterator holds a reference on the task meanwhile. Volatile: the kernel writes it at any time.
    let state = unsafe { task.address().wrapping_add(offset).cast::<i32>().read_volatile() };
    (state, known::PATCH_STATE)
}

/// Whether a transition to `target` still waits for a task in this state.
#[inline(always)]
pub(crate) fn is_pending(state: i32, target: i32) -> bool {
    state != PATCH_STATE_IDLE && state != target
}
