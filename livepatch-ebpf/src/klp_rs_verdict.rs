// SPDX-License-Identifier: GPL-2.0-only
//! raw tracepoint `klp_rs_verdict(task, verdict, function)`: why `klp_rs` could not move a task.
//!
//! The numbers are those of the kernel's core. Idle tasks are seen only here.

use aya_ebpf::{cty::c_void, macros::raw_tracepoint, programs::RawTracePointContext};
use livepatch_common::{event::CORE_KLP_RS, kernel::VERDICT_SLEEPING};

use crate::{emit, task_fields::Task};

#[raw_tracepoint(tracepoint = "klp_rs_verdict")]
fn klp_rs_verdict(ctx: RawTracePointContext) -> i32 {
    let Some(task) = Task::new(ctx.arg::<*const c_void>(0)) else {
        return 0;
    };
    let verdict = ctx.arg::<i32>(1);
    let function = if verdict == VERDICT_SLEEPING {
        ctx.arg::<*const c_void>(2) as u64
    } else {
        0
    };
    emit::verdict(CORE_KLP_RS, task, verdict, function);
    0
}
