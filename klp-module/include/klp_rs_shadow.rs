// SPDX-License-Identifier: GPL-2.0-only
//! Shadow variables for live patches in Rust: a new field for objects that exist, known by the object's address and an id.
//! Does not know the life of the objects: whoever frees one detaches its field. Mounted by klp_rs.rs.
//!
//! Invariant: what is read through an RCU guard stays where it is until the guard goes, whoever detaches it meanwhile; it
//! has no destructor that could run under its reader, and changes only by its own means (atomics, locks).

use core::{
    marker::PhantomData,
    mem::{align_of, needs_drop, size_of},
};
use kernel::{
    bindings,
    ffi::{c_int, c_uint, c_ulong, c_void},
    prelude::*,
    sync::rcu,
};

type Constructor = unsafe extern "C" fn(*const c_void, *mut c_void, *mut c_void) -> c_int;
type Destructor = unsafe extern "C" fn(*const c_void, *mut c_void);

unsafe extern "C" {
    fn klp_rs_shadow_get(obj: *const c_void, id: c_ulong) -> *const c_void;
    fn klp_rs_shadow_get_or_alloc(
        obj: *const c_void,
        id: c_ulong,
        size: usize,
        flags: c_uint,
        ctor: Constructor,
        ctor_data: *mut c_void,
    ) -> *const c_void;
    fn klp_rs_shadow_free(obj: *const c_void, id: c_ulong, dtor: Option<Destructor>);
    fn klp_rs_shadow_free_all(id: c_ulong, dtor: Option<Destructor>);
}

/// Where memory comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Memory {
    /// The caller may sleep.
    MaySleep,
    /// It may not.
    Atomic,
}

/// A field of type `T`.
pub struct Shadow<T> {
    id: c_ulong,
    holds: PhantomData<fn() -> T>,
}

impl<T: Send + Sync> Shadow<T> {
    /// The field of this id.
    ///
    /// # Safety
    ///
    /// Everybody who uses this id, in whatever patch, uses it for the same type.
    pub const unsafe fn new(id: usize) -> Self {
        const {
            assert!(!needs_drop::<T>(), "nothing would drop it");
            assert!(align_of::<T>() <= 8, "klp_rs aligns to 8 bytes");
            assert!(size_of::<T>() > 0, "nothing to keep");
        }
        Self {
            id: id as c_ulong,
            holds: PhantomData,
        }
    }

    /// The field of `object`, which is never followed, if it has one.
    pub fn get<'a, O>(&self, object: *const O, _guard: &'a rcu::Guard) -> Option<&'a T> {
        // SAFETY: Looks for the address only. What is found is a complete `T` (by `attach` and the promise in `new`), whose
        // memory stays for a grace period after it was detached, so until the guard goes.
        unsafe { klp_rs_shadow_get(object.cast(), self.id).cast::<T>().as_ref() }
    }

    /// Gives `object` the field, unless it has it. True when it was given: `value` is there.
    pub fn attach<O>(&self, object: *const O, value: T, memory: Memory) -> Result<bool> {
        unsafe extern "C" fn fill<T>(_object: *const c_void, data: *mut c_void, value: *mut c_void) -> c_int {
            // SAFETY: `value` is the `Option<T>` below, which nobody else uses meanwhile.
            let Some(value) = (unsafe { &mut *value.cast::<Option<T>>() }).take() else {
                return EINVAL.to_errno();
            };
            // SAFETY: Room for a `T`, aligned as asserted in `new`, that nobody else knows yet.
            unsafe { data.cast::<T>().write(value) };
            0
        }
        let flags = match memory {
            Memory::MaySleep => bindings::GFP_KERNEL,
            Memory::Atomic => bindings::GFP_ATOMIC,
        };
        let mut value = Some(value);
        let cookie = (&raw mut value).cast();
        // SAFETY: `fill` is called at most once, before this returns, with `cookie` and room of the size given here.
        let data =
            unsafe { klp_rs_shadow_get_or_alloc(object.cast(), self.id, size_of::<T>(), flags, fill::<T>, cookie) };
        if data.is_null() {
            return Err(ENOMEM);
        }
        Ok(value.is_none())
    }

    /// Takes the field away from `object`, if it has one. Readers who found it before keep what they found.
    pub fn detach<O>(&self, object: *const O) {
        // SAFETY: Needs nothing but the address; there is nothing to drop.
        unsafe { klp_rs_shadow_free(object.cast(), self.id, None) };
    }

    /// Takes it away from all objects.
    pub fn detach_all(&self) {
        // SAFETY: As above.
        unsafe { klp_rs_shadow_free_all(self.id, None) };
    }
}
