// SPDX-License-Identifier: GPL-2.0-only
//! The core's ftrace_ops, and one more for each function that somebody is called from directly. Does not know patches.
//! Invariant: while a [`Redirect`] lives the core's ops is registered and has the keeper in its filter, so its filter is never
//! empty (empty would mean every function); a function is in the filter of one ops; what is in a filter is written down here.

use core::ptr::NonNull;
use kernel::ffi::{c_uint, c_ulong};
use kernel::{error::from_err_ptr, prelude::*};

use super::{entry::check, ffi, thread};

/// BPF programs may be attached, to this function or another, while it is asked for: so often it is asked for again, mostly
/// after a millisecond.
const TRIES: u32 = 100;

/// The registered ops, and where it is called from.
pub(crate) struct Redirect {
    /// What is in its filter beside the keeper, what nobody wants any more behind the others: to take out takes memory.
    shared: KVec<usize>,
    /// How many of these are wanted.
    wanted: usize,
    own: KVec<Own>,
    /// Functions that have left, their ops still registered. Has room for all of `own`.
    left: KVec<Own>,
}

impl Redirect {
    /// Registers it, for the functions that call out at `ips`. All or none, as in `add`; direct callers are told. Sleeps.
    pub(crate) fn register(ips: impl Iterator<Item = usize>) -> Result<Self> {
        let mut shared = KVec::new();
        add_each(&mut shared, ips)?;
        // SAFETY: There is one `Redirect` at a time: `engine::state::REDIRECT` holds it, and it is made under that lock. The
        // array is as long as said.
        check(unsafe { ffi::klp_rs_ftrace_register(shared.as_mut_ptr().cast::<c_ulong>(), shared.len() as c_uint) })?;
        Ok(Self {
            wanted: shared.len(),
            shared,
            own: KVec::new(),
            left: KVec::new(),
        })
    }

    /// Has the functions call out at `ips`, which may do so already. All or none; -EBUSY when another IPMODIFY user has one of
    /// them, or is called from there directly and would not notice, or when BPF programs are attached without end.
    pub(crate) fn add(&mut self, ips: impl Iterator<Item = usize>) -> Result {
        let mut missing = KVec::new();
        add_each(&mut missing, ips.filter(|&ip| !self.has(ip)))?;
        if missing.is_empty() {
            return Ok(());
        }
        // What nobody wants may be among them.
        self.tidy()?;
        self.shared.reserve(missing.len(), GFP_KERNEL)?;
        for _ in 0..TRIES {
            match self.try_add(&missing) {
                Err(err) if err == EAGAIN => {}
                added => return added,
            }
        }
        Err(EBUSY)
    }

    fn has(&self, ip: usize) -> bool {
        self.shared.iter().take(self.wanted).any(|&shared| shared == ip) || self.own.iter().any(|own| own.ip == ip)
    }

    fn try_add(&mut self, ips: &[usize]) -> Result {
        let before = self.own.len();
        let added = self.add_own(ips).and_then(|mut shared| {
            // SAFETY: The ops is registered by the type's invariant, and the array is as long as said.
            check(unsafe { ffi::klp_rs_ftrace_add(shared.as_mut_ptr().cast::<c_ulong>(), shared.len() as c_uint) })?;
            // Room was made by `add`.
            self.shared.extend_from_slice(&shared, GFP_KERNEL)?;
            // A direct caller that came before the change was not told of it, one that comes later is
            // (kernel/trace/ftrace.c:__ftrace_hash_update_ipmodify): so it is asked for behind it. Until it is out of the filter
            // again, a change of any BPF trampoline finds one that does not know, warns, and is refused.
            if shared.iter().any(|&ip| has_direct(ip)) {
                self.tidy()?;
                return Err(EAGAIN);
            }
            self.wanted = self.shared.len();
            Ok(())
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
            if left.is_none() && !has_direct(ip) {
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

    /// Functions that are not wanted call out no longer; without memory a moment later, as [`Redirect::tidy`] is tried again, and
    /// find nothing to do until then. An ops of their own is there until [`Redirect::settle`].
    pub(crate) fn keep(&mut self, is_wanted: impl Fn(usize) -> bool) {
        let mut place = 0usize;
        while let Some(own) = self.own.get(place) {
            if is_wanted(own.ip) {
                place = place.saturating_add(1);
            } else {
                self.leave(place);
            }
        }
        self.wanted = 0;
        for index in 0..self.shared.len() {
            if let (Some(&first), Some(&ip)) = (self.shared.get(self.wanted), self.shared.get(index)) {
                if is_wanted(ip) {
                    self.put(index, first);
                    self.put(self.wanted, ip);
                    self.wanted = self.wanted.saturating_add(1);
                }
            }
        }
        if self.tidy().is_err() {
            thread::wake();
        }
    }

    fn put(&mut self, index: usize, ip: usize) {
        if let Some(place) = self.shared.get_mut(index) {
            *place = ip;
        }
    }

    /// Takes out of the filter what nobody wants there; -ENOMEM when it has to be tried again.
    pub(crate) fn tidy(&mut self) -> Result {
        let unwanted = self.shared.get_mut(self.wanted..).unwrap_or_default();
        // SAFETY: The ops is registered by the type's invariant, and the array is as long as said.
        let removed = check(unsafe {
            ffi::klp_rs_ftrace_remove(unwanted.as_mut_ptr().cast::<c_ulong>(), unwanted.len() as c_uint)
        });
        match removed {
            Err(err) if err == ENOMEM => return Err(err),
            // ftrace has shut itself down.
            Err(err) => pr_warn!("failed to clear the ftrace filter ({})\n", err.to_errno()),
            Ok(()) => {}
        }
        self.shared.truncate(self.wanted);
        Ok(())
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

/// Does the function that calls out at `ip` call somebody directly, too?
pub(crate) fn has_direct(ip: usize) -> bool {
    // SAFETY: Asks for any address.
    unsafe { ffi::klp_rs_has_direct(ip as c_ulong) }
}

/// Several names can be one function's, and a place is in a filter once.
fn add_each(places: &mut KVec<usize>, ips: impl Iterator<Item = usize>) -> Result {
    for ip in ips {
        if !places.contains(&ip) {
            places.push(ip, GFP_KERNEL)?;
        }
    }
    Ok(())
}

impl Drop for Redirect {
    fn drop(&mut self) {
        // SAFETY: Registered by `register`. An error means that ftrace has shut itself down: then nothing can be undone.
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
