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
        strays::Strays,
        tally::Tally,
        task_set::{Full, TaskSet},
    },
};

/// At most so many slots for each task, and more than half of that: 32 bytes a task, and less than half of them are used when
/// all have moved.
const SLOTS_PER_TASK: usize = 4;
/// What a machine that has just booted has room for.
const FEWEST_SLOTS: usize = 256;

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
    /// Tasks may move: nothing can refuse the transition any more.
    begun: AtomicBool,
    segments: [Once<Segment>; SEGMENTS],
    /// A function concerned had a BPF program during the transition: see `Table::try_move`.
    traced: AtomicBool,
    /// Moves made by hooks.
    tally: Tally,
    strays: Strays,
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
            begun: AtomicBool::new(false),
            traced: AtomicBool::new(false),
            segments: [const { Once::new() }; SEGMENTS],
            tally: Tally::new(),
            strays: Strays::new(),
        };
        let [first, ..] = &tasks.segments;
        first.set(Segment::new(slots)?);
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
    fn has_left(&self, task: usize) -> bool {
        segments::contains(self.segments(), task)
    }

    /// Does the task use the new functions?
    pub(crate) fn is_patched(&self, task: usize) -> bool {
        self.began_patched != self.has_left(task)
    }

    /// The same for the handler, where every instruction counts: answers when one look suffices, as it does for most tasks.
    #[inline]
    pub(crate) fn glance(&self, task: usize) -> Option<bool> {
        let [first, second, ..] = &self.segments;
        let left = TaskSet::new(&first.get()?.slots).glance(task)?;
        // What is not in the first may be in another.
        (left || second.get().is_none()).then_some(self.began_patched != left)
    }

    /// Tasks may move from now on.
    pub(crate) fn begin(&self) {
        // Relaxed, as in `has_begun`: who moves does so by what was published before, and who does not is looked at later.
        self.begun.store(true, Ordering::Relaxed);
    }

    /// May tasks move? The handler, and the first of the hooks, know of a transition that can still be refused.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// A function concerned has a BPF program. Before the handler is told of the function.
    pub(crate) fn set_traced(&self) {
        // Relaxed, as in `is_traced`: who looks at a task has what was published after.
        self.traced.store(true, Ordering::Relaxed);
    }

    /// Has one, or had?
    pub(crate) fn is_traced(&self) -> bool {
        self.traced.load(Ordering::Relaxed)
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
        // By its full name: the kernel's prelude has another `chain`.
        for segment in Iterator::chain(self.segments.iter().map_while(Once::get), next) {
            shown.add(&segment.slots);
        }
        shown.publish();
    }

    /// A child has its parent's state. With interrupts off, so that the parent does not move meanwhile. When there is no room
    /// for it, it stays where tasks began; if that is not where they go, the transition cannot end before it was looked at.
    pub(crate) fn inherit(&self, parent: usize, child: usize) {
        if self.has_left(parent)
            && self.set_patched(child, !self.began_patched).is_err()
            && self.target_patched() != self.began_patched
        {
            self.strays.add();
        }
    }

    /// A look at all tasks begins.
    pub(crate) fn begin_look(&self) {
        self.strays.look();
    }

    /// Was a child forked since, that is not where its parent is? For a moment at which the machine stands.
    pub(crate) fn has_strays(&self) -> bool {
        self.strays.any()
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
