// SPDX-License-Identifier: GPL-2.0-only
//! A patch, and what its files in sysfs say and do. How it comes is in enable.rs, how it moves in transition.rs. Invariant: a
//! registered patch holds one reference on its module, given back after the last use of its description, later
//! (departure.rs) when tasks may still be in its functions, and never when its transition was forced.

use core::sync::atomic::{AtomicBool, Ordering};
use kernel::{
    prelude::*,
    str::{CStr, CString},
};

use super::{enable, state::CORE, transition};
use crate::kernel_api::{
    description::{self, Description, Moment},
    dir::Attribute,
};

/// `KSYM_NAME_LEN` of include/linux/kallsyms.h.
const NAME_MAX: usize = 512;
/// `MODULE_NAME_LEN` of include/linux/moduleparam.h on 64 bits.
const MODULE_NAME_MAX: usize = 56;

/// A patch. Immutable but for the flags, which are written under the core's lock and read by sysfs without it.
pub(crate) struct Patch {
    /// Tells it from all others that are registered.
    pub(crate) id: u32,
    /// Its module's name.
    pub(crate) name: CString,
    /// What its author wrote.
    pub(crate) description: Description,
    /// Without consistency.
    pub(crate) immediate: bool,
    /// In the author's order.
    pub(crate) objects: KVec<Object>,
    /// Stands for all patches that are there.
    pub(crate) replace: bool,
    enabled: AtomicBool,
    in_transition: AtomicBool,
    /// It was forced, or tasks may be in it: whoever lets it go does not give back the reference on its module.
    pub(crate) stays: AtomicBool,
}

/// One object.
pub(crate) struct Object {
    /// The module, or none for the kernel.
    pub(crate) name: Option<CString>,
    /// Its functions are in force.
    pub(crate) patched: AtomicBool,
    /// In the author's order.
    pub(crate) funcs: KVec<Func>,
    /// What its author wrote, for callbacks.
    pub(crate) form: description::Object,
}

/// One function.
pub(crate) struct Func {
    /// Its name.
    pub(crate) name: CString,
    /// What replaces it.
    pub(crate) new: usize,
    /// Which one of that name; 0 when there is only one.
    pub(crate) sympos: usize,
    /// Without consistency.
    pub(crate) immediate: bool,
}

impl Object {
    /// As the log calls it.
    pub(crate) fn title(&self) -> &CStr {
        self.name.as_deref().unwrap_or(c"vmlinux")
    }
}

impl Func {
    /// The same function of an object?
    pub(super) fn is_same(&self, other: &Self) -> bool {
        *self.name == *other.name && self.sympos.max(1) == other.sympos.max(1)
    }

    /// The name of its directory.
    pub(super) fn folder(&self) -> Result<CString> {
        CString::try_from_fmt(fmt!("{},{}", &*self.name, self.sympos.max(1)))
    }
}

impl Patch {
    pub(super) fn of(id: u32, description: Description) -> Result<Self> {
        let mut objects: KVec<Object> = KVec::new();
        for form in description.objects() {
            let name = form.name().map(CString::try_from).transpose()?;
            if name
                .as_ref()
                .is_some_and(|name| name.to_bytes().len() >= MODULE_NAME_MAX)
            {
                return Err(EINVAL);
            }
            if objects.iter().any(|other| other.name.as_deref() == name.as_deref()) {
                pr_err!(
                    "object '{}' is described twice\n",
                    name.as_deref().unwrap_or(c"vmlinux")
                );
                return Err(EEXIST);
            }
            let mut funcs: KVec<Func> = KVec::new();
            for func in form.funcs() {
                let name = func
                    .name
                    .filter(|name| name.to_bytes().len() < NAME_MAX && func.new != 0)
                    .ok_or(EINVAL)?;
                let name = CString::try_from(name)?;
                let func = Func {
                    name,
                    new: func.new,
                    sympos: func.sympos as usize,
                    immediate: func.immediate,
                };
                if funcs.iter().any(|other| other.is_same(&func)) {
                    pr_err!("function '{}' is described twice\n", &*func.name);
                    return Err(EEXIST);
                }
                funcs.push(func, GFP_KERNEL)?;
            }
            objects.push(
                Object {
                    name,
                    patched: AtomicBool::new(false),
                    funcs,
                    form,
                },
                GFP_KERNEL,
            )?;
        }
        Ok(Self {
            id,
            name: CString::try_from(description.module().name())?,
            description,
            immediate: description.immediate(),
            objects,
            replace: description.replace(),
            enabled: AtomicBool::new(false),
            in_transition: AtomicBool::new(false),
            stays: AtomicBool::new(false),
        })
    }

    /// Is any of it without consistency?
    pub(crate) fn has_immediate(&self) -> bool {
        let mut funcs = self.objects.iter().flat_map(|object| &object.funcs);
        self.immediate || funcs.any(|func| func.immediate)
    }

    /// Enabled, or on the way there?
    pub(crate) fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Under the core's lock.
    pub(crate) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Relaxed);
    }

    /// Under the core's lock.
    pub(crate) fn set_in_transition(&self, moving: bool) {
        self.in_transition.store(moving, Ordering::Relaxed);
    }

    /// The object that is this module.
    pub(crate) fn object_of(&self, module: &CStr) -> Option<usize> {
        self.objects
            .iter()
            .position(|object| object.name.as_deref() == Some(module))
    }

    /// Calls the callback of each object that is patched.
    pub(crate) fn call_patched(&self, moment: Moment) {
        for object in self
            .objects
            .iter()
            .filter(|object| object.patched.load(Ordering::Relaxed))
        {
            object.form.call(moment);
        }
    }

    /// Which objects are patched.
    pub(crate) fn patched_objects(&self) -> Result<KVec<usize>> {
        let mut patched = KVec::new();
        for (index, object) in self.objects.iter().enumerate() {
            if object.patched.load(Ordering::Relaxed) {
                patched.push(index, GFP_KERNEL)?;
            }
        }
        Ok(patched)
    }

    /// The value of one of its files.
    pub(crate) fn show(&self, attribute: Attribute) -> isize {
        match attribute {
            Attribute::Enabled => self.is_enabled().into(),
            Attribute::Transition => self.in_transition.load(Ordering::Relaxed).into(),
            Attribute::Replace => self.replace.into(),
            Attribute::StackOrder => {
                let core = CORE.lock();
                let place = core
                    .patches
                    .iter()
                    .position(|registered| registered.patch.id == self.id);
                place.map_or(0, |place| place as isize).saturating_add(1)
            }
            Attribute::Force | Attribute::Patched => EACCES.to_errno() as isize,
        }
    }

    /// Disables the patch, or turns its transition round.
    pub(crate) fn store_enabled(&self, enabled: bool) -> Result {
        let mut core = CORE.lock();
        if self.is_enabled() == enabled {
            return Err(EINVAL);
        }
        if core.phase.moves(self.id) {
            transition::reverse(&mut core, self)
        } else if enabled {
            // A disabled patch is on its way out.
            Err(EINVAL)
        } else {
            enable::disable(&mut core, self)
        }
    }

    /// Ends the transition, whatever tasks are doing.
    pub(crate) fn store_force(&self, force: bool) -> Result {
        if !force {
            return Ok(());
        }
        let mut core = CORE.lock();
        if !core.phase.moves(self.id) {
            return Err(EINVAL);
        }
        transition::force(&mut core, self);
        Ok(())
    }
}
