// SPDX-License-Identifier: GPL-2.0-only
//! The table of offsets, written by the daemon before the programs are loaded.
//!
//! It lies in frozen read-only data: to the verifier each entry is a constant, so a pointer plus an offset stays a
//! pointer to the structure, and code behind an unknown offset is never verified nor run.

use livepatch_common::offset::{NOTHING_KNOWN, Offset, Table, UNKNOWN};

/// Overridden by `EbpfLoader::override_global`.
#[unsafe(no_mangle)]
static OFFSETS: Table = NOTHING_KNOWN;

/// The offset of a field and how many bytes it has there, if this kernel has it.
#[inline(always)]
pub(crate) fn of(field: Offset) -> Option<(usize, u32)> {
    let entry = (&raw const OFFSETS).cast::<u32>().wrapping_add(2 * field as usize);
    // SAFETY: both words are within the table, which is never written while the program runs; volatile, because the
    // compiler must not take the initial value for the one that the daemon puts in its place
    let (offset, size) = unsafe { (entry.read_volatile(), entry.add(1).read_volatile()) };
    (offset != UNKNOWN).then_some((offset as usize, size))
}
