// SPDX-License-Identifier: GPL-2.0-only
//! The thread that drives transitions, and messages at debug level. What the thread does is engine/transition.rs.
//! Invariant: [`wake`] may be called from anywhere; the thread exists as long as the [`Thread`] does.

use kernel::{prelude::*, str::CStr};

use super::{entry::check, ffi};

/// The thread.
pub(crate) struct Thread(());

impl Thread {
    /// Starts it; it asks `engine::transition::step` only when woken.
    pub(crate) fn start() -> Result<Self> {
        // SAFETY: Called once, by the module's init.
        check(unsafe { ffi::klp_rs_thread_start() })?;
        Ok(Self(()))
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: Started by `start`; no lock is held that the thread takes.
        unsafe { ffi::klp_rs_thread_stop() };
    }
}

/// Has the tasks looked at now.
pub(crate) fn wake() {
    // SAFETY: Queues an irq_work, which may be done in any context.
    unsafe { ffi::klp_rs_thread_wake() };
}

/// `'patch': what rest`, for dynamic debug.
pub(crate) fn debug(patch: &CStr, what: &CStr, rest: &CStr) {
    // SAFETY: Three strings, used during the call.
    unsafe { ffi::klp_rs_debug(patch.as_char_ptr(), what.as_char_ptr(), rest.as_char_ptr()) };
}
