// SPDX-License-Identifier: GPL-2.0-only
//! fexit `klp_reverse_transition`: the direction has changed.
//!
//! It calls `klp_start_transition` itself, or a copy of it that the compiler made: a start may come before this record
//! or not.

use aya_ebpf::{macros::fexit, programs::FExitContext};
use livepatch_common::event::{CORE_KERNEL, KIND_REVERSED};

use crate::emit;

#[fexit(function = "klp_reverse_transition")]
fn reverse_transition(_ctx: FExitContext) -> i32 {
    emit::transition(CORE_KERNEL, KIND_REVERSED);
    0
}
