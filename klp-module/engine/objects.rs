// SPDX-License-Identifier: GPL-2.0-only
//! Objects: resolving their functions, putting these in force and taking them out, for the kernel and for modules that come
//! and go. Knows nothing of tasks. Invariant: an object's functions are in `Core::layers` and in the ftrace filter, or in
//! neither, whenever the core's lock is free.

use core::sync::atomic::Ordering;
use kernel::{prelude::*, sync::Arc};

use super::{
    patch::{Object, Patch, Registered},
    state::{Core, CORE, REDIRECT},
    transition,
};
use crate::{
    kernel_api::{
        description::Moment,
        ftrace::{self, Found, Redirect},
        module::Module,
    },
    pure::func_stack::{Code, Layer},
};

/// One function, found.
pub(crate) struct Resolved {
    layer: Layer,
    traceable: bool,
}

/// Finds all functions of a loaded object, and the code of both versions.
pub(crate) fn resolve(patch: &Patch, index: usize) -> Result<KVec<Resolved>> {
    let object = patch.objects.get(index).ok_or(EINVAL)?;
    let module = object.name.as_deref();
    let mut names = KVec::new();
    for func in &object.funcs {
        if func.sympos > 1 {
            pr_err!(
                "symbol position {} for symbol '{}' in object '{}' not found\n",
                func.sympos,
                &*func.name,
                object.title()
            );
            return Err(EINVAL);
        }
        let name = ftrace::full_name(module, &func.name)?;
        names.push(ftrace::with_cold(&name)?, GFP_KERNEL)?;
        names.push(ftrace::cold_name(func.new)?, GFP_KERNEL)?;
        names.push(name, GFP_KERNEL)?;
    }
    let found = ftrace::find(&names)?;
    let mut resolved = KVec::new();
    for (number, (func, found)) in object.funcs.iter().zip(found.chunks_exact(3)).enumerate() {
        let &[old_cold, new_cold, old] = found else {
            return Err(EINVAL);
        };
        if old.ip == 0 {
            pr_err!("symbol '{}' not found in symbol table\n", &*func.name);
            return Err(EINVAL);
        }
        let layer = Layer {
            patch: patch.id,
            object: index as u32,
            func: number as u32,
            ip: old.ip,
            old: code(old.ip, old_cold)
                .inspect_err(|_| pr_err!("kallsyms size lookup failed for '{}'\n", &*func.name))?,
            new: code(func.new, new_cold)
                .inspect_err(|_| pr_err!("kallsyms size lookup failed for '{}' replacement\n", &*func.name))?,
            immediate: patch.immediate || func.immediate,
        };
        resolved.push(
            Resolved {
                layer,
                traceable: old.traceable,
            },
            GFP_KERNEL,
        )?;
    }
    Ok(resolved)
}

fn code(address: usize, cold: Found) -> Result<Code> {
    let mut code = ftrace::body(address)?;
    if cold.ip != 0 {
        code.cold = ftrace::body(cold.ip)?.body;
    }
    Ok(code)
}

/// Puts an object's functions in force, as the phase says: at once, or for tasks that have moved.
pub(crate) fn patch(
    core: &mut Core,
    redirect: &Redirect,
    patch: &Patch,
    index: usize,
    resolved: &[Resolved],
) -> Result {
    let object = patch.objects.get(index).ok_or(EINVAL)?;
    if let Some(func) = resolved.iter().find(|func| !func.traceable) {
        let name = object.funcs.get(func.layer.func as usize).ok_or(EINVAL)?;
        pr_err!("failed to find location for function '{}'\n", &*name.name);
        return Err(EINVAL);
    }
    // The filter first: until the table is published, the handler finds nothing to do there.
    let mut ips = KVec::new();
    for func in resolved {
        if !core.layers.iter().any(|layer| layer.ip == func.layer.ip) {
            ips.push(func.layer.ip, GFP_KERNEL)?;
        }
    }
    if let Err(err) = redirect.add(&mut ips) {
        report_refused(redirect, object, resolved, err);
        return Err(err);
    }
    let before = core.layers.len();
    let mut published = resolved
        .iter()
        .try_for_each(|func| Ok(core.layers.push(func.layer, GFP_KERNEL)?));
    if published.is_ok() {
        object.patched.store(true, Ordering::Relaxed);
        published = core.publish();
    }
    if published.is_err() {
        object.patched.store(false, Ordering::Relaxed);
        core.layers.truncate(before);
        redirect.remove(&mut ips)?;
    }
    published
}

/// The functions were asked for together; the log names the one that was refused.
fn report_refused(redirect: &Redirect, object: &Object, resolved: &[Resolved], err: Error) {
    for func in resolved {
        let alone = redirect.add(&mut [func.layer.ip]);
        match (alone, object.funcs.get(func.layer.func as usize)) {
            (Ok(()), _) => drop(redirect.remove(&mut [func.layer.ip])),
            (Err(_), Some(name)) => {
                pr_err!(
                    "failed to register ftrace handler for function '{}' ({})\n",
                    &*name.name,
                    err.to_errno()
                );
            }
            (Err(_), None) => {}
        }
    }
}

/// Takes functions out of force: those of a patch, or of one object of it. When this returns, no task that has moved back
/// (or never was in them) can enter them any more.
pub(crate) fn unpatch(core: &mut Core, redirect: &Redirect, patch: &Patch, only: Option<usize>) -> Result {
    let concerned = |layer: &Layer| layer.patch == patch.id && only.is_none_or(|index| layer.object as usize == index);
    let mut ips = KVec::new();
    for layer in core.layers.iter().filter(|layer| concerned(layer)) {
        if !core
            .layers
            .iter()
            .any(|other| other.ip == layer.ip && !concerned(other))
        {
            ips.push(layer.ip, GFP_KERNEL)?;
        }
    }
    core.layers.retain(|layer| !concerned(layer));
    uncover(core);
    for (index, object) in patch.objects.iter().enumerate() {
        if only.is_none_or(|only| only == index) {
            object.patched.store(false, Ordering::Relaxed);
        }
    }
    core.publish()?;
    clear_filter(redirect, patch, &mut ips);
    Ok(())
}

/// A replacing patch brings the original back wherever another patch has a function that it has not.
pub(crate) fn cover(core: &mut Core, patch: &Patch) -> Result {
    if !patch.replace {
        return Ok(());
    }
    let mut covers = KVec::new();
    for layer in &core.layers {
        let is_own = |other: &Layer| other.patch == patch.id && other.ip == layer.ip;
        if !core.layers.iter().any(is_own) && !covers.iter().any(is_own) {
            covers.push(Layer::original(patch.id, layer), GFP_KERNEL)?;
        }
    }
    let before = core.layers.len();
    let covered = core.layers.extend_from_slice(&covers, GFP_KERNEL);
    let covered = covered.map_err(Error::from).and_then(|()| core.publish());
    if covered.is_err() {
        core.layers.truncate(before);
    }
    covered
}

/// An original that lies over nothing is not needed any more.
fn uncover(core: &mut Core) {
    let mut real = 0usize;
    // Moves what is to stay to the front, in order; a layer looks at all others, so `retain` would not do.
    for index in 0..core.layers.len() {
        let Some(&layer) = core.layers.get(index) else { return };
        let needed = |other: &Layer| other.ip == layer.ip && !other.is_original();
        if !layer.is_original() || core.layers.iter().any(needed) {
            if let Some(place) = core.layers.get_mut(real) {
                *place = layer;
            }
            real = real.saturating_add(1);
        }
    }
    core.layers.truncate(real);
}

/// Takes all patches but `patch` out of force and off the list: every task has the one that replaces them. What brought
/// originals back goes with what it covered.
pub(crate) fn replace(core: &mut Core, redirect: &Redirect, patch: &Patch) -> Result<KVec<Registered>> {
    let mut replaced = KVec::with_capacity(core.patches.len(), GFP_KERNEL)?;
    let mut ips = KVec::new();
    for layer in &core.layers {
        let stays = |other: &Layer| other.ip == layer.ip && other.patch == patch.id && !other.is_original();
        if !core.layers.iter().any(stays) && !ips.contains(&layer.ip) {
            ips.push(layer.ip, GFP_KERNEL)?;
        }
    }
    let mut kept = KVec::with_capacity(core.layers.len(), GFP_KERNEL)?;
    for layer in core
        .layers
        .iter()
        .filter(|layer| layer.patch == patch.id && !layer.is_original())
    {
        kept.push(*layer, GFP_KERNEL)?;
    }
    let all = core::mem::replace(&mut core.layers, kept);
    if let Err(err) = core.publish() {
        core.layers = all;
        return Err(err);
    }
    clear_filter(redirect, patch, &mut ips);
    while let Some(place) = core.patches.iter().position(|other| other.patch.id != patch.id) {
        let Ok(registered) = core.patches.remove(place) else {
            break;
        };
        registered.patch.set_enabled(false);
        for object in &registered.patch.objects {
            object.patched.store(false, Ordering::Relaxed);
        }
        // Its room was made above.
        let _ = replaced.push(registered, GFP_KERNEL);
    }
    Ok(replaced)
}

/// A call-out that stays in the filter finds nothing to do: an error is for the log.
fn clear_filter(redirect: &Redirect, patch: &Patch, ips: &mut [usize]) {
    if let Err(err) = redirect.remove(ips) {
        pr_warn!(
            "failed to clear the ftrace filter for patch '{}' ({})\n",
            &*patch.name,
            err.to_errno()
        );
    }
}

/// A module is about to run its init, or has run it: patches that wait for it are applied. An error refuses the module.
pub(crate) fn coming(module: Module) -> Result {
    let redirect = REDIRECT.lock();
    let mut core = CORE.lock();
    let Some(redirect) = redirect.as_ref() else {
        return Ok(());
    };
    let mut waiting: KVec<(Arc<Patch>, usize)> = KVec::new();
    for registered in &core.patches {
        if let Some(index) = registered.patch.object_of(module.name()) {
            waiting.push((registered.patch.clone(), index), GFP_KERNEL)?;
        }
    }
    for (patch, index) in &waiting {
        if let Err(err) = apply(&mut core, redirect, patch, *index, module) {
            pr_warn!(
                "patch '{}' failed for module '{}', refusing to load module '{}'\n",
                &*patch.name,
                module.name(),
                module.name()
            );
            return Err(err);
        }
    }
    // A transition that replaces has to replace what has just come, too.
    match core.moving_patch() {
        Some(moving) if !waiting.is_empty() => cover(&mut core, &moving),
        _ => Ok(()),
    }
}

fn apply(core: &mut Core, redirect: &Redirect, owner: &Patch, index: usize, module: Module) -> Result {
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
    let redirect = REDIRECT.lock();
    let mut core = CORE.lock();
    let Some(redirect) = redirect.as_ref() else { return };
    // The reference keeps a patch module from going, unless its init failed after it had enabled its patch
    // (kernel/module/main.c:do_init_module frees it then): its functions are about to be freed under whoever is in them.
    while let Some(registered) = expel(&mut core, redirect, module) {
        drop(core);
        registered.release();
        core = CORE.lock();
    }
    let mut patches: KVec<(Arc<Patch>, usize)> = KVec::new();
    for registered in &core.patches {
        if let Some(index) = registered.patch.object_of(module.name()) {
            if patches.push((registered.patch.clone(), index), GFP_KERNEL).is_err() {
                pr_err!("no memory to revert patches on unloading module '{}'\n", module.name());
            }
        }
    }
    for (patch, index) in &patches {
        let Some(object) = patch.objects.get(*index) else {
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
            if let Err(err) = unpatch(&mut core, redirect, patch, Some(*index)) {
                pr_err!("failed to revert patch '{}' ({})\n", &*patch.name, err.to_errno());
            }
            object.form.call(Moment::PostUnpatch);
        }
        object.form.set_module(None);
    }
}

/// Takes a patch of `module` out of everything, at once.
fn expel(core: &mut Core, redirect: &Redirect, module: Module) -> Option<Registered> {
    let place = core
        .patches
        .iter()
        .position(|registered| registered.patch.description.module() == module)?;
    let patch = core.patches.get(place)?.patch.clone();
    pr_err!(
        "module '{}' failed after it had enabled its patch; the patch is removed, its functions may crash\n",
        &*patch.name
    );
    if core.phase.moves(patch.id) {
        transition::abandon(core, &patch);
    }
    patch.set_enabled(false);
    if let Err(err) = unpatch(core, redirect, &patch, None) {
        pr_err!("failed to revert patch '{}' ({})\n", &*patch.name, err.to_errno());
    }
    core.patches.remove(place).ok()
}
