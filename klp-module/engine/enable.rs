// SPDX-License-Identifier: GPL-2.0-only
//! How a patch comes: checked, resolved, put in force for tasks that will move; and how its disabling begins. What follows
//! is the transition's. Invariant: when enabling fails nothing is left of the patch, in the handler, in sysfs or in the
//! reference count of its module.

use kernel::{prelude::*, sync::Arc};

use super::{
    handler::Table,
    objects,
    patch::Patch,
    registered::Registered,
    replace,
    state::{Core, CORE, REDIRECT},
    states, transition,
};
use crate::{
    kernel_api::{
        description::{Description, Moment},
        dir::Event,
        ftrace::Redirect,
        module::Module,
        task, thread,
    },
    pure::phase::{self, Direction},
};

/// `klp_rs_enable_patch()`.
pub(crate) fn enable(description: Description) -> Result {
    if description.objects().any(|object| !object.has_funcs()) {
        return Err(EINVAL);
    }
    if !task::stacks_are_reliable() && !description.immediate() {
        pr_err!("This kernel doesn't have support for the livepatch consistency model.\n");
        pr_err!("patch '{}' is not immediate\n", description.module().name());
        return Err(task::no_consistency());
    }
    description.module().get()?;
    let id = fresh_id(description.module()).inspect_err(|_| description.module().put())?;
    let registered = Patch::of(id, description)
        .and_then(|patch| Ok(Arc::new(patch, GFP_KERNEL)?))
        .and_then(Registered::of)
        .inspect_err(|_| description.module().put())?;
    let patch = registered.patch.clone();
    enable_registered(registered).map_err(|(registered, err)| {
        if let Some(registered) = registered {
            registered.release();
        } else {
            patch.description.module().put();
        }
        err
    })
}

/// A number for the patch of this module, which is the only one of its name.
fn fresh_id(module: Module) -> Result<u32> {
    let mut core = CORE.lock();
    if core
        .patches
        .iter()
        .any(|registered| &*registered.patch.name == module.name())
    {
        return Err(EEXIST);
    }
    Ok(core.fresh_id())
}

type Refused = (Option<Registered>, Error);

fn enable_registered(mut registered: Registered) -> Result<(), Refused> {
    let patch = registered.patch.clone();
    let mut redirect = REDIRECT.lock();
    let mut core = CORE.lock();
    if let Err(err) = states::admit(&core, &patch) {
        return Err((Some(registered), err));
    }
    if let Err(err) = if patch.replace {
        registered.cover(&core.patches)
    } else {
        Ok(())
    } {
        return Err((Some(registered), err));
    }
    let mut resolved = KVec::new();
    for (index, object) in patch.objects.iter().enumerate() {
        let module = object.name.as_deref().map(Module::find);
        if let Some(None) = module {
            continue;
        }
        object.form.set_module(module.flatten());
        match objects::resolve(&patch, index).and_then(|found| Ok(resolved.push((index, found), GFP_KERNEL)?)) {
            Ok(()) => {}
            Err(err) => return Err((Some(registered), err)),
        }
    }
    // Room first: a vector that cannot keep a patch would drop its directories, which must not happen under this lock.
    let room = core.patches.reserve(1, GFP_KERNEL).map_err(Error::from);
    let before = match room.and_then(|()| core.shown()) {
        Ok(before) => before,
        Err(err) => return Err((Some(registered), err)),
    };
    if let Err(err) = core.advance(phase::Event::Enable(patch.id)) {
        return Err((Some(registered), err));
    }
    pr_notice!("enabling patch '{}'\n", &*patch.name);
    if core.patches.push(registered, GFP_KERNEL).is_err() {
        // Not with the room made above.
        let _ = core.advance(phase::Event::Arrived);
        return Err((None, ENOMEM));
    }
    let mut done = Done::default();
    let begun = begin(&mut core, &mut redirect, &patch, &resolved, &mut done);
    if begun.is_ok() {
        if let Some(registered) = core.patches.last() {
            registered.announce(Event::Add);
        }
        drop(core);
        thread::wake();
        return Ok(());
    }
    pr_warn!("failed to enable patch '{}'\n", &*patch.name);
    cancel(&mut core, redirect.as_ref(), &patch, done, before);
    let registered = core.patches.pop();
    let unused = core.is_unused();
    drop(core);
    if unused {
        *redirect = None;
    }
    begun.map_err(|err| (registered, err))
}

/// How far enabling has come, for [`cancel`].
#[derive(Default)]
struct Done {
    /// Objects whose `pre_patch` was called and agreed.
    prepared: KVec<usize>,
    /// New places in the ftrace filter.
    ready: KVec<usize>,
}

/// From here on the handler knows the patch; tasks may move as soon as this has succeeded.
fn begin(
    core: &mut Core,
    redirect: &mut Option<Redirect>,
    patch: &Patch,
    resolved: &[(usize, KVec<objects::Resolved>)],
    done: &mut Done,
) -> Result {
    done.prepared.reserve(resolved.len(), GFP_KERNEL)?;
    transition::prepare(core, patch, Direction::Patching)?;
    done.ready = objects::new_ips(core, resolved.iter().flat_map(|(_, resolved)| resolved))?;
    objects::make_room(core, done.ready.len())?;
    // At once, because each change of the filter looks at all functions that the kernel has. What is refused is asked for again,
    // object by object, to say what it was.
    let all = match redirect {
        Some(redirect) => redirect.add(&mut done.ready),
        None => Redirect::register(&mut done.ready).map(|new| *redirect = Some(new)),
    };
    if all.is_err() {
        done.ready.clear();
    }
    for (index, resolved) in resolved {
        let object = patch.objects.get(*index).ok_or(EINVAL)?;
        object.form.pre_patch().inspect_err(|_| {
            pr_warn!("pre-patch callback failed for object '{}'\n", object.title());
        })?;
        done.prepared.push(*index, GFP_KERNEL)?;
        registered_ops(redirect)
            .inspect_err(|&err| objects::report_unregistered(object, err))
            .and_then(|redirect| objects::patch(core, redirect, patch, *index, resolved, &done.ready))
            .inspect_err(|_| pr_warn!("failed to patch object '{}'\n", object.title()))?;
    }
    // Also for a patch whose modules are yet to come.
    registered_ops(redirect)?;
    replace::cover(core, patch)?;
    patch.set_enabled(true);
    let table = transition::ready(core, patch, Direction::Patching)?;
    transition::start(core, patch, Direction::Patching, table);
    Ok(())
}

/// The ops, which the first patch brings.
fn registered_ops(redirect: &mut Option<Redirect>) -> Result<&Redirect> {
    match redirect {
        Some(redirect) => Ok(redirect),
        None => Ok(redirect.insert(Redirect::register(&mut [])?)),
    }
}

/// Enabling failed before any task could move; `before` is what the handler had before the patch came.
fn cancel(core: &mut Core, redirect: Option<&Redirect>, patch: &Patch, done: Done, before: Option<Arc<Table>>) {
    let Done { prepared, mut ready } = done;
    thread::debug(&patch.name, c"canceling patching transition, going to unpatch", c"");
    patch.set_enabled(false);
    // With one table: once the transition is over, everybody would enter what is still in force.
    let motion = transition::end(core, patch);
    // Places of objects that it did not come to are not cleared with its layers.
    ready.retain(|ip| !core.layers.iter().any(|layer| layer.ip == *ip));
    if !redirect.is_some_and(|redirect| objects::withdraw(core, redirect, patch, None)) {
        core.show(before);
    }
    drop(motion);
    if let Some(redirect) = redirect {
        objects::clear_filter(core, redirect, &mut ready);
    }
    thread::debug(&patch.name, c"completing ", c"unpatching transition");
    for object in prepared.iter().filter_map(|&index| patch.objects.get(index)) {
        object.form.call(Moment::PostUnpatch);
    }
    states::forget();
    pr_notice!("'{}': {} complete\n", &*patch.name, Direction::Unpatching.as_str());
}

/// Begins to take a patch back.
pub(super) fn disable(core: &mut Core, patch: &Patch) -> Result {
    let before = core.shown()?;
    core.advance(phase::Event::Disable(patch.id))?;
    let ready = transition::prepare(core, patch, Direction::Unpatching)
        .and_then(|()| transition::ready(core, patch, Direction::Unpatching));
    match ready {
        Ok(table) => {
            // After all that can fail: it is not called again for a patch that stayed.
            patch.call_patched(Moment::PreUnpatch);
            transition::start(core, patch, Direction::Unpatching, table);
            patch.set_enabled(false);
            thread::wake();
            Ok(())
        }
        Err(err) => {
            abandon(core, patch, before);
            Err(err)
        }
    }
}

/// A patch could not begin to leave: the handler gets back what it had `before`.
fn abandon(core: &mut Core, patch: &Patch, before: Option<Arc<Table>>) {
    let motion = transition::end(core, patch);
    core.show(before);
    drop(motion);
    states::forget();
}
