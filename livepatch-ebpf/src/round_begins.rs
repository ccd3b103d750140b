// SPDX-License-Identifier: GPL-2.0-only
//! fentry `klp_try_complete_transition`: a round begins. With `round_ends` it stands in for `try_complete_transition`.
//!
//! A program at a function's exit keeps a frame on the stack while the function runs. In a kernel whose unwinder does
//! not know such frames the thread that runs the round would find its own stack unreliable, round after round. At an
//! entry nothing stays on the stack.

use aya_ebpf::{
    EbpfContext as _,
    macros::{fentry, map},
    maps::Array,
    programs::FEntryContext,
};

/// The thread that runs a round (`livepatch_mutex` lets only one), by tgid and tid; zero between rounds.
#[map]
static ROUND: Array<u64> = Array::with_max_entries(1, 0);

#[fentry(function = "klp_try_complete_transition")]
fn round_begins(ctx: FEntryContext) -> i32 {
    if let Some(runner) = ROUND.get_ptr_mut(0) {
        // SAFETY: a map's value
        unsafe { *runner = thread(&ctx) };
    }
    0
}

/// Whether this thread's round ends here; it has then ended.
#[inline(always)]
pub(crate) fn end(ctx: &FEntryContext) -> bool {
    let Some(runner) = ROUND.get_ptr_mut(0) else {
        return false;
    };
    // SAFETY: a map's value
    unsafe {
        if *runner != thread(ctx) {
            return false;
        }
        *runner = 0;
    }
    true
}

#[inline(always)]
fn thread(ctx: &FEntryContext) -> u64 {
    u64::from(ctx.tgid()) << 32 | u64::from(ctx.pid())
}
