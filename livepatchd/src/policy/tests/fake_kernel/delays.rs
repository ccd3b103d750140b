// SPDX-License-Identifier: GPL-2.0-only
//! How slow the fake kernel is.

/// How long things take, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy::tests) struct Delays {
    /// Between the steps of loading and of disabling, under the core's lock.
    pub(in crate::policy::tests) step: u64,
    /// From a listing's last read to its arrival.
    pub(in crate::policy::tests) list: u64,
    /// Between two patches of a listing.
    pub(in crate::policy::tests) read: u64,
    /// From a pass over tasks to its arrival.
    pub(in crate::policy::tests) scan: u64,
    /// From an action to its effect, and from that to its outcome.
    pub(in crate::policy::tests) act: u64,
    /// From an event to its arrival.
    pub(in crate::policy::tests) event: u64,
    /// From a signal to the thread's return to user space.
    pub(in crate::policy::tests) wake: u64,
    /// From the end of a transition to the end of the patch's directory.
    pub(in crate::policy::tests) free: u64,
    /// From there to the end of the reference to its module.
    pub(in crate::policy::tests) put: u64,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            step: 2,
            list: 1,
            read: 0,
            scan: 3,
            act: 1,
            event: 1,
            wake: 20,
            free: 5,
            put: 20,
        }
    }
}
