// SPDX-License-Identifier: GPL-2.0-only
//! The set of tasks that have left their initial patch state: open addressing by task address in a caller's array of
//! atomics. Not a general set: two writers never work on the same task at once, with one exception that is harmless (a
//! walk may add the child that its parent's fork is adding), and members are only ever asked for one by one.
//!
//! Invariant: on the way from a task's home slot to its slot there is no empty one. So a look-up stops at the first empty
//! slot, a removed slot is marked [`GONE`] instead of emptied, and a marked slot may be taken by another task.
//!
//! The way of a task stays within one block of [`BLOCK`] slots: every look-up has a bound, and readers outside of the
//! kernel copy one block and know (ABI/testing/bpf-klp_rs).

use super::atomic::{AtomicUsize, Ordering};

/// Never used.
const EMPTY: usize = 0;
/// Used once; look-ups pass over it. No task has this address.
const GONE: usize = 1;

/// Slots that a task may be in. With half of all slots used one block in ten million overflows.
const BLOCK: usize = 64;

/// No free slot where the task may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// A view of the slots; their number is a power of two (of any other number some slots are never used).
#[derive(Clone, Copy)]
pub(crate) struct TaskSet<'a> {
    slots: &'a [AtomicUsize],
}

impl<'a> TaskSet<'a> {
    /// The set kept in `slots`.
    #[inline]
    pub(crate) fn new(slots: &'a [AtomicUsize]) -> Self {
        Self { slots }
    }

    /// Index of the slot where a task's way begins.
    #[inline]
    fn home(self, task: usize) -> usize {
        // Task structures are at least 64 bytes apart; the multiplication spreads what is left (Fibonacci hashing).
        let spread = (task >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        spread & self.slots.len().wrapping_sub(1)
    }

    /// The way of a task: every slot of its block once, from its home on.
    fn way(self, task: usize) -> impl Iterator<Item = &'a AtomicUsize> {
        let home = self.home(task);
        let in_block = self.slots.len().wrapping_sub(1) & (BLOCK - 1);
        let block = home & !in_block;
        (0..self.slots.len().min(BLOCK))
            .filter_map(move |step| self.slots.get(block | (home.wrapping_add(step) & in_block)))
    }

    /// Is the task a member? Told by its home slot alone, which is enough for most tasks; None: [`Self::contains`] knows.
    #[inline]
    pub(crate) fn glance(self, task: usize) -> Option<bool> {
        // Acquire: as in `contains`.
        match self.slots.get(self.home(task))?.load(Ordering::Acquire) {
            EMPTY => Some(false),
            found if found == task => Some(true),
            _ => None,
        }
    }

    /// Is the task a member? Safe in the ftrace handler: reads only, and ends.
    pub(crate) fn contains(self, task: usize) -> bool {
        for slot in self.way(task) {
            // Acquire: partner of the Release in `insert` and `remove`. Who finds a task, or misses it, sees what came before:
            // a walk along the task list sees the children that the task had before it moved (kernel/fork.c:copy_process).
            match slot.load(Ordering::Acquire) {
                EMPTY => return false,
                found if found == task => return true,
                _ => {}
            }
        }
        false
    }

    /// How many slots there are.
    pub(crate) fn slots(self) -> usize {
        self.slots.len()
    }

    /// Makes the task a member; says whether a slot was taken for it.
    pub(crate) fn insert(self, task: usize) -> Result<bool, Full> {
        if task == EMPTY || task == GONE {
            return Err(Full);
        }
        'again: loop {
            let mut free = None;
            for slot in self.way(task) {
                // Relaxed: says where to try; what came before the last Release of a slot is passed on by the exchange.
                match slot.load(Ordering::Relaxed) {
                    found if found == task => return Ok(false),
                    EMPTY => {
                        free = free.or(Some((slot, EMPTY)));
                        break;
                    }
                    GONE => free = free.or(Some((slot, GONE))),
                    _ => {}
                }
            }
            let (slot, was) = free.ok_or(Full)?;
            // Release: partner of the Acquire in `contains` and `remove`.
            if slot
                .compare_exchange(was, task, Ordering::Release, Ordering::Relaxed)
                .is_err()
            {
                continue 'again;
            }
            return Ok(true);
        }
    }

    /// Takes the task out, wherever it is: two that added it at once may have taken two slots. Says how many it left.
    pub(crate) fn remove(self, task: usize) -> usize {
        let mut left = 0usize;
        for slot in self.way(task) {
            // Acquire: partner of the Release in `insert`, and of the one in `remove` before that: the store below is a new
            // beginning, and who finds this slot marked must see what came before all of them.
            match slot.load(Ordering::Acquire) {
                EMPTY => break,
                member if member == task => {
                    // Release: partner of the Acquire in `contains`.
                    slot.store(GONE, Ordering::Release);
                    left = left.saturating_add(1);
                }
                _ => {}
            }
        }
        left
    }
}
