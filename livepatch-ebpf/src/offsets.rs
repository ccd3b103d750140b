// SPDX-License-Identifier: GPL-2.0-only
//! The table of offsets, written by the daemon before the programs are loaded.
//!
//! It lies in frozen read-only data: to the verifier each entry is a constant, so a pointer plus an offset stays a pointer
//! to the structure, and code behind an unknown offset is never verified nor run.

use livepatch_common::offset::{Offset, Table, UNKNOWN};

/// Overridden by `EbpfLoader::override_global`.
#[unsafe(no_mangle)]
static OFFSETS: Table = [UNKNOWN; Offset::COUNT];

/// The offset of a field, if this kernel has it.
#[inline(always)]
pub(crate) fn of(field: Offset) -> Option<usize> {
    // SAFETY: the index is within the table, which is never written while the program runs; volatile, because the
    // compiler must not take the initial value for the one that the daemon puts in its place
    let offset = unsafe { (&raw const OFFSETS).cast::<u32>().add(field as usize).read_volatile() };
    (offset != UNKNOWN).then_some(offset as usize)
}
