// SPDX-License-Identifier: GPL-2.0-only
//! The core's ftrace_ops. Does not know patches. Invariant: while a [`Redirect`] lives the ops is registered
//! and has the keeper in its filter, so its filter is never empty (empty would mean every function).

use kernel::ffi::{c_uint, c_ulong};
use kernel::prelude::*;

use super::{entry::check, ffi};

/// The registered ops.
pub(crate) struct Redirect(());

impl Redirect {
    /// Registers it, for the functions that call out at `ips`. All or none, as in `add`. Sleeps.
    pub(crate) fn register(ips: &mut [usize]) -> Result<Self> {
        // SAFETY: There is one `Redirect` at a time: `engine::state::REDIRECT` holds it, and it is made under that lock. The
        // array is as long as said.
        check(unsafe { ffi::klp_rs_ftrace_register(ips.as_mut_ptr().cast::<c_ulong>(), ips.len() as c_uint) })?;
        Ok(Self(()))
    }

    /// Has the functions call out at `ips`. All or none; -EBUSY when another IPMODIFY user has one of them, or
    /// a BPF program is attached to it.
    pub(crate) fn add(&self, ips: &mut [usize]) -> Result {
        // SAFETY: The ops is registered by the type's invariant, and the array is as long as said.
        check(unsafe { ffi::klp_rs_ftrace_add(ips.as_mut_ptr().cast::<c_ulong>(), ips.len() as c_uint) })
    }

    /// And no longer. The keeper is not among `ips`: nobody patches it.
    pub(crate) fn remove(&self, ips: &mut [usize]) -> Result {
        // SAFETY: As above.
        check(unsafe { ffi::klp_rs_ftrace_remove(ips.as_mut_ptr().cast::<c_ulong>(), ips.len() as c_uint) })
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        // SAFETY: Registered by `register`. An error means that it was not: then there is nothing to undo.
        unsafe { ffi::klp_rs_ftrace_unregister() };
    }
}
