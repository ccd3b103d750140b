// SPDX-License-Identifier: GPL-2.0-only
//! fexit `klp_try_complete_transition`: the kernel tried every pending task once.
//!
//! Its verdicts on them come before this record; `enabled` in sysfs tells the direction by now.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use livepatch_common::event::{CORE_KERNEL, KIND_ROUND_ENDED};

use crate::emit;

#[fexit(function = "klp_try_complete_transition")]
fn try_complete_transition(_ctx: FExitContext) -> i32 {
    emit::transition(CORE_KERNEL, KIND_ROUND_ENDED);
    0
}
