// SPDX-License-Identifier: GPL-2.0-only
//! What the core knows, and its two locks. Verbs are elsewhere. Invariant: what the handler sees (`handler::CURRENT`) is
//! always made from `layers`, `phase` and `tasks` here by [`Core::publish`], and by nothing else.

use core::ops::{Deref, DerefMut};
use kernel::{
    prelude::*,
    sync::{global_lock, Arc, GlobalGuard},
};

use super::{departure::Leaving, handler, handler::Table, patch::Patch, registered::Registered, tasks::Tasks};
use crate::{
    kernel_api::{ftrace::Redirect, hooks::Hooks, task_states},
    pure::{
        backoff::Backoff,
        func_stack::{Layer, Moving},
        phase::{Event, Illegal, Phase},
    },
};

global_lock! {
    /// Serialises everything about patches except what the handler, the hooks and `transition` files read without a lock.
    /// Held across a transition step, a change of the ftrace filter and callbacks; never across the unregistering of the
    /// ftrace ops or the removal of sysfs directories (whose readers take it).
    pub(crate) unsafe(uninit) static CORE: Mutex<Core> = Core::new();
}

global_lock! {
    /// Serialises registering and unregistering ftrace ops. Taken before [`CORE`], by those who may add or remove
    /// functions; held alone across the unregistering, which may take as long as some task needs to leave the trampoline.
    pub(crate) unsafe(uninit) static REDIRECT: Mutex<Option<Redirect>> = None;
}

/// [`REDIRECT`], held. Whoever lets go of it unregisters what functions that have left had of their own; a guard of [`CORE`],
/// being younger, is gone by then.
pub(crate) struct Redirecting(GlobalGuard<REDIRECT>);

/// Locks [`REDIRECT`].
pub(crate) fn redirecting() -> Redirecting {
    Redirecting(REDIRECT.lock())
}

impl Deref for Redirecting {
    type Target = Option<Redirect>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl DerefMut for Redirecting {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl Drop for Redirecting {
    fn drop(&mut self) {
        if let Some(redirect) = self.0.as_mut() {
            redirect.settle();
        }
    }
}

/// What a transition has beside its phase.
pub(crate) struct Motion {
    /// Tasks that have left the state in which they began.
    pub(crate) tasks: Arc<Tasks>,
    /// Registered from before the first task moves until the last one has and the handler knows.
    pub(crate) hooks: Option<Hooks>,
    /// When to look again.
    pub(crate) backoff: Backoff,
    /// How often the tasks were looked at since it began or turned.
    pub(crate) looks: u32,
    /// Tasks that the last look could not hold still.
    pub(crate) unreached: usize,
    /// Milliseconds waited between looks since tasks were last signalled.
    pub(crate) waited: u32,
    /// The administrator ended it.
    pub(crate) forced: bool,
    /// The log has that there was no memory for the states of more tasks.
    pub(crate) told_crowded: bool,
}

impl Motion {
    /// Milliseconds until the next look.
    pub(crate) fn pause(&mut self) -> u32 {
        let pause = self.backoff.pause();
        self.waited = self.waited.saturating_add(pause);
        pause
    }

    /// Have the remaining tasks had their time? Starts it again.
    pub(crate) fn is_time_to_signal(&mut self) -> bool {
        let after = crate::signal_after_ms();
        let due = after != 0 && self.waited >= after;
        if due {
            self.waited = 0;
        }
        due
    }
}

/// The module goes: what its lists have room in goes with it. Statics are never dropped.
pub(crate) fn stop() {
    let core = core::mem::replace(&mut *CORE.lock(), Core::new());
    drop(core);
}

/// Asked while the machine stands. True: what the handler has must not change.
pub(crate) type Unless<'a> = &'a (dyn Fn() -> bool + Sync);

/// Everything under [`CORE`].
pub(crate) struct Core {
    /// Oldest first.
    pub(crate) patches: KVec<Registered>,
    /// Replacements in force or in transition, in the order in which they came.
    pub(crate) layers: KVec<Layer>,
    /// What the core is doing.
    pub(crate) phase: Phase,
    /// There is one exactly while the phase is `Moving`.
    pub(crate) motion: Option<Motion>,
    /// Modules of patches that have gone, while tasks may be in them.
    pub(crate) leaving: KVec<Leaving>,
    /// What the handler has.
    pub(crate) table: Option<Arc<Table>>,
    /// Something went that could not stay, and there was no memory to tell the handler: the thread tries again.
    pub(crate) is_stale: bool,
    last_id: u32,
}

impl Core {
    const fn new() -> Self {
        Self {
            patches: KVec::new(),
            layers: KVec::new(),
            phase: Phase::Idle,
            motion: None,
            leaving: KVec::new(),
            table: None,
            is_stale: false,
            last_id: 0,
        }
    }

    /// A number that no registered patch has.
    pub(crate) fn fresh_id(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }

    /// Changes the phase, if that is legal.
    pub(crate) fn advance(&mut self, event: Event) -> Result {
        self.phase = self.phase.after(event).map_err(|illegal| match illegal {
            Illegal::Busy => EBUSY,
            Illegal::NotMoving => EINVAL,
        })?;
        Ok(())
    }

    /// The patch in transition and its direction.
    pub(crate) fn moving(&self) -> Moving {
        match self.phase {
            Phase::Idle => None,
            Phase::Moving { patch, direction } => Some((patch, direction)),
        }
    }

    /// The patch in transition itself.
    pub(crate) fn moving_patch(&self) -> Option<Arc<Patch>> {
        let moving = self
            .patches
            .iter()
            .find(|registered| self.phase.moves(registered.patch.id));
        moving.map(|registered| registered.patch.clone())
    }

    /// No patch, so that the ftrace ops may go.
    pub(crate) fn is_unused(&self) -> bool {
        self.patches.is_empty() && self.layers.is_empty()
    }

    /// Lets the handler see what is here, and waits until nobody uses what it saw before. Sleeps.
    pub(crate) fn publish(&mut self) -> Result {
        let table = self.draw()?;
        self.show(table);
        Ok(())
    }

    /// The same, or -EAGAIN and nothing has happened.
    pub(crate) fn publish_unless(&mut self, unless: Unless<'_>) -> Result {
        let table = self.draw()?;
        if !handler::CURRENT.replace_unless(table.clone(), unless) {
            return Err(EAGAIN);
        }
        self.is_stale = false;
        self.show_states();
        // What was there until now goes here: after its readers were told.
        self.table = table;
        Ok(())
    }

    /// What the handler would see: the part of [`Core::publish`] that can fail.
    pub(crate) fn draw(&self) -> Result<Option<Arc<Table>>> {
        let table = Table::of(self)?;
        Ok(if table.is_empty() {
            None
        } else {
            Some(Arc::new(table, GFP_KERNEL)?)
        })
    }

    /// What the handler has, to go back to.
    pub(crate) fn shown(&mut self) -> Result<Option<Arc<Table>>> {
        if self.is_stale {
            self.publish()?;
        }
        Ok(self.table.clone())
    }

    /// Leaves only the layers that are `kept`, and publishes that and whatever else has changed; or nothing has happened to the
    /// layers. Sleeps.
    pub(crate) fn keep(&mut self, kept: KVec<Layer>, unless: Unless<'_>) -> Result {
        let all = core::mem::replace(&mut self.layers, kept);
        self.publish_unless(unless).inspect_err(|_| self.layers = all)
    }

    /// Does what there was no memory for: tells the handler, and clears the ftrace filter.
    pub(crate) fn tidy(&mut self, redirect: Option<&mut Redirect>) -> Result {
        if self.is_stale {
            self.publish()?;
        }
        redirect.map_or(Ok(()), Redirect::tidy)
    }

    /// The part that cannot.
    pub(crate) fn show(&mut self, table: Option<Arc<Table>>) {
        self.is_stale = false;
        self.show_states();
        self.table = table.clone();
        handler::CURRENT.replace(table);
    }

    /// Readers of the states that end here are told before these go.
    fn show_states(&self) {
        match &self.motion {
            Some(motion) => motion.tasks.show(),
            None => task_states::hide(),
        }
    }
}
