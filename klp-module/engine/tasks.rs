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
        task_set::{Full, TaskSet},
    },
};

/// Each segment is twice as long as the one before: together 255 times the first.
const SEGMENTS: usize = 8;
/// At most so many slots for each task, and more than half of that: 32 bytes a task, and less than half of them are used when
/// all have moved.
const SLOTS_PER_TASK: usize = 4;
/// What a machine that has just booted has room for.
const FEWEST_SLOTS: usize = 256;

struct Segment {
    slots: KVVec<AtomicUsize>,
    /// Slots that are not empty; removed tasks leave theirs marked, so this never goes down.
    used: AtomicUsize,
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
                used: AtomicUsize::new(0),
            },
            GFP_KERNEL,
        )?)
    }

    #[inline]
    fn set(&self) -> TaskSet<'_> {
        TaskSet::new(&self.slots)
    }

    /// Half used: blocks may be full soon.
    fn is_crowded(&self) -> bool {
        self.used.load(Ordering::Relaxed) >= self.slots.len() / 2
    }

    /// One of its blocks is full.
    fn set_crowded(&self) {
        self.used.fetch_add(self.slots.len(), Ordering::Relaxed);
    }
}

/// The states.
pub(crate) struct Tasks {
    began_patched: bool,
    target_patched: AtomicBool,
    segments: [Once<Segment>; SEGMENTS],
    /// Moves made by hooks since the start, and how many of them would finish the transition as last seen.
    moves: AtomicUsize,
    goal: AtomicUsize,
}

impl Tasks {
    /// All tasks at the beginning of a transition; `count` of them now.
    pub(crate) fn new(direction: Direction, count: usize) -> Result<Self> {
        let most = count.checked_mul(SLOTS_PER_TASK).ok_or(ENOMEM)?.max(FEWEST_SLOTS);
        // The greatest power of two that is not more.
        let slots = (most / 2 + 1).checked_next_power_of_two().ok_or(ENOMEM)?;
        let tasks = Self {
            began_patched: !direction.arrives_patched(),
            target_patched: AtomicBool::new(direction.arrives_patched()),
            segments: [const { Once::new() }; SEGMENTS],
            moves: AtomicUsize::new(0),
            goal: AtomicUsize::new(usize::MAX),
        };
        let [first, ..] = &tasks.segments;
        first.set(Segment::new(slots)?);
        Ok(tasks)
    }

    fn segments(&self) -> impl Iterator<Item = &Segment> {
        self.segments.iter().map_while(Once::get)
    }

    /// Makes room before it is needed. Under the core's lock.
    pub(crate) fn grow(&self) -> Result {
        let Some(last) = self.segments().last().filter(|last| last.is_crowded()) else {
            return Ok(());
        };
        let next = self
            .segments
            .iter()
            .find(|segment| segment.get().is_none())
            .ok_or(ENOMEM)?;
        next.set(Segment::new(last.slots.len().checked_mul(2).ok_or(ENOMEM)?)?);
        self.show();
        Ok(())
    }

    /// Has the task left the state in which it began?
    fn has_left(&self, task: usize) -> bool {
        self.segments().any(|segment| segment.set().contains(task))
    }

    /// Does the task use the new functions?
    pub(crate) fn is_patched(&self, task: usize) -> bool {
        self.began_patched != self.has_left(task)
    }

    /// The same for the handler, where every instruction counts: answers when one look suffices, as it does for most tasks.
    #[inline]
    pub(crate) fn glance(&self, task: usize) -> Option<bool> {
        let [first, second, ..] = &self.segments;
        let left = first.get()?.set().glance(task)?;
        // What is not in the first may be in another.
        (left || second.get().is_none()).then_some(self.began_patched != left)
    }

    /// Where tasks go now.
    #[inline]
    pub(crate) fn target_patched(&self) -> bool {
        // Acquire: partner of the Release in `turn`.
        self.target_patched.load(Ordering::Acquire)
    }

    /// Tasks go the other way from now on. The caller waits with `published::synchronize` for moves that began before.
    pub(crate) fn turn(&self) {
        // Release: partner of the Acquire in `target_patched`.
        self.target_patched.fetch_xor(true, Ordering::Release);
        self.goal.store(usize::MAX, Ordering::Relaxed);
    }

    /// Writes down that a task that stands still has moved.
    pub(crate) fn set_patched(&self, task: usize, patched: bool) -> Result<(), Full> {
        if patched == self.began_patched {
            self.remove(task);
            return Ok(());
        }
        if self.has_left(task) {
            return Ok(());
        }
        for segment in self.segments().filter(|segment| !segment.is_crowded()) {
            if Self::put(segment, task).is_ok() {
                return Ok(());
            }
            segment.set_crowded();
        }
        // The thread makes a new segment; until it has, there is half of the last one left.
        thread::wake();
        let mut all = self.segments().map(|segment| Self::put(segment, task));
        all.find(Result::is_ok).unwrap_or(Err(Full))
    }

    fn put(segment: &Segment, task: usize) -> Result<(), Full> {
        if segment.set().insert(task)? {
            segment.used.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Lets BPF programs read the states as they are now. Under the core's lock; again after every change of what is shown.
    pub(crate) fn show(&self) {
        let mut shown = task_states::Shown::new(self.began_patched);
        for segment in self.segments() {
            shown.add(&segment.slots);
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
        for segment in self.segments() {
            segment.set().remove(task);
        }
    }

    /// A hook moved a task; wakes the thread when that may have been the last.
    pub(crate) fn moved_by_hook(&self) {
        if self.moves.fetch_add(1, Ordering::Relaxed).wrapping_add(1) == self.goal.load(Ordering::Relaxed) {
            thread::wake();
        }
    }

    /// Moves made by hooks so far: taken before a look at the tasks, for `expect`.
    pub(crate) fn moves(&self) -> usize {
        self.moves.load(Ordering::Relaxed)
    }

    /// `pending` tasks were seen since `before` was taken. True when that many have moved already.
    pub(crate) fn expect(&self, before: usize, pending: usize) -> bool {
        let goal = before.saturating_add(pending);
        self.goal.store(goal, Ordering::Relaxed);
        self.moves() >= goal
    }
}
