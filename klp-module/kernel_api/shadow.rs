// SPDX-License-Identifier: GPL-2.0-only
//! The table of shadow variables, which C keeps (shadow.c) and exports to patches as it is; the core itself uses none.
//! Invariant: it outlives every patch, because patches refer to its functions.

use super::ffi;

/// The table.
pub(crate) struct Shadows;

impl Drop for Shadows {
    fn drop(&mut self) {
        // SAFETY: The module is going, so no module that could use the table is there.
        unsafe { ffi::klp_rs_shadow_stop() };
    }
}
