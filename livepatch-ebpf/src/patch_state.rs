// SPDX-License-Identifier: GPL-2.0-only
//! Where the patch state of a task comes from: for the kernel's own core `task->patch_state`, for `klp_rs` what it
//! publishes ([`crate::task_states`]).

use livepatch_common::{kernel::PATCH_STATE_IDLE, offset::Offset, task::known};

use crate::{
    task_fields::{Task, read},
    task_states,
};

/// The patch state of a task, and its bit of the `known` mask; zero and zero if it cannot be known. `states` says where
/// `klp_rs` publishes; zero for the kernel's own core.
#[inline(always)]
pub(crate) fn of(task: Task, states: u64) -> (i32, u32) {
    if states != 0 {
        return task_states::of(task, states);
    }
    let mut state = 0;
    // SAFETY: a local variable
    let known = unsafe {
        read(
            &raw mut state,
            task.address(),
            Offset::TaskPatchState,
            known::PATCH_STATE,
        )
    };
    (state, known)
}

/// Whether a transition to `target` still waits for a task in this state.
#[inline(always)]
pub(crate) fn is_pending(state: i32, target: i32) -> bool {
    state != PATCH_STATE_IDLE && state != target
}
