// SPDX-License-Identifier: GPL-2.0-only
//! fexit `klp_force_transition`: all tasks were moved, safe or not.
//!
//! The end of the transition follows with the next round.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use livepatch_common::event::{CORE_KERNEL, KIND_FORCED};

use crate::emit;

#[fexit(function = "klp_force_transition")]
fn force_transition(_ctx: FExitContext) -> i32 {
    emit::transition(CORE_KERNEL, KIND_FORCED);
    0
}
