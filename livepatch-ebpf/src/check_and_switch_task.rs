// SPDX-License-Identifier: GPL-2.0-only
//! fexit `klp_check_and_switch_task(task, arg)`: the kernel's own verdict on a task, with its reason.
//!
//! `*(char **)arg` names the function, but only when the verdict is that the task sleeps in one: otherwise it was never
//! written. Runs with the task's `pi_lock` and, if it is queued, its run queue's lock held (`kernel/sched/core.c:
//! task_call_func`). Idle tasks are seen only here.

use aya_ebpf::{cty::c_void, helpers::bpf_probe_read_kernel, macros::fexit, programs::FExitContext};
use livepatch_common::{event::CORE_KERNEL, kernel::VERDICT_SLEEPING};

use crate::{emit, task_fields::Task};

#[fexit(function = "klp_check_and_switch_task")]
fn check_and_switch_task(ctx: FExitContext) -> i32 {
    let Ok(verdict) = ctx.ret::<i32>() else {
        return 0;
    };
    if verdict == 0 {
        return 0;
    }
    let Some(task) = Task::new(ctx.arg::<*const c_void>(0)) else {
        return 0;
    };
    let function = if verdict == VERDICT_SLEEPING {
        // SAFETY: the helper takes any address
        unsafe { bpf_probe_read_kernel(ctx.arg::<*const u64>(1)) }.unwrap_or(0)
    } else {
        0
    };
    emit::verdict(CORE_KERNEL, task, verdict, function);
    0
}
