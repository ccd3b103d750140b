// SPDX-License-Identifier: GPL-2.0-only
//! fentry `cpus_read_unlock`: the last thing a round calls in every kernel before it decides whether it was the last
//! one.
//!
//! Others call it too, now and then: only the thread that `round_begins` noted counts. The round's end comes before the
//! end of the transition here, where `try_complete_transition` reports it after.

use aya_ebpf::{macros::fentry, programs::FEntryContext};
use livepatch_common::event::{CORE_KERNEL, KIND_ROUND_ENDED};

use crate::{emit, round_begins};

#[fentry(function = "cpus_read_unlock")]
fn round_ends(ctx: FEntryContext) -> i32 {
    if round_begins::end(&ctx) {
        emit::transition(CORE_KERNEL, KIND_ROUND_ENDED);
    }
    0
}
