// SPDX-License-Identifier: GPL-2.0-only
//! Objects: resolving their functions, putting these in force and taking them out. Knows nothing of tasks; when modules come
//! and go is modules.rs' matter. Invariant: an object's functions are in `Core::layers` and in the ftrace filter, or in
//! neither, whenever the core's lock is free.

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

/// Where these functions call out, as far as they do not yet.
pub(super) fn new_ips<'a>(core: &Core, resolved: impl Iterator<Item = &'a Resolved>) -> Result<KVec<usize>> {
    let mut ips = KVec::new();
    for func in resolved {
        let ip = func.layer.ip;
        // Several names can be one function's. To take a place out twice is an error.
        if func.traceable && !ips.contains(&ip) && !core.layers.iter().any(|layer| layer.ip == ip) {
            ips.push(ip, GFP_KERNEL)?;
        }
    }
    Ok(ips)
}

/// Puts an object's functions in force, as the phase says: at once, or for tasks that have moved. Those at `ready` call out
/// already.
pub(crate) fn patch(
    core: &mut Core,
    redirect: &Redirect,
    patch: &Patch,
    index: usize,
    resolved: &[Resolved],
    ready: &[usize],
) -> Result {
    let object = patch.objects.get(index).ok_or(EINVAL)?;
    if let Some(func) = resolved.iter().find(|func| !func.traceable) {
        let name = object.funcs.get(func.layer.func as usize).ok_or(EINVAL)?;
        pr_err!("failed to find location for function '{}'\n", &*name.name);
        return Err(EINVAL);
    }
    // The filter first: until the table is published, the handler finds nothing to do there.
    let mut ips = new_ips(core, resolved.iter())?;
    ips.retain(|ip| !ready.contains(ip));
    if let Err(err) = make_room(core, ips.len()).and_then(|()| redirect.add(&mut ips)) {
        report_refused(core, redirect, object, resolved, &ips, err);
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
        clear_filter(core, redirect, &mut ips);
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

/// The functions at `ips` were asked for together; the log names the one that was refused.
fn report_refused(
    core: &mut Core,
    redirect: &Redirect,
    object: &Object,
    resolved: &[Resolved],
    ips: &[usize],
    err: Error,
) {
    for func in resolved.iter().filter(|func| ips.contains(&func.layer.ip)) {
        let alone = make_room(core, 1).and_then(|()| redirect.add(&mut [func.layer.ip]));
        match (alone, object.funcs.get(func.layer.func as usize)) {
            (Ok(()), _) => clear_filter(core, redirect, &mut [func.layer.ip]),
            (Err(_), Some(func)) => report_function(&func.name, err),
            (Err(_), None) => {}
        }
    }
}

/// Takes functions out of force: those of a patch, or of one object of it. When this returns, no task that has moved back
/// (or never was in them) can enter them any more. With an error nothing has happened, and the whole may be tried again.
pub(crate) fn unpatch(
    core: &mut Core,
    redirect: &Redirect,
    patch: &Patch,
    only: Option<usize>,
    unless: Unless<'_>,
) -> Result {
    let mut kept = KVec::with_capacity(core.layers.len(), GFP_KERNEL)?;
    kept.extend_from_slice(&core.layers, GFP_KERNEL)?;
    without(&mut kept, patch, only);
    let mut ips = core.keep(kept, unless)?;
    mark_unpatched(patch, only);
    clear_filter(core, redirect, &mut ips);
    Ok(())
}

/// The same for what cannot stay. Without memory the handler keeps what it had, and the filter, too, until [`tidy`] has some. Says
/// whether the handler knows.
pub(super) fn withdraw(core: &mut Core, redirect: &Redirect, patch: &Patch, only: Option<usize>) -> bool {
    let Err(err) = unpatch(core, redirect, patch, only, &|| false) else {
        return true;
    };
    pr_err!(
        "no memory to revert patch '{}' at once ({})\n",
        &*patch.name,
        err.to_errno()
    );
    for layer in &core.layers {
        if goes(layer, patch, only) && !core.unwanted.contains(&layer.ip) {
            // Room was made when it came. What is another's, too, `tidy` leaves.
            let _ = core.unwanted.push_within_capacity(layer.ip);
        }
    }
    without(&mut core.layers, patch, only);
    mark_unpatched(patch, only);
    core.is_stale = true;
    thread::wake();
    false
}

/// What is left of the layers when those of a patch go, or of one object of it.
fn without(layers: &mut KVec<Layer>, patch: &Patch, only: Option<usize>) {
    layers.retain(|layer| !goes(layer, patch, only));
    replace::uncover(layers);
}

fn goes(layer: &Layer, patch: &Patch, only: Option<usize>) -> bool {
    layer.patch == patch.id && only.is_none_or(|index| layer.object as usize == index)
}

fn mark_unpatched(patch: &Patch, only: Option<usize>) {
    for (index, object) in patch.objects.iter().enumerate() {
        if only.is_none_or(|only| only == index) {
            object.patched.store(false, Ordering::Relaxed);
        }
    }
}

/// Before `more` places are added to the filter: so that each place there can be written down when it cannot be taken out.
pub(super) fn make_room(core: &mut Core, more: usize) -> Result {
    let all = core.layers.len().saturating_add(more);
    Ok(core.unwanted.reserve(all, GFP_KERNEL)?)
}

/// Takes places out of the filter that are nobody's any more; without memory [`tidy`] will. Until then they find nothing to do.
pub(super) fn clear_filter(core: &mut Core, redirect: &Redirect, ips: &mut [usize]) {
    if redirect.remove(ips).is_ok() {
        return;
    }
    for ip in ips {
        if !core.unwanted.contains(ip) {
            // Room was made for all that are there.
            let _ = core.unwanted.push_within_capacity(*ip);
        }
    }
    thread::wake();
}

/// Does what there was no memory for: tells the handler, and takes places out of the filter. False when there still is none.
pub(super) fn tidy(core: &mut Core, redirect: &Redirect) -> bool {
    if core.is_stale && core.publish().is_err() {
        return false;
    }
    let layers = &core.layers;
    core.unwanted
        .retain(|&mut ip| !layers.iter().any(|layer| layer.ip == ip));
    // One by one: a place that is not there any more must not keep the others.
    while let Some(&ip) = core.unwanted.last() {
        match redirect.remove(&mut [ip]) {
            Err(err) if err == ENOMEM => return false,
            Err(err) if err != ENOENT => pr_warn!("failed to clear the ftrace filter ({})\n", err.to_errno()),
            _ => {}
        }
        core.unwanted.pop();
    }
    true
}
