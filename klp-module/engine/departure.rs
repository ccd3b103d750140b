// SPDX-License-Identifier: GPL-2.0-only
//! Modules whose functions some task may still be in though nobody can enter them any more. Where immediate functions are in
//! play nobody has waited for these tasks, so the modules wait here. Patches that were forced never come here: they stay.
//!
//! Invariant: a patch on the list has a reference on its module, given back when every task has been seen outside of it
//! since it came here. Once out, a task stays out, so none need be seen twice.

use core::sync::atomic::Ordering;
use kernel::{prelude::*, sync::Arc};

use super::{patch::Patch, state::Core};
use crate::{
    kernel_api::task::{self, OnCpu, Still, Walk},
    pure::stack_verdict::{self, FuncId, Range},
};

/// Milliseconds after the first look. A look stops the machine for a moment, so the pauses double.
const FIRST_PAUSE: u32 = 50;
/// And no more than that.
const LONGEST_PAUSE: u32 = 2_000;

/// Where ftrace is called from, to look for tasks between that call and the function they were led to.
pub(super) type Calls = KVec<(usize, FuncId)>;

/// A module that waits.
pub(crate) struct Leaving {
    patch: Arc<Patch>,
    /// All of its code: a function that ended in a jump to another does not show on the stack.
    code: [Range; 1],
    calls: Arc<Calls>,
    pause: u32,
}

/// What [`delay`] needs of the functions in force, before they go, and room for all patches that may; none when nothing that is
/// there is immediate.
pub(super) fn calls(core: &mut Core) -> Result<Option<Arc<Calls>>> {
    if !core.patches.iter().any(|registered| registered.patch.has_immediate()) {
        return Ok(None);
    }
    core.leaving.reserve(core.patches.len(), GFP_KERNEL)?;
    let mut calls = KVec::new();
    for layer in &core.layers {
        calls.push((layer.ip, (layer.object, layer.func)), GFP_KERNEL)?;
    }
    Ok(Some(Arc::new(calls, GFP_KERNEL)?))
}

/// The module of a patch that is out of force waits for the tasks inside.
pub(super) fn delay(core: &mut Core, patch: &Arc<Patch>, calls: &Arc<Calls>) {
    let (start, end) = patch.description.module().text();
    let leaving = Leaving {
        patch: patch.clone(),
        code: [Range {
            start,
            end,
            layer: (0, 0),
        }],
        calls: calls.clone(),
        pause: FIRST_PAUSE,
    };
    patch.stays.store(true, Ordering::Relaxed);
    if !task::stacks_are_reliable() {
        pr_notice!(
            "tasks cannot be seen to leave patch '{}': its module stays\n",
            &*patch.name
        );
    } else {
        // Its room was made by `calls`.
        let _ = core.leaving.push(leaving, GFP_KERNEL);
    }
}

/// Looks for tasks inside, and lets go the modules that nobody is in. After how many milliseconds to look again; 0: never.
/// Not during a transition, which looks at tasks more often than is good here.
pub(super) fn look(core: &mut Core) -> u32 {
    core.leaving.retain(|leaving| !leaving.is_over());
    core.leaving.iter_mut().map(Leaving::pause).min().unwrap_or(0)
}

impl Leaving {
    fn pause(&mut self) -> u32 {
        let next = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        core::mem::replace(&mut self.pause, next)
    }

    fn is_over(&mut self) -> bool {
        let Self {
            patch,
            code,
            calls,
            pause: _,
        } = self;
        let outside = |task: &Still<'_>| {
            let stop = |address| stack_verdict::inside(code, calls, &mut None, address).is_some();
            task.is_dead() || task.walk_stack(stop) == Walk::Complete
        };
        let mut inside = false;
        // The idle task of a CPU that is off never returns to where it was.
        task::each_on_cpu(|task| inside |= matches!(task, OnCpu::Still(task) if task.is_idle() && !outside(&task)));
        if !inside {
            // Nothing but the stoppers runs then, so that every other task has its whole stack in memory.
            task::sweep(|task| inside |= !outside(&task));
        }
        if !inside {
            patch.description.module().put();
        }
        !inside
    }
}
