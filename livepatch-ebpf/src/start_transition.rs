// SPDX-License-Identifier: GPL-2.0-only
//! fentry `klp_start_transition`: a transition is about to start.
//!
//! At its entry the tasks still wait for their `TIF_PATCH_PENDING`; `transition` in sysfs is already 1, `enabled` not
//! yet settled.

use aya_ebpf::{macros::fentry, programs::FEntryContext};
use livepatch_common::event::{CORE_KERNEL, KIND_STARTED};

use crate::emit;

#[fentry(function = "klp_start_transition")]
fn start_transition(_ctx: FEntryContext) -> i32 {
    emit::transition(CORE_KERNEL, KIND_STARTED);
    0
}
