// SPDX-License-Identifier: GPL-2.0-only
//! Modules that come and go while patches are there: late patching before a module's init, and getting out before its text
//! goes. Called by the module notifier. Invariant: after [`going`] nothing of the core refers to the module.

use core::sync::atomic::Ordering;
use kernel::{
    prelude::*,
    sync::Arc,
    time::{delay::fsleep, Delta},
};

use super::{
    objects::{patch, resolve, withdraw},
    patch::Patch,
    registered::Registered,
    replace,
    state::{self, Core, CORE},
    states, transition,
};
use crate::kernel_api::{description::Moment, ftrace::Redirect, module::Module};

/// Milliseconds until a module that goes asks for memory again.
const PAUSE: i64 = 2;

/// A module is about to run its init, or has run it: patches that wait for it are applied. An error refuses the module, as
/// long as it `can_be_refused`; one that has run its init stays as it is.
pub(crate) fn coming(module: Module, can_be_refused: bool) -> Result {
    let mut redirect = state::redirecting();
    let mut core = CORE.lock();
    let Some(redirect) = redirect.as_mut() else {
        return Ok(());
    };
    apply_all(&mut core, redirect, module).inspect_err(|_| {
        if can_be_refused {
            // The loader does not tell whom refused it that it goes (kernel/notifier.c:notifier_call_chain_robust).
            revert(&mut core, redirect, module);
        }
    })
}

fn apply_all(core: &mut Core, redirect: &mut Redirect, module: Module) -> Result {
    let mut any = false;
    for place in 0..core.patches.len() {
        let Some((patch, index)) = object_at(core, place, module) else {
            continue;
        };
        any = true;
        apply(core, redirect, &patch, index, module).inspect_err(|_| {
            pr_warn!(
                "patch '{}' failed for module '{}', refusing to load module '{}'\n",
                &*patch.name,
                module.name(),
                module.name()
            );
        })?;
    }
    // A transition that replaces has to replace what has just come, too.
    match core.moving_patch() {
        Some(moving) if any => replace::cover(core, &moving),
        _ => Ok(()),
    }
}

/// The patch at `place`, and the object of it that is this module, if it has one.
fn object_at(core: &Core, place: usize, module: Module) -> Option<(Arc<Patch>, usize)> {
    let patch = &core.patches.get(place)?.patch;
    Some((patch.clone(), patch.object_of(module.name())?))
}

fn apply(core: &mut Core, redirect: &mut Redirect, owner: &Patch, index: usize, module: Module) -> Result {
    let object = owner.objects.get(index).ok_or(EINVAL)?;
    if object.patched.load(Ordering::Relaxed) {
        return Ok(());
    }
    object.form.set_module(Some(module));
    let resolved = resolve(owner, index).inspect_err(|err| {
        pr_warn!(
            "failed to initialize patch '{}' for module '{}' ({})\n",
            &*owner.name,
            module.name(),
            err.to_errno()
        );
    })?;
    pr_notice!(
        "applying patch '{}' to loading module '{}'\n",
        &*owner.name,
        module.name()
    );
    object.form.pre_patch().inspect_err(|_| {
        pr_warn!("pre-patch callback failed for object '{}'\n", object.title());
    })?;
    if let Err(err) = patch(core, redirect, owner, index, &resolved) {
        pr_warn!(
            "failed to apply patch '{}' to module '{}' ({})\n",
            &*owner.name,
            module.name(),
            err.to_errno()
        );
        object.form.call(Moment::PostUnpatch);
        return Err(err);
    }
    if !core.phase.moves(owner.id) {
        object.form.call(Moment::PostPatch);
    }
    Ok(())
}

/// A module is about to go: whatever patched it is out of force when this returns.
pub(crate) fn going(module: Module) {
    let mut redirect = state::redirecting();
    let mut core = CORE.lock();
    let Some(redirect) = redirect.as_mut() else { return };
    // The reference keeps a patch module from going, unless its init failed after it had enabled its patch
    // (kernel/module/main.c:do_init_module frees it then): its functions are about to be freed under whoever is in them.
    while let Some(registered) = expel(&mut core, redirect, module) {
        drop(core);
        registered.release();
        core = CORE.lock();
    }
    revert(&mut core, redirect, module);
}

/// Takes all patches off a module: it goes, or was refused.
fn revert(core: &mut Core, redirect: &mut Redirect, module: Module) {
    for place in 0..core.patches.len() {
        let Some((patch, index)) = object_at(core, place, module) else {
            continue;
        };
        let Some(object) = patch.objects.get(index) else {
            continue;
        };
        if object.patched.load(Ordering::Relaxed) {
            if !core.phase.moves(patch.id) {
                object.form.call(Moment::PreUnpatch);
            }
            pr_notice!(
                "reverting patch '{}' on unloading module '{}'\n",
                &*patch.name,
                module.name()
            );
            // Until the handler knows nobody calls out of the module, unless another is loaded to the same place.
            withdraw(core, redirect, &patch, Some(index));
            object.form.call(Moment::PostUnpatch);
        }
        object.form.set_module(None);
    }
    // Nothing may be left of it: what is in a filter would be the place of the next module that is loaded there, which ends
    // ftrace for good (kernel/trace/ftrace.c:referenced_filters does not count it, and its removal does).
    let mut told = false;
    while core.tidy(Some(redirect)).is_err() {
        if !core::mem::replace(&mut told, true) {
            pr_warn!("no memory to let go of module '{}': waiting for some\n", module.name());
        }
        fsleep(Delta::from_millis(PAUSE));
    }
}

/// Takes a patch of `module` out of everything, at once.
fn expel(core: &mut Core, redirect: &mut Redirect, module: Module) -> Option<Registered> {
    let place = core
        .patches
        .iter()
        .position(|registered| registered.patch.description.module() == module)?;
    let patch = core.patches.get(place)?.patch.clone();
    pr_err!(
        "module '{}' failed after it had enabled its patch; the patch is removed, its functions may crash\n",
        &*patch.name
    );
    patch.set_enabled(false);
    // With the same table: one of no transition with the patch in it would send everybody into its functions.
    let motion = if core.phase.moves(patch.id) {
        transition::end(core, &patch)
    } else {
        None
    };
    if !withdraw(core, redirect, &patch, None) {
        // They are about to be freed: rather no patch at all until there is memory.
        core.show(None);
        core.is_stale = true;
    }
    drop(motion);
    let expelled = core.patches.remove(place).ok();
    // Its states go with it. Without memory callbacks learn nothing, which is better than what is not there.
    if core.moving().is_none() || states::remember(core).is_err() {
        states::forget();
    }
    expelled
}
