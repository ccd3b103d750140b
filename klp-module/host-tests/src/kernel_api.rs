// SPDX-License-Identifier: GPL-2.0-only
//! The files of kernel_api that publish values to readers without a lock, and what they ask of C. Mounted twice: with std's
//! atomics and with those of a model checker. Models preemption only (`cpus`).

use super::{atomic, cpus};

#[path = "../../kernel_api/once.rs"]
pub(crate) mod once;
#[path = "../../kernel_api/published.rs"]
#[allow(dead_code, reason = "the handler's way to walk a stack is not for here")]
pub(crate) mod published;

mod ffi {
    use kernel::ffi::c_void;

    pub(super) unsafe fn klp_rs_synchronize() {
        super::cpus::synchronize();
    }

    pub(super) unsafe fn klp_rs_stand(call: unsafe extern "C" fn(*mut c_void), cookie: *mut c_void) {
        // SAFETY: What `call` asks for is its caller's matter, who passed both.
        super::cpus::stand(|| unsafe { call(cookie) });
    }

    pub(super) unsafe fn klp_rs_reentry_begin() -> bool {
        false
    }

    pub(super) unsafe fn klp_rs_reentry_end() {}
}

/// Calls `read` as C calls a hook: with preemption off on this CPU.
pub(crate) fn with_preemption_off<R>(cpu: usize, read: impl FnOnce(published::PreemptOff<'_>) -> R) -> R {
    let _off = cpus::preempt_off(cpu);
    // SAFETY: Preemption is off until after the call, and the proof cannot leave it.
    read(unsafe { published::PreemptOff::new() })
}
