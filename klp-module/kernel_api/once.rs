// SPDX-License-Identifier: GPL-2.0-only
//! A value that is set at most once and read without a lock, also in the ftrace handler. `kernel::sync::SetOnce` is that
//! too, but reads through a helper function of the kernel that can itself be traced. Invariant: once set, the value stays
//! where it is until the [`Once`] is dropped.

use core::ptr;
use kernel::prelude::*;

use super::atomic::{AtomicPtr, Ordering};

/// Set or not. `Send`, because whoever shares it may give it a value that another drops.
pub(crate) struct Once<T: Send>(AtomicPtr<T>, core::marker::PhantomData<KBox<T>>);

impl<T: Send> Once<T> {
    /// Not set.
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()), core::marker::PhantomData)
    }

    /// The value, if it is set.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // Acquire: partner of the Release in `set`.
        let value = self.0.load(Ordering::Acquire);
        // SAFETY: Null, or from the `KBox` in `set`, which lives until `drop` has `&mut self`.
        unsafe { value.as_ref() }
    }

    /// Sets it; false, and the value is dropped, when it was set before.
    pub(crate) fn set(&self, value: KBox<T>) -> bool {
        let value = KBox::into_raw(value);
        // Release: partner of the Acquire in `get`.
        let set = self
            .0
            .compare_exchange(ptr::null_mut(), value, Ordering::Release, Ordering::Relaxed)
            .is_ok();
        if !set {
            // SAFETY: From `into_raw` above, and nobody else has seen it.
            drop(unsafe { KBox::from_raw(value) });
        }
        set
    }
}

impl<T: Send> Drop for Once<T> {
    fn drop(&mut self) {
        let value = *self.0.get_mut();
        if !value.is_null() {
            // SAFETY: From `into_raw` in `set`; `&mut self` says that no reader is left.
            drop(unsafe { KBox::from_raw(value) });
        }
    }
}
