// SPDX-License-Identifier: GPL-2.0-only
//! What happens at the hooks during a transition: a task moves itself, a child inherits, an address is freed. Registered by
//! the transition, called with preemption off. Invariant: a task moves here by the same stack check as everywhere else.

use super::handler;
use crate::{
    kernel_api::{published::PreemptOff, task::Still},
    pure::stack_verdict::Verdict,
};

/// On the way to user space, and at the start of schedule().
pub(crate) fn at_safe_point(proof: PreemptOff<'_>, task: &Still<'_>) {
    let Some((table, tasks)) = handler::in_transition(proof) else {
        return;
    };
    let is_pending = tasks.has_begun() && tasks.is_patched(task.key()) != tasks.target_patched();
    if is_pending && table.try_move(tasks, task, None) == Verdict::Moved {
        tasks.moved_by_hook();
    }
}

/// A child was made and has not run.
pub(crate) fn at_fork(proof: PreemptOff<'_>, parent: usize, child: usize) {
    if cfg!(klp_rs_without = "fork") {
        return;
    }
    if let Some((_, tasks)) = handler::in_transition(proof) {
        tasks.inherit(parent, child);
    }
}

/// A task structure is about to be freed.
pub(crate) fn at_free(proof: PreemptOff<'_>, task: usize) {
    if let Some((_, tasks)) = handler::in_transition(proof) {
        tasks.remove(task);
    }
}
