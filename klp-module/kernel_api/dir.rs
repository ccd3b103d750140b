// SPDX-License-Identifier: GPL-2.0-only
//! Directories and files under /sys/kernel/klp_rs, and uevents. What a file says is the engine's. Invariant: a directory
//! is removed, and its readers and writers waited for, before its owner is dropped: [`Dir`] keeps the owner.

use core::{
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};
use kernel::ffi::{c_uint, c_void};
use kernel::{error::from_err_ptr, prelude::*, str::CStr, sync::Arc};

use super::{entry::check, ffi};
use crate::engine::patch::Patch;

/// The files, in the order of the C enumeration.
#[derive(Clone, Copy)]
pub(crate) enum Attribute {
    /// Is the patch enabled, or being enabled?
    Enabled,
    /// Is it in transition?
    Transition,
    /// Ends the transition.
    Force,
    /// Does it stand for all before it?
    Replace,
    /// Its place among the patches.
    StackOrder,
    /// Is the object patched?
    Patched,
}

/// Whose directory.
#[derive(Clone, Copy)]
enum Kind {
    Patch,
    Object,
    Func,
}

/// Uevents, in the order of the C table.
#[derive(Clone, Copy)]
pub(crate) enum Event {
    /// The patch is there.
    Add,
    /// Something of it changed.
    Change,
    /// It is about to go.
    Remove,
}

impl Attribute {
    pub(super) fn from_raw(which: c_uint) -> Option<Self> {
        const ALL: [Attribute; 6] = [
            Attribute::Enabled,
            Attribute::Transition,
            Attribute::Force,
            Attribute::Replace,
            Attribute::StackOrder,
            Attribute::Patched,
        ];
        ALL.get(which as usize).copied()
    }

    /// # Safety
    ///
    /// `owner` is what the file's [`Dir`] was made with.
    pub(super) unsafe fn show(self, owner: *const c_void) -> isize {
        if let Self::Patched = self {
            // SAFETY: Objects' directories are made with the address of their flag, which the `Dir` keeps alive.
            return unsafe { &*owner.cast::<AtomicBool>() }.load(Ordering::Relaxed).into();
        }
        // SAFETY: All other files are in patches' directories, made with the address of the patch.
        unsafe { &*owner.cast::<Patch>() }.show(self)
    }

    /// # Safety
    ///
    /// As for [`Attribute::show`].
    pub(super) unsafe fn store(self, owner: *const c_void, value: bool) -> Result {
        match self {
            // SAFETY: As above: both are files of patches.
            Self::Enabled => unsafe { &*owner.cast::<Patch>() }.store_enabled(value),
            // SAFETY: As above.
            Self::Force => unsafe { &*owner.cast::<Patch>() }.store_force(value),
            _ => Err(EACCES),
        }
    }
}

/// A directory; removed when dropped, which must not happen inside one of its own files.
pub(crate) struct Dir {
    raw: *mut ffi::Dir,
    _owner: Arc<Patch>,
}

// SAFETY: kobjects may be used from any thread.
unsafe impl Send for Dir {}
// SAFETY: As above.
unsafe impl Sync for Dir {}

impl Dir {
    /// # Safety
    ///
    /// `of` is what `kind` and `Attribute` take it for, and lives as long as `owner`.
    unsafe fn add(
        parent: *mut ffi::Dir,
        kind: Kind,
        name: &CStr,
        of: *const c_void,
        owner: Arc<Patch>,
    ) -> Result<Self> {
        // SAFETY: `parent` is NULL or a directory that exists: its `Dir` is borrowed by the callers.
        let raw = from_err_ptr(unsafe { ffi::klp_rs_dir_add(parent, kind as c_uint, name.as_char_ptr(), of) })?;
        Ok(Self { raw, _owner: owner })
    }

    /// `/sys/kernel/klp_rs/PATCH`.
    pub(crate) fn of_patch(patch: &Arc<Patch>) -> Result<Self> {
        let of = ptr::from_ref::<Patch>(patch).cast();
        // SAFETY: The patch's address, kept alive by the `Arc`.
        unsafe { Self::add(ptr::null_mut(), Kind::Patch, &patch.name, of, patch.clone()) }
    }

    /// `…/OBJECT`, with the flag that its file shows. `patched` is a field of `patch`.
    pub(crate) fn of_object(&self, name: &CStr, patch: &Arc<Patch>, object: usize) -> Result<Self> {
        let flag = &patch.objects.get(object).ok_or(EINVAL)?.patched;
        let of = ptr::from_ref::<AtomicBool>(flag).cast();
        // SAFETY: The flag is part of the patch, whose list of objects never changes.
        unsafe { Self::add(self.raw, Kind::Object, name, of, patch.clone()) }
    }

    /// `…/FUNCTION,SYMPOS`: has no files.
    pub(crate) fn of_func(&self, name: &CStr, patch: &Arc<Patch>) -> Result<Self> {
        // SAFETY: Never looked at, because there are no files.
        unsafe { Self::add(self.raw, Kind::Func, name, ptr::null(), patch.clone()) }
    }

    /// Announces the directory (only patches have uevents).
    pub(crate) fn announce(&self, event: Event) {
        // SAFETY: The directory exists as long as `self`.
        unsafe { ffi::klp_rs_dir_event(self.raw, event as c_uint) };
    }

    /// Wakes those who poll this file.
    pub(crate) fn changed(&self, attribute: &CStr) {
        // SAFETY: As above.
        unsafe { ffi::klp_rs_dir_changed(self.raw, attribute.as_char_ptr()) };
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: Made by `add`, removed only here; the owner is dropped after this.
        unsafe { ffi::klp_rs_dir_remove(self.raw) };
    }
}

/// /sys/kernel/klp_rs itself.
pub(crate) struct Root(());

impl Root {
    /// Makes it.
    pub(crate) fn start() -> Result<Self> {
        // SAFETY: Called once, by the module's init.
        check(unsafe { ffi::klp_rs_sysfs_start() })?;
        Ok(Self(()))
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // SAFETY: Made by `start`; what others may still hold of directories is the kernel's own (sysfs.c).
        unsafe { ffi::klp_rs_sysfs_stop() };
    }
}
