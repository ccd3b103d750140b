// SPDX-License-Identifier: GPL-2.0-only
//! raw tracepoint `klp_rs_transition(patch, what)`: a transition of `klp_rs` did something.
//!
//! The numbers are those of our records. The tracepoint is there only while `klp_rs` is loaded.

use aya_ebpf::{macros::raw_tracepoint, programs::RawTracePointContext};
use livepatch_common::event::CORE_KLP_RS;

use crate::emit;

#[raw_tracepoint(tracepoint = "klp_rs_transition")]
fn klp_rs_transition(ctx: RawTracePointContext) -> i32 {
    emit::transition(CORE_KLP_RS, ctx.arg::<u32>(1));
    0
}
