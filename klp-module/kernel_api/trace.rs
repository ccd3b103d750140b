// SPDX-License-Identifier: GPL-2.0-only
//! The tracepoints, for whoever wants to see a transition at work (ABI/testing/tracepoints-klp_rs). Firing one changes
//! nothing. What is told of a task is told by [`super::task::Seen::report`].

use kernel::{
    bindings,
    ffi::{c_int, c_uint},
    prelude::*,
    str::CStr,
};

use super::ffi;

/// What a transition did; the numbers are part of the ABI.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    /// Tasks move from now on.
    Started = 1,
    /// Every task that is left was looked at once.
    RoundEnded = 2,
    /// It is over.
    Completed = 3,
    /// Tasks go the other way from now on.
    Reversed = 4,
    /// The administrator ends it.
    Forced = 5,
}

/// Why a task has not moved; the numbers are those of kernel/livepatch/transition.c:klp_check_and_switch_task.
#[derive(Clone, Copy)]
pub(crate) enum Why {
    /// It runs, or waits to run.
    Running = bindings::EBUSY as isize,
    /// Its stack cannot be trusted.
    Unreliable = bindings::EINVAL as isize,
    /// It is inside a function of the patch.
    Inside = bindings::EADDRINUSE as isize,
    /// There was no room to write down that it moved; the kernel's core knows no such thing.
    NoRoom = bindings::ENOMEM as isize,
}

impl Why {
    pub(super) fn as_verdict(self) -> c_int {
        -(self as c_int)
    }
}

/// Tells that the transition of `patch` did something.
pub(crate) fn transition(patch: &CStr, step: Step) {
    // SAFETY: A string, used during the call.
    unsafe { ffi::klp_rs_trace_transition(patch.as_char_ptr(), step as c_uint) };
}
