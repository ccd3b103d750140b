// SPDX-License-Identifier: GPL-2.0-only
//! Atomic replace: one patch instead of all that are there. Its own functions are put in force as any patch's; here is what
//! it does to the functions that it has not, and to the other patches in the end. Invariant: a layer that brings an original
//! back exists only over another patch's layer.

use core::sync::atomic::Ordering;
use kernel::prelude::*;

use super::{
    objects::clear_filter,
    patch::Patch,
    registered::Registered,
    state::{Core, Unless},
};
use crate::{kernel_api::ftrace::Redirect, pure::func_stack::Layer};

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
pub(super) fn uncover(layers: &mut KVec<Layer>) {
    let mut real = 0usize;
    // Moves what is to stay to the front, in order; a layer looks at all others, so `retain` would not do.
    for index in 0..layers.len() {
        let Some(&layer) = layers.get(index) else { return };
        let needed = |other: &Layer| other.ip == layer.ip && !other.is_original();
        if !layer.is_original() || layers.iter().any(needed) {
            if let Some(place) = layers.get_mut(real) {
                *place = layer;
            }
            real = real.saturating_add(1);
        }
    }
    layers.truncate(real);
}

/// Takes all patches but `patch` out of force and off the list: every task has the one that replaces them. What brought
/// originals back goes with what it covered.
pub(crate) fn replace(
    core: &mut Core,
    redirect: &Redirect,
    patch: &Patch,
    unless: Unless<'_>,
) -> Result<KVec<Registered>> {
    let mut replaced = KVec::with_capacity(core.patches.len(), GFP_KERNEL)?;
    let mut kept = KVec::with_capacity(core.layers.len(), GFP_KERNEL)?;
    for layer in core
        .layers
        .iter()
        .filter(|layer| layer.patch == patch.id && !layer.is_original())
    {
        kept.push(*layer, GFP_KERNEL)?;
    }
    // First, because the table says who is complete.
    set_enabled_but(core, patch, false);
    let mut ips = core
        .keep(kept, unless)
        .inspect_err(|_| set_enabled_but(core, patch, true))?;
    clear_filter(core, redirect, &mut ips);
    while let Some(place) = core.patches.iter().position(|other| other.patch.id != patch.id) {
        let Ok(registered) = core.patches.remove(place) else {
            break;
        };
        for object in &registered.patch.objects {
            object.patched.store(false, Ordering::Relaxed);
        }
        // Its room was made above.
        let _ = replaced.push(registered, GFP_KERNEL);
    }
    Ok(replaced)
}

/// All patches but this one: while it replaces them they are enabled, before and if it fails.
fn set_enabled_but(core: &Core, patch: &Patch, enabled: bool) {
    for other in core.patches.iter().filter(|other| other.patch.id != patch.id) {
        other.patch.set_enabled(enabled);
    }
}
