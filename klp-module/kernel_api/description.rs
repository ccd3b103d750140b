// SPDX-License-Identifier: GPL-2.0-only
//! A patch as its author described it (`struct klp_rs_patch`), read safely. Copies nothing and checks nothing beyond the
//! form. Invariant: a [`Description`] is used only while a reference on its module is held, or during the call that
//! brought it; the interface asks its author to leave it unchanged.

use kernel::ffi::{c_char, c_ulong};
use kernel::{prelude::*, str::CStr};

use super::{ffi, module::Module};
use crate::pure::states;

/// A patch.
#[derive(Clone, Copy)]
pub(crate) struct Description(*mut ffi::Patch);

// SAFETY: Only reads what does not change; the one field that does (`module` of an object) is written under the core's lock.
unsafe impl Send for Description {}
// SAFETY: As above.
unsafe impl Sync for Description {}

/// One object of a patch.
#[derive(Clone, Copy)]
pub(crate) struct Object(*mut ffi::Object);

// SAFETY: As for `Description`.
unsafe impl Send for Object {}
// SAFETY: As for `Description`.
unsafe impl Sync for Object {}

/// One system state that a patch changes.
#[derive(Clone, Copy)]
pub(crate) struct State(*mut ffi::State);

// SAFETY: Only the id and the version are read, which do not change; the data are the author's.
unsafe impl Send for State {}
// SAFETY: As above.
unsafe impl Sync for State {}

/// One function of an object.
pub(crate) struct Func<'a> {
    /// Its name, unless the author left it out.
    pub(crate) name: Option<&'a CStr>,
    /// What replaces it; 0 when left out.
    pub(crate) new: usize,
    /// Which one of that name.
    pub(crate) sympos: c_ulong,
    /// Without consistency.
    pub(crate) immediate: bool,
}

/// The moments at which an object's callbacks run, apart from `pre_patch`, which may refuse.
#[derive(Clone, Copy)]
pub(crate) enum Moment {
    /// All tasks are patched.
    PostPatch,
    /// Unpatching begins.
    PreUnpatch,
    /// All tasks are unpatched.
    PostUnpatch,
}

impl Description {
    /// # Safety
    ///
    /// `patch` is NULL, or valid as the type's invariant says.
    pub(super) unsafe fn new(patch: *mut ffi::Patch) -> Result<Self> {
        // SAFETY: NULL or valid.
        let form = unsafe { patch.as_ref() }.ok_or(EINVAL)?;
        if form.module.is_null() || form.objs.is_null() {
            return Err(EINVAL);
        }
        Ok(Self(patch))
    }

    fn form(&self) -> &ffi::Patch {
        // SAFETY: Valid by the type's invariant.
        unsafe { &*self.0 }
    }

    /// The address that tells this patch from others.
    pub(crate) fn key(&self) -> usize {
        self.0 as usize
    }

    /// The module that the patch is.
    pub(crate) fn module(&self) -> Module {
        Module::from_raw(self.form().module)
    }

    /// Stands for all patches before it.
    pub(crate) fn replace(&self) -> bool {
        self.form().replace
    }

    /// Without consistency.
    pub(crate) fn immediate(&self) -> bool {
        self.form().immediate
    }

    /// Its objects, up to the entry of zeroes.
    pub(crate) fn objects(&self) -> impl Iterator<Item = Object> + '_ {
        let mut next = self.form().objs;
        core::iter::from_fn(move || {
            // SAFETY: Not yet behind the entry of zeroes that ends the list.
            let object = unsafe { &*next };
            let found = Object(next);
            if object.name.is_null() && object.funcs.is_null() {
                return None;
            }
            next = next.wrapping_add(1);
            Some(found)
        })
    }
}

impl Description {
    /// The states it changes, up to the entry of zeroes.
    pub(crate) fn states(&self) -> impl Iterator<Item = State> + '_ {
        let mut next = self.form().states;
        core::iter::from_fn(move || {
            // SAFETY: NULL, or not yet behind the entry of zeroes that ends the list.
            let id = unsafe { next.as_ref() }?.id;
            let found = State(next);
            next = next.wrapping_add(1);
            (id != 0).then_some(found)
        })
        .fuse()
    }
}

impl State {
    /// What decides which patch may come after which.
    pub(crate) fn rule(&self) -> states::State {
        // SAFETY: From `Description::states`, so valid as long as that is.
        let (id, version) = unsafe { ((*self.0).id, (*self.0).version) };
        states::State {
            id: id as usize,
            version,
        }
    }

    pub(super) fn as_raw(self) -> *mut ffi::State {
        self.0
    }
}

impl Object {
    fn form(&self) -> &ffi::Object {
        // SAFETY: From `Description::objects`, so valid as long as that is.
        unsafe { &*self.0 }
    }

    /// The module, or none for the kernel.
    pub(crate) fn name(&self) -> Option<&CStr> {
        // SAFETY: A string by the interface.
        unsafe { string(self.form().name) }
    }

    /// Did the author give a list of functions (even an empty one)?
    pub(crate) fn has_funcs(&self) -> bool {
        !self.form().funcs.is_null()
    }

    /// Its functions, up to the entry of zeroes.
    pub(crate) fn funcs(&self) -> impl Iterator<Item = Func<'_>> + '_ {
        let mut next = self.form().funcs;
        core::iter::from_fn(move || {
            // SAFETY: NULL, or not yet behind the entry of zeroes that ends the list.
            let func = unsafe { next.as_ref() }?;
            if func.old_name.is_null() && func.new_func.is_null() && func.old_sympos == 0 {
                return None;
            }
            next = next.wrapping_add(1);
            Some(Func {
                // SAFETY: A string by the interface.
                name: unsafe { string(func.old_name) },
                new: func.new_func as usize,
                sympos: func.old_sympos,
                immediate: func.immediate,
            })
        })
    }

    /// Tells the author's code which module it is about.
    pub(crate) fn set_module(&self, module: Option<Module>) {
        let raw = module.map_or(core::ptr::null_mut(), Module::as_raw);
        // SAFETY: Valid; written under the core's lock, read by callbacks, which the core calls under it.
        unsafe { (&raw mut (*self.0).module).write(raw) };
    }

    /// Before the object is patched; the author may refuse.
    pub(crate) fn pre_patch(&self) -> Result {
        match self.form().callbacks.pre_patch {
            // SAFETY: The author's function, given the author's object, in process context as promised.
            Some(call) => super::entry::check(unsafe { call(self.0) }),
            None => Ok(()),
        }
    }

    /// At one of the other moments.
    pub(crate) fn call(&self, moment: Moment) {
        let callbacks = &self.form().callbacks;
        let call = match moment {
            Moment::PostPatch => callbacks.post_patch,
            Moment::PreUnpatch => callbacks.pre_unpatch,
            Moment::PostUnpatch => callbacks.post_unpatch,
        };
        if let Some(call) = call {
            // SAFETY: As above.
            unsafe { call(self.0) };
        }
    }
}

/// # Safety
///
/// NULL, or a string that lives as long as the description.
unsafe fn string<'a>(text: *const c_char) -> Option<&'a CStr> {
    if text.is_null() {
        return None;
    }
    // SAFETY: A string by this function's contract.
    Some(unsafe { CStr::from_char_ptr(text) })
}
