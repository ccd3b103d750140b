// SPDX-License-Identifier: GPL-2.0-only
//! A patch on the core's list: it and its directories in sysfs. What the files there say and do is patch.rs' matter.
//! Invariant: directories are removed children first and never under the core's lock, which readers of their files may want;
//! they may be made under it.

use core::sync::atomic::Ordering;
use kernel::{prelude::*, str::CStr, sync::Arc};

use super::patch::{Object, Patch};
use crate::kernel_api::dir::{Dir, Event};

/// A patch and its directories.
pub(crate) struct Registered {
    /// The patch.
    pub(crate) patch: Arc<Patch>,
    /// Of functions that it brings back; below those of the patch, so they leave before them.
    originals: Dirs,
    /// The patch's, then those of its objects in their order, then their functions'.
    dirs: Dirs,
}

/// Children behind their parents; they leave in the opposite order. Not to be dropped under the core's lock, which readers
/// of the files may want.
pub(crate) struct Dirs(KVec<Dir>);

impl Drop for Dirs {
    fn drop(&mut self) {
        while self.0.pop().is_some() {}
    }
}

impl Registered {
    /// Makes its directories.
    pub(super) fn of(patch: Arc<Patch>) -> Result<Self> {
        let mut dirs = Dirs(KVec::new());
        let top = Dir::of_patch(&patch)?;
        let mut below = KVec::new();
        for (index, object) in patch.objects.iter().enumerate() {
            let dir = top.of_object(object.title(), &patch, index)?;
            for func in &object.funcs {
                below.push(dir.of_func(&func.folder()?, &patch)?, GFP_KERNEL)?;
            }
            // Its functions must go before it does.
            dirs.0.push(dir, GFP_KERNEL)?;
        }
        let mut all = KVec::new();
        all.push(top, GFP_KERNEL)?;
        for dir in core::mem::replace(&mut dirs.0, KVec::new()) {
            all.push(dir, GFP_KERNEL)?;
        }
        for dir in below {
            all.push(dir, GFP_KERNEL)?;
        }
        Ok(Self {
            patch,
            originals: Dirs(KVec::new()),
            dirs: Dirs(all),
        })
    }

    /// Makes directories for the functions of `others` that this patch, which replaces them, has not: until its transition
    /// is complete it has them, too.
    pub(super) fn cover(&mut self, others: &[Self]) -> Result {
        let Self {
            patch,
            originals: Dirs(made),
            dirs: Dirs(dirs),
        } = self;
        let top = dirs.first().ok_or(EINVAL)?;
        // Objects that only others have, by their names and their places in `made`.
        let mut foreign: KVec<(&CStr, usize)> = KVec::new();
        let mut covered: KVec<(&CStr, &CStr, usize)> = KVec::new();
        for other in others {
            for (index, object) in other.patch.objects.iter().enumerate() {
                let own = patch
                    .objects
                    .iter()
                    .position(|own| own.name.as_deref() == object.name.as_deref());
                let known = foreign.iter().position(|&(title, _)| title == object.title());
                if own.is_none() && known.is_none() {
                    made.push(top.of_object(object.title(), &other.patch, index)?, GFP_KERNEL)?;
                    foreign.push((object.title(), made.len().saturating_sub(1)), GFP_KERNEL)?;
                }
                for func in &object.funcs {
                    let key = (object.title(), &*func.name, func.sympos.max(1));
                    let own_func = |own: &Object| own.funcs.iter().any(|own| own.is_same(func));
                    let has_own = own.and_then(|own| patch.objects.get(own)).is_some_and(own_func);
                    if has_own || covered.contains(&key) {
                        continue;
                    }
                    let dir = match own {
                        Some(own) => dirs.get(own.saturating_add(1)),
                        None => foreign
                            .iter()
                            .find(|&&(title, _)| title == object.title())
                            .and_then(|&(_, place)| made.get(place)),
                    };
                    let dir = dir.ok_or(EINVAL)?.of_func(&func.folder()?, patch)?;
                    made.push(dir, GFP_KERNEL)?;
                    covered.push(key, GFP_KERNEL)?;
                }
            }
        }
        Ok(())
    }

    /// The transition is complete: there is nothing left of the originals.
    pub(crate) fn take_originals(&mut self) -> Dirs {
        core::mem::replace(&mut self.originals, Dirs(KVec::new()))
    }

    /// Tells user space.
    pub(crate) fn announce(&self, event: Event) {
        if let Some(top) = self.dirs.0.first() {
            if let Event::Change = event {
                top.changed(c"enabled");
                top.changed(c"transition");
            }
            top.announce(event);
        }
    }

    /// The end. Without the core's lock: readers of the directories may want it.
    pub(crate) fn release(self) {
        let Self { patch, originals, dirs } = self;
        if let Some(top) = dirs.0.first() {
            top.announce(Event::Remove);
        }
        drop(originals);
        drop(dirs);
        if !patch.stays.load(Ordering::Relaxed) {
            patch.description.module().put();
        }
    }
}
