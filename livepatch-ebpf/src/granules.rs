// SPDX-License-Identifier: GPL-2.0-only
//! Whether a stack touches the kernel text that a request marks.
//!
//! One load and one test per return address, with no branch but the last: a search among sorted ranges would be exact, but costs the
//! verifier ten times as long as all other programs together. User space looks again, exactly.

use livepatch_common::{
    scan::{Granules, granule},
    task::MAX_STACK,
};

/// Whether one of the first `depth` entries of `stack` is marked.
///
/// # Safety
///
/// Both pointers must be valid.
#[inline(always)]
pub(crate) unsafe fn touched(granules: *const Granules, stack: *const [u64; MAX_STACK], depth: usize) -> bool {
    for index in 0..MAX_STACK {
        if index >= depth {
            break;
        }
        // SAFETY: the index is within the stack, and the word within the table
        let marked = unsafe {
            let (word, bit) = granule(stack.cast::<u64>().add(index).read());
            granules.cast::<u64>().add(word).read() >> bit & 1
        };
        if marked != 0 {
            return true;
        }
    }
    false
}
