// SPDX-License-Identifier: GPL-2.0-only
//! The transition of the one patch that is moving: prepare, start, step until every task has moved, complete; reverse,
//! force, end. Who may move is pure/stack_verdict.rs' matter. All under the core's lock but [`step`], which takes it.
//!
//! Invariant: the handler is told that a transition is over, and everybody who might not have heard has been waited for,
//! before the hooks that keep the task set true go.

use core::sync::atomic::Ordering;
use kernel::{
    prelude::*,
    str::CStr,
    sync::Arc,
    time::{delay::fsleep, Delta},
};

use super::{
    departure,
    handler::Table,
    objects,
    patch::Patch,
    registered::Registered,
    replace,
    state::{self, Core, Motion, CORE},
    states,
    tasks::Tasks,
};
use crate::{
    kernel_api::{
        description::Moment,
        dir::Event,
        ftrace::Redirect,
        hooks::Hooks,
        published,
        task::{self, OnCpu, Seen},
        thread,
        trace::{self, Step, Why},
    },
    pure::{
        backoff::Backoff,
        phase::{self, Direction, Phase},
        stack_verdict::Verdict,
    },
};

/// After so many looks at the tasks, those that wait on a runqueue are looked at while the machine stands: if the last look
/// found any, because a transition may last for ever and must not stop the machine again and again for nothing.
const LOOKS_BEFORE_SWEEP: u32 = 3;

/// Milliseconds until it is tried again to tell the handler, when memory was short.
const RETRY: u32 = 100;

/// All tasks are where the transition begins. The handler does not know of it yet.
pub(crate) fn prepare(core: &mut Core, patch: &Patch, direction: Direction) -> Result {
    thread::debug(&patch.name, c"initializing ", transition_of(direction));
    let tasks = Arc::new(Tasks::new(direction, task::count())?, GFP_KERNEL)?;
    states::remember(core)?;
    core.motion = Some(Motion {
        tasks,
        hooks: None,
        backoff: Backoff::new(),
        looks: 0,
        unreached: 0,
        waited: 0,
        forced: false,
        told_crowded: false,
    });
    patch.set_in_transition(true);
    Ok(())
}

/// All that can fail before tasks move. The table is for [`start`], if the handler has to have another by then.
pub(crate) fn ready(core: &mut Core, patch: &Patch, direction: Direction) -> Result<Option<Option<Arc<Table>>>> {
    // Immediate functions come into force with the transition: nobody may be in them as long as it can fail.
    let released = objects::release_immediate(core, patch);
    // A patch that comes is in the handler's table already.
    let table = (released || direction == Direction::Unpatching)
        .then(|| core.draw())
        .transpose()?;
    let motion = core.motion.as_mut().ok_or(EINVAL)?;
    motion.hooks = Some(Hooks::register()?);
    Ok(table)
}

/// Tasks move from now on, and the handler knows.
pub(crate) fn start(core: &mut Core, patch: &Patch, direction: Direction, table: Option<Option<Arc<Table>>>) {
    if let Some(motion) = &core.motion {
        motion.tasks.begin();
    }
    if let Some(table) = table {
        core.show(table);
    }
    pr_notice!("'{}': starting {} transition\n", &*patch.name, direction.as_str());
    trace::transition(&patch.name, Step::Started);
}

fn transition_of(direction: Direction) -> &'static CStr {
    match direction {
        Direction::Patching => c"patching transition",
        Direction::Unpatching => c"unpatching transition",
    }
}

/// Tasks go back to where they came from.
pub(crate) fn reverse(core: &mut Core, patch: &Patch) -> Result {
    let phase = core.phase;
    core.advance(phase::Event::Reverse(patch.id))?;
    let Some((_, direction)) = core.moving() else {
        return Err(EINVAL);
    };
    let way = match direction {
        Direction::Patching => c"unpatching to patching",
        Direction::Unpatching => c"patching to unpatching",
    };
    thread::debug(&patch.name, c"reversing transition from ", way);
    // For immediate functions, which go with the direction.
    if let Err(err) = core.publish() {
        // Or it would arrive where nobody goes.
        core.phase = phase;
        return Err(err);
    }
    let motion = core.motion.as_mut().ok_or(EINVAL)?;
    motion.tasks.turn();
    // A hook that read the old target may still be moving its task there. Once all have ended, every look at a task sees
    // where it is.
    published::synchronize();
    patch.set_enabled(direction.arrives_patched());
    motion.backoff = Backoff::new();
    motion.looks = 0;
    motion.waited = 0;
    pr_notice!("'{}': starting {} transition\n", &*patch.name, direction.as_str());
    trace::transition(&patch.name, Step::Reversed);
    announce(core, patch, Event::Change);
    thread::wake();
    Ok(())
}

/// The administrator takes the responsibility for tasks that have not moved.
pub(crate) fn force(core: &mut Core, patch: &Patch) {
    pr_warn!("forcing remaining tasks to the patched state\n");
    trace::transition(&patch.name, Step::Forced);
    if let Some((_, Direction::Unpatching)) = core.moving() {
        patch.stays.store(true, Ordering::Relaxed);
    }
    if let Some(motion) = core.motion.as_mut() {
        motion.forced = true;
    }
    thread::wake();
}

/// The phase is `Idle` again. What this returns must live until the handler knows.
pub(super) fn end(core: &mut Core, patch: &Patch) -> Option<Motion> {
    let _ = core.advance(phase::Event::Arrived);
    patch.set_in_transition(false);
    core.motion.take()
}

/// One look at the tasks; the thread calls it. Returns after how many milliseconds to look again, 0 for never.
pub(crate) fn step() -> u32 {
    let mut redirect = state::redirecting();
    let mut core = CORE.lock();
    if core.tidy(redirect.as_mut()).is_err() {
        return RETRY;
    }
    let Phase::Moving { patch, direction } = core.phase else {
        return departure::look(&mut core);
    };
    let Some(patch) = core.patches.iter().find(|registered| registered.patch.id == patch) else {
        return 0;
    };
    let patch = patch.patch.clone();
    match look(&mut core, &patch) {
        Look::Again(pause) => return pause,
        Look::Arrived => {}
    }
    let Some(ops) = redirect.as_mut() else { return 0 };
    let gone = match complete(&mut core, ops, &patch, direction) {
        Ok(gone) => gone,
        Err(err) if err == EAGAIN => {
            thread::debug(&patch.name, c"looking again: a child was forked that had no room", c"");
            return core.motion.as_mut().map_or(RETRY, Motion::pause);
        }
        Err(err) => {
            pr_err!(
                "'{}': failed to complete the transition ({})\n",
                &*patch.name,
                err.to_errno()
            );
            return RETRY;
        }
    };
    let unused = core.is_unused();
    let mut patches = core.patches.iter_mut();
    let complete = patches.find(|registered| registered.patch.id == patch.id);
    let originals = complete.map(Registered::take_originals);
    drop(core);
    drop(originals);
    for registered in gone {
        registered.release();
    }
    if unused {
        // May wait long for whoever is inside the trampoline; who brings a patch or loads a module waits for it, nobody else.
        *redirect = None;
    }
    0
}

enum Look {
    Again(u32),
    Arrived,
}

/// Moves every task that can be moved.
fn look(core: &mut Core, patch: &Patch) -> Look {
    let (Some(table), Some(motion)) = (core.table.clone(), core.motion.as_mut()) else {
        return Look::Arrived;
    };
    if motion.forced || patch.immediate {
        return Look::Arrived;
    }
    let tasks = motion.tasks.clone();
    if let Err(err) = tasks.grow() {
        if !core::mem::replace(&mut motion.told_crowded, true) {
            pr_warn!("no memory for the states of more tasks ({})\n", err.to_errno());
        }
    }
    tasks.begin_look();
    let before = tasks.moves();
    let pending = |task: usize| tasks.is_patched(task) != tasks.target_patched();
    let (mut left, mut unreached) = (0usize, 0usize);
    // Whoever is running now, and the idle tasks, which are not in the task list and are counted here.
    task::each_on_cpu(|task| match task {
        OnCpu::Still(task) if pending(task.key()) => {
            let verdict = table.try_move(&tasks, &task, None);
            if verdict != Verdict::Moved && task.is_idle() {
                left = left.saturating_add(1);
                report(patch, &task.seen(), verdict);
            }
        }
        OnCpu::Off(idle) if tasks.set_patched(idle.key(), tasks.target_patched()).is_err() => {
            left = left.saturating_add(1);
            report(patch, &idle, Verdict::NoRoom);
        }
        OnCpu::Still(_) | OnCpu::Off(_) => {}
    });
    if left != 0 {
        // Where they move by themselves.
        task::wake_idle();
    }
    motion.looks = motion.looks.saturating_add(1);
    if motion.looks > LOOKS_BEFORE_SWEEP && motion.unreached > 0 {
        task::sweep(|task| {
            if pending(task.key()) {
                table.try_move(&tasks, &task, None);
            }
        });
    }
    let signal = motion.is_time_to_signal();
    task::each(|task| {
        if !pending(task.key()) {
            return;
        }
        let verdict = task
            .if_blocked(|task| table.try_move(&tasks, &task, None))
            .unwrap_or(Verdict::Running);
        if verdict == Verdict::Running {
            unreached = unreached.saturating_add(1);
        }
        if verdict != Verdict::Moved {
            left = left.saturating_add(1);
            report(patch, &task, verdict);
            if signal {
                task.fake_signal();
            }
        }
    });
    motion.unreached = unreached;
    trace::transition(&patch.name, Step::RoundEnded);
    if left == 0 {
        return Look::Arrived;
    }
    if signal {
        pr_notice!("signaling remaining tasks\n");
    }
    if tasks.expect(before, left) {
        motion.waited = motion.waited.saturating_add(1);
        return Look::Again(1);
    }
    Look::Again(motion.pause())
}

/// For whoever has dynamic debug or the tracepoint on: what keeps a task. The numbers are those of the kernel's core.
fn report(patch: &Patch, task: &Seen<'_>, verdict: Verdict) {
    let (words, why, function) = match verdict {
        Verdict::Moved => return,
        Verdict::Running => (c"is running", Why::Running, c""),
        Verdict::Unreliable => (c"has an unreliable stack", Why::Unreliable, c""),
        Verdict::NoRoom => (c"has no room in the task set", Why::NoRoom, c""),
        Verdict::Inside((object, func)) => {
            let object = patch.objects.get(object as usize);
            let name = object
                .and_then(|object| object.funcs.get(func as usize))
                .map(|func| &*func.name);
            (c"is sleeping on function ", Why::Inside, name.unwrap_or(c"?"))
        }
    };
    task.report(words, why, function);
}

/// Every task has moved. Returns the patches whose end that was: the one that was taken back, or those that were replaced.
fn complete(core: &mut Core, redirect: &mut Redirect, patch: &Patch, direction: Direction) -> Result<KVec<Registered>> {
    thread::debug(&patch.name, c"completing ", transition_of(direction));
    let patched = patch.patched_objects()?;
    let calls = departure::calls(core)?;
    if cfg!(any(klp_rs_without = "fork", klp_rs_without = "haste")) {
        // As if the thread lost its CPU: children that are forked now must be where their parents are.
        fsleep(Delta::from_millis(100));
    }
    let mut gone = KVec::with_capacity(1, GFP_KERNEL)?;
    let (motion, phase) = (core.motion.take(), core.phase);
    core.advance(phase::Event::Arrived)?;
    let forced = motion.as_ref().is_some_and(|motion| motion.forced);
    let tasks = motion.as_ref().map(|motion| motion.tasks.clone());
    let strayed = || !forced && !patch.immediate && tasks.as_ref().is_some_and(|tasks| tasks.has_strays());
    let told = match direction {
        Direction::Patching if patch.replace => {
            replace::replace(core, redirect, patch, &strayed).map(|replaced| gone = replaced)
        }
        Direction::Patching => core.publish_unless(&strayed),
        Direction::Unpatching => objects::unpatch(core, redirect, patch, None, &strayed),
    };
    if let Err(err) = told {
        // The handler still has what it had: so has the core.
        (core.motion, core.phase) = (motion, phase);
        return Err(err);
    }
    if forced {
        // Somebody may still be in the functions of those that go.
        gone.iter()
            .for_each(|registered| registered.patch.stays.store(true, Ordering::Relaxed));
    }
    for index in patched {
        let Some(object) = patch.objects.get(index) else {
            continue;
        };
        object.form.call(match direction {
            Direction::Patching => Moment::PostPatch,
            Direction::Unpatching => Moment::PostUnpatch,
        });
    }
    states::forget();
    pr_notice!("'{}': {} complete\n", &*patch.name, direction.as_str());
    trace::transition(&patch.name, Step::Completed);
    patch.set_in_transition(false);
    announce(core, patch, Event::Change);
    // Only after the table was replaced: until then children inherited through the hooks. And after everybody was told:
    // unregistering them takes longer than all the rest.
    drop(motion);
    if let Direction::Unpatching = direction {
        let place = core
            .patches
            .iter()
            .position(|registered| registered.patch.id == patch.id);
        if let Some(Ok(registered)) = place.map(|place| core.patches.remove(place)) {
            // Its room was made above.
            let _ = gone.push(registered, GFP_KERNEL);
        }
    }
    if let Some(calls) = calls {
        for registered in &gone {
            if !registered.patch.stays.load(Ordering::Relaxed) {
                departure::delay(core, &registered.patch, &calls);
            }
        }
        thread::wake();
    }
    Ok(gone)
}

fn announce(core: &Core, patch: &Patch, event: Event) {
    if let Some(registered) = core.patches.iter().find(|registered| registered.patch.id == patch.id) {
        registered.announce(event);
    }
}
