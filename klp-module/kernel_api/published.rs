// SPDX-License-Identifier: GPL-2.0-only
//! One pointer that is read with preemption off and replaced with a wait on every CPU: what RCU does, where RCU may not be
//! watching. Knows nothing of what is published. Invariant: this pointer's share of a value is given up only when no reader
//! can hold it.

use core::{marker::PhantomData, ptr};
use kernel::{ffi::c_void, sync::Arc};

use super::{
    atomic::{AtomicPtr, Ordering},
    ffi,
};

/// Proof that preemption is off (or interrupts are), for as long as the value lives.
#[derive(Clone, Copy)]
pub(crate) struct PreemptOff<'a>(PhantomData<(&'a (), *const ())>);

impl PreemptOff<'_> {
    /// # Safety
    ///
    /// Preemption must be off until the last use of the value.
    pub(super) unsafe fn new() -> Self {
        Self(PhantomData)
    }
}

/// A published value.
pub(crate) struct Published<T> {
    current: AtomicPtr<T>,
    owns: PhantomData<Arc<T>>,
}

// SAFETY: Readers on all CPUs share a `T`, and the thread that replaces it drops it.
unsafe impl<T: Send + Sync> Sync for Published<T> {}

impl<T> Published<T> {
    /// Nothing yet.
    pub(crate) const fn new() -> Self {
        Self {
            current: AtomicPtr::new(ptr::null_mut()),
            owns: PhantomData,
        }
    }

    /// What is published, for as long as preemption stays off.
    #[inline]
    pub(crate) fn read<'a>(&'a self, _proof: PreemptOff<'a>) -> Option<&'a T> {
        // Acquire: partner of the AcqRel in `replace`; the value's fields are read after the pointer.
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: Either null or from an `Arc` that `replace` drops only after `klp_rs_synchronize()`, which waits for this
        // CPU to turn preemption on; the proof says that it is off.
        unsafe { current.as_ref() }
    }

    /// Publishes another value and, when everybody who may have read the old one is done, drops that. Sleeps.
    pub(crate) fn replace(&self, value: Option<Arc<T>>) {
        let new = value.map_or(ptr::null_mut(), |value| Arc::into_raw(value).cast_mut());
        // AcqRel: Release is the partner of the Acquire in `read`; Acquire, because the old value is dropped here.
        let old = self.current.swap(new, Ordering::AcqRel);
        synchronize();
        if !old.is_null() {
            // SAFETY: From `Arc::into_raw` above, unreachable here since the swap, and its readers are gone.
            drop(unsafe { Arc::from_raw(old) });
        }
    }

    /// The same, unless `refused` says true while nobody can be reading: then nothing has happened, and this is false.
    pub(crate) fn replace_unless(&self, value: Option<Arc<T>>, refused: &(dyn Fn() -> bool + Sync)) -> bool
    where
        T: Send + Sync,
    {
        // Relaxed: this thread's own, but for the call, which `stand` orders with what is before and behind it.
        let spare = AtomicPtr::new(value.map_or(ptr::null_mut(), |value| Arc::into_raw(value).cast_mut()));
        let mut replaced = false;
        stand(|| {
            if !refused() {
                // AcqRel: as in `replace`. Who has read the old value was done with it before the machine stood.
                let old = self.current.swap(spare.load(Ordering::Relaxed), Ordering::AcqRel);
                spare.swap(old, Ordering::Relaxed);
                replaced = true;
            }
        });
        let spare = spare.load(Ordering::Relaxed);
        if !spare.is_null() {
            // SAFETY: From `Arc::into_raw`: the old value, unreachable and without readers, or the new one, which nobody has seen.
            drop(unsafe { Arc::from_raw(spare) });
        }
        replaced
    }
}

/// Calls `call` while all CPUs stand still with preemption on, so that none is in a hook, and none but in an NMI in the handler; those
/// have ended when this returns. Sleeps.
fn stand<F: FnMut() + Send>(mut call: F) {
    unsafe extern "C" fn standing<F: FnMut()>(cookie: *mut c_void) {
        // SAFETY: `cookie` is the `call` below, which nobody else uses meanwhile.
        let call = unsafe { &mut *cookie.cast::<F>() };
        call();
    }
    // SAFETY: Called from process context only, as in `synchronize`; `standing` gets what it was made for, once.
    unsafe { ffi::klp_rs_stand(standing::<F>, (&raw mut call).cast()) };
}

/// Waits until every CPU has had preemption on once. Sleeps.
pub(crate) fn synchronize() {
    // SAFETY: Called from process context only: nothing in this crate calls it from a hook or the handler.
    unsafe { ffi::klp_rs_synchronize() };
}

/// The right to walk a stack from within the handler: at most one at a time on each CPU, and not in an NMI.
pub(crate) struct Reentry<'a>(PreemptOff<'a>);

impl<'a> Reentry<'a> {
    /// None when this CPU is at it already.
    pub(crate) fn begin(proof: PreemptOff<'a>) -> Option<Self> {
        // SAFETY: A flag of this CPU, which this cannot leave: the proof says that preemption is off. Interrupts that come
        // between leave the flag as they found it.
        unsafe { ffi::klp_rs_reentry_begin() }.then_some(Self(proof))
    }
}

impl Drop for Reentry<'_> {
    fn drop(&mut self) {
        // SAFETY: Begun by `begin`, on this CPU.
        unsafe { ffi::klp_rs_reentry_end() };
    }
}
