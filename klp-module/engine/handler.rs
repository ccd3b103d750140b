// SPDX-License-Identifier: GPL-2.0-only
//! What the ftrace handler, the hooks and patches read without a lock: one table, published as a whole. Invariant: the way
//! each function goes, the code to be avoided and the states of tasks always belong together, because they are one value.

use kernel::{prelude::*, sync::Arc};

use super::{state::Core, tasks::Tasks};
use crate::{
    kernel_api::{
        ftrace,
        published::{PreemptOff, Published, Reentry},
        task::{in_trampoline, Still, Walk},
    },
    pure::{
        func_stack,
        ip_table::{self, Entry},
        stack_verdict::{self, FuncId, Range, Verdict},
    },
};

/// What is in force.
pub(crate) static CURRENT: Published<Table> = Published::new();

/// One state of the world.
pub(crate) struct Table {
    slots: KVec<Entry>,
    /// Descriptions of the patches that every task has.
    complete: KVec<usize>,
    /// Only during a transition; so are the next three.
    tasks: Option<Arc<Tasks>>,
    /// What an unpatched task may be in.
    old_code: KVec<Range>,
    /// What a patched task may be in.
    new_code: KVec<Range>,
    /// Where the functions concerned call out to ftrace.
    ips: KVec<(usize, FuncId)>,
}

impl Table {
    /// What `core` says now.
    pub(crate) fn of(core: &Core) -> Result<Self> {
        let layers = core.layers.as_slice();
        let mut slots = KVec::from_elem(Entry::default(), ip_table::slots_for(layers.len()), GFP_KERNEL)?;
        for layer in layers.iter().filter(|layer| func_stack::is_top(layers, layer)) {
            if !ip_table::put(&mut slots, func_stack::entry(layers, layer.ip, core.moving())) {
                return Err(ENOMEM);
            }
        }
        let mut complete = KVec::new();
        for registered in &core.patches {
            if registered.patch.is_enabled() && !core.phase.moves(registered.patch.id) {
                complete.push(registered.patch.description.key(), GFP_KERNEL)?;
            }
        }
        let mut ips = KVec::new();
        let (mut old_code, mut new_code) = (KVec::new(), KVec::new());
        if let Some((patch, _)) = core.moving() {
            old_code = code(core, patch, false)?;
            new_code = code(core, patch, true)?;
            for layer in layers.iter().filter(|layer| layer.patch == patch && !layer.immediate) {
                ips.push((layer.ip, (layer.object, layer.func)), GFP_KERNEL)?;
            }
        }
        let tasks = core.motion.as_ref().map(|motion| motion.tasks.clone());
        if let Some(tasks) = tasks
            .as_ref()
            .filter(|_| ips.iter().any(|&(ip, _)| ftrace::has_direct(ip)))
        {
            tasks.set_traced();
        }
        Ok(Self {
            slots,
            complete,
            tasks,
            old_code,
            new_code,
            ips,
        })
    }

    /// Nothing patched and nothing moving: there is nothing to look up.
    pub(crate) fn is_empty(&self) -> bool {
        self.slots.is_empty() && self.tasks.is_none() && self.complete.is_empty()
    }

    /// Moves a task to where the transition goes, if its stack allows that. `entering` is for the handler alone: where it
    /// was called from.
    ///
    /// A BPF trampoline that does not know yet that calls are sent elsewhere is about to call the original, and nothing else on
    /// the stack tells it (`kernel/bpf/trampoline.c:bpf_trampoline_update` has functions jump there). It may be one of before
    /// the transition, and whose it is cannot be told: so none may be on the stack when a function concerned has any.
    pub(crate) fn try_move(&self, tasks: &Tasks, task: &Still<'_>, mut entering: Option<usize>) -> Verdict {
        let patched = tasks.target_patched();
        if tasks.is_patched(task.key()) == patched || task.is_dead() {
            return Verdict::Moved;
        }
        let leaves = if patched { &self.old_code } else { &self.new_code };
        let mut inside = None;
        let walk = task.walk_stack(|address| {
            inside = stack_verdict::inside(leaves, &self.ips, &mut entering, address);
            inside.is_some() || (tasks.is_traced() && in_trampoline(address))
        });
        match (walk, inside) {
            (_, Some(func)) => Verdict::Inside(func),
            (Walk::Complete, None) => match tasks.set_patched(task.key(), patched) {
                Ok(()) => Verdict::Moved,
                Err(_) => Verdict::NoRoom,
            },
            (Walk::Stopped | Walk::Unreliable, None) => Verdict::Unreliable,
        }
    }
}

fn code(core: &Core, patch: u32, patched: bool) -> Result<KVec<Range>> {
    let mut ranges = KVec::new();
    let mut full = Ok(());
    func_stack::affected(&core.layers, patch, patched, |range| {
        if let Err(err) = ranges.push(range, GFP_KERNEL) {
            full = Err(err);
        }
    });
    full?;
    Ok(ranges)
}

/// The transition that is running, for a hook.
#[inline]
pub(crate) fn in_transition<'a>(proof: PreemptOff<'a>) -> Option<(&'a Table, &'a Tasks)> {
    let table = CURRENT.read(proof)?;
    Some((table, table.tasks.as_deref()?))
}

/// Where `task`, which is the caller, goes on when it enters the function that calls out at `ip`; 0 is the original. Must
/// stay free of panics and, but for [`reenter`], of calls to anything that is traced.
#[inline]
pub(crate) fn choose(proof: PreemptOff<'_>, ip: usize, task: Still<'_>) -> usize {
    let Some(table) = CURRENT.read(proof) else { return 0 };
    ip_table::choose(&table.slots, ip, |entry| by_state(proof, table, entry, task))
}

/// The same where it depends on the task. Apart, so that outside of transitions a call pays for nothing of this; and what is
/// rare in a transition is apart from this.
#[inline(never)]
fn by_state(proof: PreemptOff<'_>, table: &Table, entry: &Entry, task: Still<'_>) -> usize {
    let Some(tasks) = table.tasks.as_deref() else {
        return entry.patched;
    };
    match tasks.glance(task.key()) {
        Some(patched) if patched == tasks.target_patched() || !task.never_leaves_kernel() => entry.way(patched),
        _ => by_search(proof, table, tasks, entry, task),
    }
}

/// The same for a task that takes a search, or may have to move.
#[inline(never)]
fn by_search(proof: PreemptOff<'_>, table: &Table, tasks: &Tasks, entry: &Entry, task: Still<'_>) -> usize {
    let patched = tasks.is_patched(task.key());
    if patched == tasks.target_patched() || !task.never_leaves_kernel() {
        return entry.way(patched);
    }
    reenter(proof, table, tasks, entry.ip, &task);
    entry.way(tasks.is_patched(task.key()))
}

/// A kernel thread that lives inside a patched function is never seen outside of it, except here: at its next entry, before
/// anything is chosen. It moves when nothing else that is affected is on its stack.
#[cold]
fn reenter(proof: PreemptOff<'_>, table: &Table, tasks: &Tasks, ip: usize, task: &Still<'_>) {
    // Whoever enters a patch that is refused then would be in it when its module is freed.
    if !tasks.has_begun() {
        return;
    }
    // The walk calls functions that may be patched themselves: those just get what the task has.
    let Some(_once) = Reentry::begin(proof) else { return };
    if table.try_move(tasks, task, Some(ip)) == Verdict::Moved {
        tasks.moved_by_hook();
    }
}

/// Does every task have this patch?
pub(crate) fn is_complete(proof: PreemptOff<'_>, description: usize) -> bool {
    CURRENT
        .read(proof)
        .is_some_and(|table| table.complete.contains(&description))
}
