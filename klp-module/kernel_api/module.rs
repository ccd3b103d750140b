// SPDX-License-Identifier: GPL-2.0-only
//! Loaded modules: names and references. Does not keep a module loaded by itself: [`Module::get`] does. Invariant: a
//! [`Module`] is used only while its module is loaded: the caller holds a reference or runs inside its notifier.

use kernel::{bindings::module, prelude::*, str::CStr};

use super::{entry::check, ffi};

/// A module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Module(*mut module);

// SAFETY: Reference counting and the name of a module may be used from any thread.
unsafe impl Send for Module {}
// SAFETY: As above.
unsafe impl Sync for Module {}

impl Module {
    pub(super) fn from_raw(module: *mut module) -> Self {
        Self(module)
    }

    pub(super) fn as_raw(self) -> *mut module {
        self.0
    }

    /// The live module of this name. It stays while the caller holds the lock that `engine::modules::going` takes.
    pub(crate) fn find(name: &CStr) -> Option<Self> {
        // SAFETY: A string, used during the call.
        let raw = unsafe { ffi::klp_rs_module_find(name.as_char_ptr()) };
        (!raw.is_null()).then_some(Self(raw))
    }

    /// Its name.
    pub(crate) fn name(&self) -> &CStr {
        // SAFETY: Loaded by the type's invariant, so its name is a string.
        unsafe { CStr::from_char_ptr(ffi::klp_rs_module_name(self.0)) }
    }

    /// Where its code is: the first byte and the first behind it.
    pub(crate) fn text(self) -> (usize, usize) {
        let (mut start, mut end) = (0, 0);
        // SAFETY: Loaded by the type's invariant.
        unsafe { ffi::klp_rs_module_text(self.0, &mut start, &mut end) };
        (start as usize, end as usize)
    }

    /// Keeps it loaded until [`Module::put`]; fails when it is on its way out.
    pub(crate) fn get(self) -> Result {
        // SAFETY: Loaded by the type's invariant.
        if unsafe { ffi::klp_rs_module_get(self.0) } {
            Ok(())
        } else {
            Err(ENODEV)
        }
    }

    /// Gives back one [`Module::get`].
    pub(crate) fn put(self) {
        // SAFETY: Loaded by the reference that this gives back.
        unsafe { ffi::klp_rs_module_put(self.0) };
    }
}

/// The notice of modules that come and go, for as long as the value lives.
pub(crate) struct Notices(());

impl Notices {
    /// From now on.
    pub(crate) fn start() -> Result<Self> {
        // SAFETY: Called once, by the module's init.
        check(unsafe { ffi::klp_rs_modules_start() })?;
        Ok(Self(()))
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        // SAFETY: Started by `start`; no lock is held that `coming` or `going` take.
        unsafe { ffi::klp_rs_modules_stop() };
    }
}
