// SPDX-License-Identifier: GPL-2.0-only
//! The core's ftrace_ops, and one more for each function that somebody is called from directly. Does not know patches.
//! Invariant: while a [`Redirect`] lives the core's ops is registered and has the keeper in its filter, so its filter is never
//! empty (empty would mean every function); a function is in the filter of one ops.

use core::ptr::NonNull;
use kernel::ffi::{c_uint, c_ulong};
use kernel::{error::from_err_ptr, prelude::*};

use super::{entry::check, ffi};

/// Somebody may attach a BPF program to a function while it is asked for: so often it is asked for again.
const TRIES: u32 = 10;

/// The registered ops.
pub(crate) struct Redirect {
    own: KVec<Own>,
    /// Functions that have left, their ops still registered. Has room for all of `own`.
    left: KVec<Own>,
}

impl Redirect {
    /// Registers it, for the functions that call out at `ips`. All or none, as in `add`. Sleeps.
    pub(crate) fn register(ips: &mut [usize]) -> Result<Self> {
        // SAFETY: There is one `Redirect` at a time: `engine::state::REDIRECT` holds it, and it is made under that lock. The
        // array is as long as said.
        check(unsafe { ffi::klp_rs_ftrace_register(ips.as_mut_ptr().cast::<c_ulong>(), ips.len() as c_uint) })?;
        Ok(Self {
            own: KVec::new(),
            left: KVec::new(),
        })
    }

    /// Has the functions call out at `ips`. All or none; -EBUSY when another IPMODIFY user has one of them, or is called from
    /// there directly and would not notice.
    pub(crate) fn add(&mut self, ips: &[usize]) -> Result {
        for _ in 0..TRIES {
            match self.try_add(ips) {
                Err(err) if err == EAGAIN => {}
                added => return added,
            }
        }
        Err(EBUSY)
    }

    fn try_add(&mut self, ips: &[usize]) -> Result {
        let before = self.own.len();
        let added = self.add_own(ips).and_then(|mut shared| {
            // SAFETY: The ops is registered by the type's invariant, and the array is as long as said.
            check(unsafe { ffi::klp_rs_ftrace_add(shared.as_mut_ptr().cast::<c_ulong>(), shared.len() as c_uint) })
        });
        if added.is_err() {
            while self.own.len() > before {
                self.leave(before);
            }
        }
        added
    }

    /// Those that need an ops of their own get it; returns the others.
    fn add_own(&mut self, ips: &[usize]) -> Result<KVec<usize>> {
        let mut shared = KVec::with_capacity(ips.len(), GFP_KERNEL)?;
        for &ip in ips {
            // One that has just left, though nobody may be called directly by now: two ops cannot have one function.
            let left = self.left.iter().position(|own| own.ip == ip);
            // SAFETY: Asks for any address.
            if left.is_none() && !unsafe { ffi::klp_rs_has_direct(ip as c_ulong) } {
                shared.push(ip, GFP_KERNEL)?;
                continue;
            }
            self.own.reserve(1, GFP_KERNEL)?;
            self.left.reserve(self.own.len().saturating_add(1), GFP_KERNEL)?;
            let own = match left.map(|place| self.left.remove(place)) {
                Some(Ok(own)) => own,
                _ => Own::register(ip)?,
            };
            self.own.push(own, GFP_KERNEL)?;
        }
        Ok(shared)
    }

    /// And no longer. The keeper is not among `ips`: nobody patches it. An ops of its own is there until [`Redirect::settle`].
    pub(crate) fn remove(&mut self, ips: &mut [usize]) -> Result {
        let mut shared = 0usize;
        // Moves what the core's ops has to the front.
        for index in 0..ips.len() {
            let Some(&ip) = ips.get(index) else { break };
            if let Some(place) = self.own.iter().position(|own| own.ip == ip) {
                self.leave(place);
            } else if let Some(first) = ips.get_mut(shared) {
                *first = ip;
                shared = shared.saturating_add(1);
            }
        }
        // SAFETY: The ops is registered by the type's invariant, and the array is at least as long as said.
        check(unsafe { ffi::klp_rs_ftrace_remove(ips.as_mut_ptr().cast::<c_ulong>(), shared as c_uint) })
    }

    fn leave(&mut self, place: usize) {
        if let Ok(own) = self.own.remove(place) {
            // `left` has room for it. If it had not, it would be unregistered here.
            let _ = self.left.push(own, GFP_KERNEL);
        }
    }

    /// Unregisters what has left. Sleeps until nobody is in its trampoline any more: not with a lock that users wait for.
    pub(crate) fn settle(&mut self) {
        self.left.clear();
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        // SAFETY: Registered by `register`. An error means that it was not: then there is nothing to undo.
        unsafe { ffi::klp_rs_ftrace_unregister() };
    }
}

/// A registered ops that has one function in its filter.
struct Own {
    ip: usize,
    ops: NonNull<ffi::Ops>,
}

// SAFETY: ftrace has locks of its own; any thread may unregister an ops.
unsafe impl Send for Own {}

impl Own {
    fn register(ip: usize) -> Result<Self> {
        // SAFETY: Any address: one that ftrace does not know is refused. Process context.
        let ops = from_err_ptr(unsafe { ffi::klp_rs_ftrace_own(ip as c_ulong) })?;
        let ops = NonNull::new(ops).ok_or(ENOMEM)?;
        Ok(Self { ip, ops })
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        // SAFETY: From `klp_rs_ftrace_own()`, and this is its end.
        unsafe { ffi::klp_rs_ftrace_disown(self.ops.as_ptr()) };
    }
}
