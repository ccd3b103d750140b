// SPDX-License-Identifier: GPL-2.0-only
//! Shows the states of tasks to BPF programs: the layout of ABI/testing/bpf-klp_rs and nothing of its meaning.
//! Invariant: what is shown is alive: whoever drops it shows something else, or [`hide`]s it, before.

use core::{ptr, sync::atomic::AtomicUsize};

use super::ffi;

/// What is to be shown.
pub(crate) struct Shown(ffi::TaskStates);

impl Shown {
    /// Tasks in none of the segments to come are as all were at the beginning.
    pub(crate) fn new(began_patched: bool) -> Self {
        Self(ffi::TaskStates {
            version: 0,
            size: 0,
            sequence: 0,
            moving: 1,
            began: began_patched.into(),
            count: 0,
            segments: [ffi::TaskSegment {
                slots: ptr::null(),
                mask: 0,
            }; ffi::SEGMENTS],
        })
    }

    /// One array of slots; more than there is room for are left out.
    pub(crate) fn add(&mut self, slots: &[AtomicUsize]) {
        let Self(ffi::TaskStates { count, segments, .. }) = self;
        if let Some(segment) = segments.get_mut(*count as usize) {
            *segment = ffi::TaskSegment {
                slots: slots.as_ptr().cast(),
                mask: slots.len().wrapping_sub(1) as u64,
            };
            *count = count.saturating_add(1);
        }
    }

    /// Shows it.
    pub(crate) fn publish(self) {
        // SAFETY: Copied during the call; the kernel itself never follows the addresses in it. All callers hold the core's
        // lock, so there is one at a time.
        unsafe { ffi::klp_rs_task_states_publish(&raw const self.0) };
    }
}

/// Shows that there is no transition.
pub(crate) fn hide() {
    // SAFETY: As in `publish`.
    unsafe { ffi::klp_rs_task_states_publish(ptr::null()) };
}
