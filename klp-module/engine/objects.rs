// SPDX-License-Identifier: GPL-2.0-only
//! Objects: resolving their functions, putting these in force and taking them out. Knows nothing of tasks; when modules come
//! and go is modules.rs' matter. Invariant: a function in `Core::layers` is in an ftrace filter whenever the core's
//! lock is free; one that has left them leaves its filter as soon as there is memory, and an ops of its own a moment later.

use core::sync::atomic::Ordering;
use kernel::{prelude::*, str::CStr};

use super::{
    patch::{Func, Object, Patch},
    replace,
    state::{Core, Unless},
};
use crate::{
    kernel_api::{ftrace::Redirect, symbols, thread},
    pure::{dead_cpu, func_stack::Layer, symbol_search::Unclear},
};

/// One function, found.
pub(crate) struct Resolved {
    layer: Layer,
    traceable: bool,
}

/// Finds all functions of a loaded object, and the code of both versions.
pub(crate) fn resolve(patch: &Patch, index: usize) -> Result<KVec<Resolved>> {
    let object = patch.objects.get(index).ok_or(EINVAL)?;
    let mut resolved = KVec::with_capacity(object.funcs.len(), GFP_KERNEL)?;
    for (number, func) in object.funcs.iter().enumerate() {
        let address = symbols::find(object.name.as_deref(), &func.name, func.sympos)
            .inspect_err(|&unclear| report_unclear(object, func, unclear))
            .or(Err(EINVAL))?;
        if dead_cpu::may_hold(func.name.to_bytes()) {
            pr_err!(
                "CPUs that are off may be in function '{}': it cannot be patched\n",
                &*func.name
            );
            return Err(EINVAL);
        }
        let ip = symbols::call_out(address);
        let layer = Layer {
            patch: patch.id,
            object: index as u32,
            func: number as u32,
            ip: ip.unwrap_or(0),
            old: symbols::code(address)
                .inspect_err(|_| pr_err!("kallsyms size lookup failed for '{}'\n", &*func.name))?,
            new: symbols::code(func.new)
                .inspect_err(|_| pr_err!("kallsyms size lookup failed for '{}' replacement\n", &*func.name))?,
            immediate: patch.immediate || func.immediate,
        };
        let traceable = ip.is_some();
        resolved.push(Resolved { layer, traceable }, GFP_KERNEL)?;
    }
    Ok(resolved)
}

fn report_unclear(object: &Object, func: &Func, unclear: Unclear) {
    match unclear {
        Unclear::Missing => pr_err!("symbol '{}' not found in symbol table\n", &*func.name),
        Unclear::Ambiguous => pr_err!(
            "unresolvable ambiguity for symbol '{}' in object '{}'\n",
            &*func.name,
            object.title()
        ),
        Unclear::NoSuchPosition => pr_err!(
            "symbol position {} for symbol '{}' in object '{}' not found\n",
            func.sympos,
            &*func.name,
            object.title()
        ),
    }
}

/// Where these functions call out.
pub(super) fn places(resolved: &[Resolved]) -> impl Iterator<Item = usize> + '_ {
    let traceable = resolved.iter().filter(|func| func.traceable);
    traceable.map(|func| func.layer.ip)
}

/// Puts an object's functions in force, as the phase says: at once, or for tasks that have moved. After an error the filter has
/// the functions of layers only.
pub(crate) fn patch(
    core: &mut Core,
    redirect: &mut Redirect,
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
    if let Err(err) = redirect.add(places(resolved)) {
        report_refused(redirect, object, resolved, err);
        clear_filter(core, redirect);
        return Err(err);
    }
    let before = core.layers.len();
    // Until the transition has begun nobody may be in the functions, because the patch may yet be refused.
    let begun = core.motion.as_ref().is_none_or(|motion| motion.hooks.is_some());
    let mut published = resolved.iter().map(|func| func.layer).try_for_each(|layer| {
        let immediate = layer.immediate && begun;
        Ok(core.layers.push(Layer { immediate, ..layer }, GFP_KERNEL)?)
    });
    if published.is_ok() {
        object.patched.store(true, Ordering::Relaxed);
        published = core.publish();
    }
    if published.is_err() {
        object.patched.store(false, Ordering::Relaxed);
        core.layers.truncate(before);
        clear_filter(core, redirect);
    }
    published
}

/// The transition begins: from the next table on immediate functions are in force. False when there are none.
pub(super) fn release_immediate(core: &mut Core, patch: &Patch) -> bool {
    for layer in core.layers.iter_mut().filter(|layer| layer.patch == patch.id) {
        let func = patch
            .objects
            .get(layer.object as usize)
            .and_then(|object| object.funcs.get(layer.func as usize));
        layer.immediate = func.is_some_and(|func| patch.immediate || func.immediate);
    }
    patch.has_immediate()
}

/// The ops could not be registered, so the first function cannot be redirected.
pub(super) fn report_unregistered(object: &Object, err: Error) {
    if let Some(func) = object.funcs.first() {
        report_function(&func.name, err);
    }
}

fn report_function(name: &CStr, err: Error) {
    pr_err!(
        "failed to register ftrace handler for function '{}' ({})\n",
        name,
        err.to_errno()
    );
}

/// The functions were asked for together; the log names those that are refused alone, too.
fn report_refused(redirect: &mut Redirect, object: &Object, resolved: &[Resolved], err: Error) {
    for func in resolved.iter().filter(|func| func.traceable) {
        if redirect.add([func.layer.ip].into_iter()).is_err() {
            if let Some(func) = object.funcs.get(func.layer.func as usize) {
                report_function(&func.name, err);
            }
        }
    }
}

/// Takes functions out of force: those of a patch, or of one object of it. When this returns, no task that has moved back
/// (or never was in them) can enter them any more. With an error nothing has happened, and the whole may be tried again.
pub(crate) fn unpatch(
    core: &mut Core,
    redirect: &mut Redirect,
    patch: &Patch,
    only: Option<usize>,
    unless: Unless<'_>,
) -> Result {
    let mut kept = KVec::with_capacity(core.layers.len(), GFP_KERNEL)?;
    kept.extend_from_slice(&core.layers, GFP_KERNEL)?;
    without(&mut kept, patch, only);
    core.keep(kept, unless)?;
    mark_unpatched(patch, only);
    clear_filter(core, redirect);
    Ok(())
}

/// The same for what cannot stay. Without memory the handler keeps what it had, until the thread has some. Says whether the
/// handler knows.
pub(super) fn withdraw(core: &mut Core, redirect: &mut Redirect, patch: &Patch, only: Option<usize>) -> bool {
    let Err(err) = unpatch(core, redirect, patch, only, &|| false) else {
        return true;
    };
    pr_err!(
        "no memory to revert patch '{}' at once ({})\n",
        &*patch.name,
        err.to_errno()
    );
    without(&mut core.layers, patch, only);
    mark_unpatched(patch, only);
    clear_filter(core, redirect);
    core.is_stale = true;
    thread::wake();
    false
}

/// What is left of the layers when those of a patch go, or of one object of it.
fn without(layers: &mut KVec<Layer>, patch: &Patch, only: Option<usize>) {
    layers.retain(|layer| layer.patch != patch.id || only.is_some_and(|index| layer.object as usize != index));
    replace::uncover(layers);
}

fn mark_unpatched(patch: &Patch, only: Option<usize>) {
    for (index, object) in patch.objects.iter().enumerate() {
        if only.is_none_or(|only| only == index) {
            object.patched.store(false, Ordering::Relaxed);
        }
    }
}

/// Leaves only the functions of layers in the filter.
pub(super) fn clear_filter(core: &Core, redirect: &mut Redirect) {
    redirect.keep(|ip| core.layers.iter().any(|layer| layer.ip == ip));
}
