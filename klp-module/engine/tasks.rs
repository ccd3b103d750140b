// SPDX-License-Identifier: GPL-2.0-only
//! The patch state of every task during one transition: where it began, where it is going, and the set of tasks that have
//! left their beginning. Does not decide who may move. Invariant: a task's state changes only while it stands still (or by
//! itself), so the handler never sees it change under a running function.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use kernel::prelude::*;

use crate::{
    kernel_api::{once::Once, task_states, thread},
    pure::{
        phase::Direction,
        segments::{self, SEGMENTS},
        tally::Tally,
        task_set::Full,
    },
};

/// Slots per task at the start: at most half are used even if all tasks fork once before the set can grow. 32 bytes a task.
const SLOTS_PER_TASK: usize = 4;
/// A small machine has room for a fork storm too.
const FEWEST_SLOTS: usize = 1024;

struct Segment {
    slots: KVVec<AtomicUsize>,
    taken: AtomicUsize,
}

impl Segment {
    fn new(slots: usize) -> Result<KBox<Self>> {
        let mut made = KVVec::with_capacity(slots, GFP_KERNEL)?;
        for _ in 0..slots {
            made.push(AtomicUsize::new(0), GFP_KERNEL)?;
        }
        Ok(KBox::new(
            Self {
                slots: made,
                taken: AtomicUsize::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    fn view(&self) -> segments::Segment<'_> {
        segments::Segment::new(&self.slots, &self.taken)
    }
}

/// The states.
pub(crate) struct Tasks {
    began_patched: bool,
    target_patched: AtomicBool,
    segments: [Once<Segment>; SEGMENTS],
    /// Moves made by hooks.
    tally: Tally,
}

impl Tasks {
    /// All tasks at the beginning of a transition; `count` of them now.
    pub(crate) fn new(direction: Direction, count: usize) -> Result<Self> {
        let slots = count.checked_mul(SLOTS_PER_TASK).ok_or(ENOMEM)?.max(FEWEST_SLOTS);
        let tasks = Self {
            began_patched: !direction.arrives_patched(),
            target_patched: AtomicBool::new(direction.arrives_patched()),
            segments: [const { Once::new() }; SEGMENTS],
            tally: Tally::new(),
        };
        let [first, ..] = &tasks.segments;
        first.set(Segment::new(slots.checked_next_power_of_two().ok_or(ENOMEM)?)?);
        Ok(tasks)
    }

    #[inline]
    fn segments(&self) -> impl Iterator<Item = segments::Segment<'_>> + Clone {
        self.segments.iter().map_while(Once::get).map(Segment::view)
    }

    /// Makes room before it is needed. Under the core's lock.
    pub(crate) fn grow(&self) -> Result {
        let Some(slots) = segments::wanted(self.segments()) else {
            return Ok(());
        };
        let unused = self.segments.iter().find(|segment| segment.get().is_none());
        let (unused, next) = (unused.ok_or(ENOMEM)?, Segment::new(slots)?);
        // BPF programs are told first, or they would miss a task that is put there before.
        self.show_with(Some(&next));
        unused.set(next);
        Ok(())
    }

    /// Has the task left the state in which it began?
    #[inline]
    fn has_left(&self, task: usize) -> bool {
        segments::contains(self.segments(), task)
    }

    /// Does the task use the new functions? For the handler.
    #[inline]
    pub(crate) fn is_patched(&self, task: usize) -> bool {
        self.began_patched != self.has_left(task)
    }

    /// Where tasks go now.
    pub(crate) fn target_patched(&self) -> bool {
        // Acquire: partner of the Release in `turn`.
        self.target_patched.load(Ordering::Acquire)
    }

    /// Tasks go the other way from now on. The caller waits with `published::synchronize` for moves that began before.
    pub(crate) fn turn(&self) {
        // Release: partner of the Acquire in `target_patched`.
        self.target_patched.fetch_xor(true, Ordering::Release);
        self.tally.forget();
    }

    /// Writes down that a task that stands still has moved.
    pub(crate) fn set_patched(&self, task: usize, patched: bool) -> Result<(), Full> {
        if patched == self.began_patched {
            self.remove(task);
            return Ok(());
        }
        // The thread makes another segment; until it has, there is half of the last one left.
        segments::insert(self.segments(), task, thread::wake)
    }

    /// Lets BPF programs read the states as they are now. Under the core's lock; again after every change of what is shown.
    pub(crate) fn show(&self) {
        self.show_with(None);
    }

    /// `next` must be added, or something else shown, before it is dropped.
    fn show_with(&self, next: Option<&Segment>) {
        let mut shown = task_states::Shown::new(self.began_patched);
        for segment in self.segments.iter().map_while(Once::get) {
            shown.add(&segment.slots);
        }
        if let Some(next) = next {
            shown.add(&next.slots);
        }
        shown.publish();
    }

    /// A child has its parent's state. With interrupts off, so that the parent does not move meanwhile.
    pub(crate) fn inherit(&self, parent: usize, child: usize) -> Result<(), Full> {
        if self.has_left(parent) {
            self.set_patched(child, !self.began_patched)
        } else {
            Ok(())
        }
    }

    /// The address may be another task's from now on.
    pub(crate) fn remove(&self, task: usize) {
        segments::remove(self.segments(), task);
    }

    /// A hook moved a task; wakes the thread when that may have been the last.
    pub(crate) fn moved_by_hook(&self) {
        if self.tally.moved() {
            thread::wake();
        }
    }

    /// Moves made by hooks so far: taken before a look at the tasks, for `expect`.
    pub(crate) fn moves(&self) -> usize {
        self.tally.moves()
    }

    /// `pending` tasks were seen since `before` was taken. True when that many have moved already.
    pub(crate) fn expect(&self, before: usize, pending: usize) -> bool {
        self.tally.expect(before, pending)
    }
}
