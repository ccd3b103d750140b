// SPDX-License-Identifier: GPL-2.0-only
//! Whether a stack touches the kernel text that a request marks.
//!
//! One load and one test per return address, with no branch but the last: a search among sorted ranges would be exact,
//! but costs the verifier ten times as long as all other programs together. User space looks again, exactly.

use livepatch_common::{
    scan::{Granules, granule},
    task::MAX_STACK,
};

/// Whether an entry of `stack` is marked. It ends at its first zero: `bpf_get_task_stack` fills up what it does not
/// need with zeros (`kernel/bpf/stackmap.c: __bpf_get_stack`), and a loop over all entries is one whose end every
/// verifier sees.
///
/// # Safety
///
/// Both pointers must be valid.
#[inline(always)]
pub(crate) unsafe fn touched(granules: *const Granules, stack: *const [u64; MAX_STACK]) -> bool {
    for index in 0..MAX_STACK {
        // SAFETY: the index is within the stack
        let address = unsafe { stack.cast::<u64>().add(index).read() };
        if address == 0 {
            break;
        }
        let (word, bit) = granule(address);
        // SAFETY: the word is within the table
        if unsafe { granules.cast::<u64>().add(word).read() } >> bit & 1 != 0 {
            return true;
        }
    }
    false
}
