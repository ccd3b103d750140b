// SPDX-License-Identifier: GPL-2.0-only
//! Registering the tracepoint hooks. What they do is in engine/hooks.rs. Invariant: while a [`Hooks`] lives all of them
//! are registered, otherwise none.

use kernel::prelude::*;

use super::{entry::check, ffi};

/// The hooks, registered.
pub(crate) struct Hooks(());

impl Hooks {
    /// Registers all. Sleeps. The caller is the one transition that there is.
    pub(crate) fn register() -> Result<Self> {
        // SAFETY: The phase machine lets only one transition at a time get here; `find` succeeded when the module came.
        check(unsafe { ffi::klp_rs_hooks_register() })?;
        Ok(Self(()))
    }

    /// Finds the tracepoints; once, when the module is loaded.
    pub(crate) fn find() -> Result {
        // SAFETY: Called once, by the module's init.
        check(unsafe { ffi::klp_rs_hooks_find() })
    }

    /// Waits for the last probe to have ended; before the module goes.
    pub(crate) fn synchronize() {
        // SAFETY: Process context.
        unsafe { ffi::klp_rs_hooks_synchronize() };
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        // SAFETY: Registered by `register`.
        unsafe { ffi::klp_rs_hooks_unregister() };
    }
}
