// SPDX-License-Identifier: GPL-2.0-only
//! fexit `klp_complete_transition`: the transition is over, or was called off before it started.
//!
//! Called within `klp_try_complete_transition` or `klp_cancel_transition`.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use livepatch_common::event::{CORE_KERNEL, KIND_COMPLETED};

use crate::emit;

#[fexit(function = "klp_complete_transition")]
fn complete_transition(_ctx: FExitContext) -> i32 {
    emit::transition(CORE_KERNEL, KIND_COMPLETED);
    0
}
