// SPDX-License-Identifier: GPL-2.0-only
//! The interface of klp_rs for live patches in Rust: [`livepatch!`] makes a module of a list of functions. klp_rs.h beside
//! this file is the same for C and says what a patch may expect. A patch mounts this file:
//!
//! ```ignore
//! #[macro_use]
//! #[path = "../include/klp_rs.rs"]
//! mod klp_rs;
//! ```
//!
//! Invariant: a [`Patch`] is on the heap and unchanged from its enabling to the unloading of its module, which klp_rs
//! allows only when nothing refers to it any more.

#![allow(dead_code, unreachable_pub, reason = "a patch uses what it needs")]

use core::ptr;
use kernel::{
    error::to_result,
    ffi::{c_char, c_int, c_ulong, c_void},
    prelude::*,
    str::CStr,
};

/// `struct klp_rs_func`.
#[repr(C)]
pub struct Func {
    old_name: *const c_char,
    new_func: *const c_void,
    old_sympos: c_ulong,
    immediate: bool,
}

/// `struct klp_rs_object`, without callbacks.
#[repr(C)]
struct RawObject {
    name: *const c_char,
    funcs: *mut Func,
    callbacks: [*const c_void; 4],
    module: *mut c_void,
}

/// `struct klp_rs_patch`.
#[repr(C)]
struct RawPatch {
    module: *mut c_void,
    objs: *mut RawObject,
    replace: bool,
    immediate: bool,
}

unsafe extern "C" {
    fn klp_rs_enable_patch(patch: *mut RawPatch) -> c_int;
    fn klp_rs_patching_complete(patch: *const RawPatch) -> bool;
}

impl Func {
    /// A replacement for the function `old_name`.
    ///
    /// # Safety
    ///
    /// `new_func` is a function with the C calling convention and the signature of the one that it replaces.
    pub const unsafe fn new(old_name: &'static CStr, new_func: *const c_void) -> Self {
        Self {
            old_name: old_name.as_ptr().cast(),
            new_func,
            old_sympos: 0,
            immediate: false,
        }
    }

    const fn end() -> Self {
        Self {
            old_name: ptr::null(),
            new_func: ptr::null(),
            old_sympos: 0,
            immediate: false,
        }
    }
}

/// An enabled patch.
pub struct Patch {
    raw: KBox<RawPatch>,
    _objects: KVec<RawObject>,
    _funcs: KVec<KVec<Func>>,
}

// SAFETY: Nothing in it changes, and klp_rs reads it from any thread.
unsafe impl Send for Patch {}
// SAFETY: As above.
unsafe impl Sync for Patch {}

impl Patch {
    /// Enables a patch of these objects; a name of `vmlinux` is the kernel itself. For the module's init.
    pub fn enable<const OBJECTS: usize>(
        module: &'static ThisModule,
        objects: [(&'static CStr, KVec<Func>); OBJECTS],
    ) -> Result<Self> {
        let mut raw_objects = KVec::new();
        let mut all_funcs = KVec::new();
        for (name, mut funcs) in objects {
            funcs.push(Func::end(), GFP_KERNEL)?;
            let name = if name == c"vmlinux" {
                ptr::null()
            } else {
                name.as_char_ptr()
            };
            let object = RawObject {
                name,
                funcs: funcs.as_mut_ptr(),
                callbacks: [ptr::null(); 4],
                module: ptr::null_mut(),
            };
            raw_objects.push(object, GFP_KERNEL)?;
            // The functions themselves are on the heap: moving the vector does not move them.
            all_funcs.push(funcs, GFP_KERNEL)?;
        }
        let end = RawObject {
            name: ptr::null(),
            funcs: ptr::null_mut(),
            callbacks: [ptr::null(); 4],
            module: ptr::null_mut(),
        };
        raw_objects.push(end, GFP_KERNEL)?;
        let raw = RawPatch {
            module: module.as_ptr().cast(),
            objs: raw_objects.as_mut_ptr(),
            replace: false,
            immediate: false,
        };
        let mut patch = Self {
            raw: KBox::new(raw, GFP_KERNEL)?,
            _objects: raw_objects,
            _funcs: all_funcs,
        };
        // SAFETY: The description is complete, ends with the entries of zeroes, and stays as the type's invariant says: on
        // success it is kept by the module, on failure klp_rs has no use for it any more.
        to_result(unsafe { klp_rs_enable_patch(&raw mut *patch.raw) })?;
        Ok(patch)
    }

    /// Has every task moved to the patch?
    pub fn is_complete(&self) -> bool {
        // SAFETY: An enabled patch.
        unsafe { klp_rs_patching_complete(&raw const *self.raw) }
    }
}

/// Makes a patch module. Each function replaces the kernel's (or a module's) function of its name:
///
/// ```ignore
/// livepatch! {
///     type: Cmdline,
///     name: "cmdline_rs",
///     authors: ["…"],
///     description: "…",
///     license: "GPL",
///     vmlinux {
///         fn cmdline_proc_show(out: &SeqFile, _unused: *mut c_void) -> c_int { … }
///     }
/// }
/// ```
///
/// The signature is the author's promise: it must be that of the function that is replaced, and C's idea of the types must
/// be Rust's (`&T` for a pointer that is never NULL, `#[repr(transparent)]` wrappers for what they wrap).
macro_rules! livepatch {
    (
        type: $type:ident, name: $name:tt, authors: $authors:tt, description: $description:tt, license: $license:tt,
        $( $object:ident {
            $( $(#[$meta:meta])* fn $func:ident ($($arg:ident : $arg_type:ty),* $(,)?) $(-> $ret:ty)? $body:block )*
        } )*
    ) => {
        module! {
            type: $type,
            name: $name,
            authors: $authors,
            description: $description,
            license: $license,
        }

        $( $(
            $(#[$meta])*
            #[allow(improper_ctypes_definitions, reason = "references to transparent wrappers of C structures")]
            extern "C" fn $func($($arg: $arg_type),*) $(-> $ret)? $body
        )* )*

        struct $type {
            _patch: $crate::klp_rs::Patch,
        }

        impl kernel::Module for $type {
            fn init(module: &'static ThisModule) -> Result<Self> {
                const fn name(text: &'static str) -> &'static kernel::str::CStr {
                    match kernel::str::CStr::from_bytes_with_nul(text.as_bytes()) {
                        Ok(name) => name,
                        Err(_) => panic!("a name with a NUL inside"),
                    }
                }
                let objects = [$( {
                    let mut funcs = KVec::new();
                    $(
                        // SAFETY: The author of the patch promises the signature, by `livepatch!`'s contract.
                        let func = unsafe {
                            $crate::klp_rs::Func::new(
                                const { name(concat!(stringify!($func), "\0")) },
                                $func as *const kernel::ffi::c_void,
                            )
                        };
                        funcs.push(func, GFP_KERNEL)?;
                    )*
                    (const { name(concat!(stringify!($object), "\0")) }, funcs)
                } ),*];
                Ok(Self { _patch: $crate::klp_rs::Patch::enable(module, objects)? })
            }
        }
    };
}
