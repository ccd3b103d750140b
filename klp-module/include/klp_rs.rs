// SPDX-License-Identifier: GPL-2.0-only
//! The interface of klp_rs for live patches in Rust: [`livepatch!`] makes a module of a description. klp_rs.h beside this
//! file is the same for C and says what a patch may expect; klp_rs_macro.rs has the macro, klp_rs_shadow.rs shadow variables.
//! A patch mounts this file:
//!
//! ```ignore
//! #[macro_use]
//! #[path = "../include/klp_rs.rs"]
//! mod klp_rs;
//! ```
//!
//! Invariant: a description consists of statics, so it is there, at one place, as long as its module; nothing in it changes
//! but what is atomic.

#![allow(dead_code, unreachable_pub, reason = "a patch uses what it needs")]

use core::{
    marker::PhantomData,
    ptr,
    sync::atomic::{AtomicPtr, AtomicUsize, Ordering},
};
use kernel::{
    error::to_result,
    ffi::{c_char, c_int, c_uint, c_ulong, c_void},
    prelude::*,
    str::CStr,
};

#[macro_use]
#[path = "klp_rs_macro.rs"]
mod macros;
#[path = "klp_rs_shadow.rs"]
pub mod shadow;

/// One function to be replaced: `struct klp_rs_func`.
#[repr(C)]
pub struct Func {
    old_name: *const c_char,
    new_func: *const c_void,
    old_sympos: c_ulong,
    immediate: bool,
}

// SAFETY: Never changes.
unsafe impl Sync for Func {}

impl Func {
    /// Ends a list.
    pub const END: Self = Self {
        old_name: ptr::null(),
        new_func: ptr::null(),
        old_sympos: 0,
        immediate: false,
    };

    /// A replacement for the function `old_name`.
    ///
    /// # Safety
    ///
    /// `new_func` is a function with the C calling convention and the signature of the one that it replaces.
    pub const unsafe fn new(old_name: &'static CStr, new_func: *const c_void) -> Self {
        Self {
            old_name: old_name.as_ptr().cast(),
            new_func,
            ..Self::END
        }
    }

    /// Tasks need not be consistent about it.
    pub const fn immediate(self) -> Self {
        Self {
            immediate: true,
            ..self
        }
    }

    /// Which of several functions of that name, from 1.
    pub const fn sympos(self, position: usize) -> Self {
        Self {
            old_sympos: position as c_ulong,
            ..self
        }
    }
}

type Hook = Option<unsafe extern "C" fn(*const Object)>;

/// What the functions belong to: `struct klp_rs_object`.
#[repr(C)]
pub struct Object {
    name: *const c_char,
    funcs: *const Func,
    pre_patch: Option<unsafe extern "C" fn(*const Object) -> c_int>,
    post_patch: Hook,
    pre_unpatch: Hook,
    post_unpatch: Hook,
    /// Written by klp_rs.
    module: AtomicPtr<c_void>,
}

// SAFETY: Never changes but for what is atomic.
unsafe impl Sync for Object {}

impl Object {
    /// Ends a list.
    pub const END: Self = Self {
        name: ptr::null(),
        funcs: ptr::null(),
        pre_patch: None,
        post_patch: None,
        pre_unpatch: None,
        post_unpatch: None,
        module: AtomicPtr::new(ptr::null_mut()),
    };

    /// The object of this name; `vmlinux` is the kernel itself. `funcs` ends with [`Func::END`].
    pub const fn new(name: &'static CStr, funcs: &'static [Func]) -> Self {
        assert!(
            matches!(funcs, [.., last] if last.old_name.is_null()),
            "funcs end with END"
        );
        Self {
            name: if is_vmlinux(name.to_bytes()) {
                ptr::null()
            } else {
                name.as_ptr().cast()
            },
            funcs: funcs.as_ptr(),
            ..Self::END
        }
    }

    /// With callbacks.
    pub const fn with<C: Callbacks>(self) -> Self {
        Self {
            pre_patch: Some(pre_patch::<C>),
            post_patch: Some(post_patch::<C>),
            pre_unpatch: Some(pre_unpatch::<C>),
            post_unpatch: Some(post_unpatch::<C>),
            ..self
        }
    }

    /// Its name; none is the kernel itself.
    pub fn name(&self) -> Option<&CStr> {
        // SAFETY: NULL, or from the `CStr` given to `new`.
        (!self.name.is_null()).then(|| unsafe { CStr::from_ptr(self.name.cast()) })
    }

    /// Is it a module that is loaded?
    pub fn is_loaded_module(&self) -> bool {
        !self.module.load(Ordering::Relaxed).is_null()
    }
}

const fn is_vmlinux(name: &[u8]) -> bool {
    matches!(name, b"vmlinux")
}

/// Called as an object is patched and unpatched, all optional. They may sleep; no other patch moves meanwhile.
pub trait Callbacks {
    /// Before; an error refuses the patch.
    fn pre_patch(_object: &Object) -> Result {
        Ok(())
    }

    /// When every task has moved.
    fn post_patch(_object: &Object) {}

    /// Before the unpatching transition.
    fn pre_unpatch(_object: &Object) {}

    /// When every task has moved back; only if `pre_patch` had succeeded.
    fn post_unpatch(_object: &Object) {}
}

unsafe extern "C" fn pre_patch<C: Callbacks>(object: *const Object) -> c_int {
    // SAFETY: klp_rs gives back the object of the description, a static.
    C::pre_patch(unsafe { &*object }).map_or_else(Error::to_errno, |()| 0)
}

unsafe extern "C" fn post_patch<C: Callbacks>(object: *const Object) {
    // SAFETY: As above.
    C::post_patch(unsafe { &*object });
}

unsafe extern "C" fn pre_unpatch<C: Callbacks>(object: *const Object) {
    // SAFETY: As above.
    C::pre_unpatch(unsafe { &*object });
}

unsafe extern "C" fn post_unpatch<C: Callbacks>(object: *const Object) {
    // SAFETY: As above.
    C::post_unpatch(unsafe { &*object });
}

/// Something beside functions that patches change: `struct klp_rs_state`. Its data are a number.
#[repr(C)]
pub struct State {
    id: c_ulong,
    version: c_uint,
    data: AtomicUsize,
}

impl State {
    /// Ends a list.
    pub const END: Self = Self {
        id: 0,
        version: 0,
        data: AtomicUsize::new(0),
    };

    /// State `id`, from 1, in this version; a later patch must have the same version or a higher one.
    pub const fn new(id: usize, version: u32) -> Self {
        assert!(id != 0, "0 ends a list");
        Self {
            id: id as c_ulong,
            version,
            ..Self::END
        }
    }

    /// What the patch makes of it.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// What callbacks have kept.
    pub fn data(&self) -> usize {
        self.data.load(Ordering::Relaxed)
    }

    /// Keeps it, for later callbacks and for patches to come.
    pub fn keep(&self, data: usize) {
        self.data.store(data, Ordering::Relaxed);
    }
}

/// A state as the newest patch before the one in transition has it: version and data. For callbacks; warns outside of a
/// transition.
pub fn previous_state(id: usize) -> Option<(u32, usize)> {
    // SAFETY: NULL or a state of a patch that cannot go before the callback that asks returns: both are under klp_rs' lock.
    let state = unsafe { klp_rs_get_prev_state(id as c_ulong).as_ref() }?;
    Some((state.version(), state.data()))
}

/// A live patch: `struct klp_rs_patch`.
#[repr(C)]
pub struct Patch {
    module: AtomicPtr<c_void>,
    objs: *const Object,
    states: *const State,
    replace: bool,
    immediate: bool,
    unmoving: PhantomData<&'static Object>,
}

// SAFETY: Never changes but for what is atomic.
unsafe impl Sync for Patch {}

unsafe extern "C" {
    fn klp_rs_enable_patch(patch: *const Patch) -> c_int;
    fn klp_rs_patching_complete(patch: *const Patch) -> bool;
    fn klp_rs_get_state(patch: *const Patch, id: c_ulong) -> *const State;
    fn klp_rs_get_prev_state(id: c_ulong) -> *const State;
}

impl Patch {
    /// Of these objects and states; both lists end with their `END`.
    pub const fn new(objects: &'static [Object], states: &'static [State], replace: bool, immediate: bool) -> Self {
        assert!(
            matches!(objects, [.., last] if last.funcs.is_null()),
            "objects end with END"
        );
        assert!(matches!(states, [.., last] if last.id == 0), "states end with END");
        Self {
            module: AtomicPtr::new(ptr::null_mut()),
            objs: objects.as_ptr(),
            states: states.as_ptr(),
            replace,
            immediate,
            unmoving: PhantomData,
        }
    }

    /// Registers it and starts its transition; for the module's init. A patch cannot undo itself: it is disabled through
    /// sysfs, and klp_rs keeps its module until it has gone.
    pub fn enable(&'static self, module: &'static ThisModule) -> Result {
        self.module.store(module.as_ptr().cast(), Ordering::Relaxed);
        // SAFETY: A complete description of statics; klp_rs writes to nothing but the objects' `module`.
        to_result(unsafe { klp_rs_enable_patch(self) })
    }

    /// Has every task moved to it? True from the end of the patching transition to the start of the unpatching one.
    pub fn is_complete(&self) -> bool {
        // SAFETY: Only compares the address.
        unsafe { klp_rs_patching_complete(self) }
    }

    /// Its state of this id.
    pub fn state(&'static self, id: usize) -> Option<&'static State> {
        // SAFETY: A state of the description, or NULL.
        unsafe { klp_rs_get_state(self, id as c_ulong).as_ref() }
    }
}
