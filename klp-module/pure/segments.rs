// SPDX-License-Identifier: GPL-2.0-only
//! The task set as it grows: a few arrays of slots, each added behind the others when all are crowded. Who makes and
//! keeps them is the caller's matter. Invariant: an array, once added, stays; a task is in the set when it is in any of them.

use super::{
    atomic::{AtomicUsize, Ordering},
    task_set::{Full, TaskSet},
};

/// Each has as many slots as all before it together, so all have 128 times those of the first: 256, or more than two for each
/// task. At half use that is room for 16,000 tasks, or for 128 children of every task.
pub(crate) const SEGMENTS: usize = 8;

/// A view of one array, and how many of its slots are taken.
#[derive(Clone, Copy)]
pub(crate) struct Segment<'a> {
    set: TaskSet<'a>,
    taken: &'a AtomicUsize,
}

impl<'a> Segment<'a> {
    /// `taken` begins at 0 and is nobody else's.
    pub(crate) fn new(slots: &'a [AtomicUsize], taken: &'a AtomicUsize) -> Self {
        Self {
            set: TaskSet::new(slots),
            taken,
        }
    }

    /// So many taken slots are half of all: blocks may be full soon.
    fn limit(self) -> usize {
        self.set.slots() / 2
    }

    // Relaxed, as everywhere with `taken`: it orders nothing, it only advises.
    fn is_crowded(self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.limit()
    }

    /// Counts slots; true for the one who counts the slot that makes it crowded.
    fn count(self, slots: usize) -> bool {
        let before = self.taken.fetch_add(slots, Ordering::Relaxed);
        before < self.limit() && before.saturating_add(slots) >= self.limit()
    }

    fn insert(self, task: usize) -> Result<bool, Full> {
        Ok(self.set.insert(task)? && self.count(1))
    }
}

/// Is the task in the set? For the handler.
#[inline]
pub(crate) fn contains<'a>(mut segments: impl Iterator<Item = Segment<'a>>, task: usize) -> bool {
    segments.any(|segment| segment.set.contains(task))
}

/// Adds the task, into the first segment that has room to spare; only when none has, wherever a slot is free. `crowded` is
/// called, at most once, by the one whose task crowds a segment when no other has room to spare: one should be added soon.
pub(crate) fn insert<'a>(
    segments: impl Iterator<Item = Segment<'a>> + Clone,
    task: usize,
    crowded: impl FnOnce(),
) -> Result<(), Full> {
    if contains(segments.clone(), task) {
        return Ok(());
    }
    let mut tells = false;
    for segment in segments.clone().filter(|segment| !segment.is_crowded()) {
        match segment.insert(task) {
            Ok(now_crowded) => {
                if tells || now_crowded {
                    tell(segments, crowded);
                }
                return Ok(());
            }
            // One of its blocks is full: crowded for good, however many leave.
            Err(Full) => tells |= segment.count(segment.set.slots()),
        }
    }
    if tells {
        tell(segments.clone(), crowded);
    }
    let mut all = segments.map(|segment| segment.insert(task));
    all.find(Result::is_ok).unwrap_or(Err(Full)).map(drop)
}

/// That a segment became crowded is no news while another is not.
fn tell<'a>(mut segments: impl Iterator<Item = Segment<'a>>, crowded: impl FnOnce()) {
    if segments.all(Segment::is_crowded) {
        crowded();
    }
}

/// Takes the task out of all of them.
pub(crate) fn remove<'a>(segments: impl Iterator<Item = Segment<'a>>, task: usize) {
    for segment in segments {
        segment.taken.fetch_sub(segment.set.remove(task), Ordering::Relaxed);
    }
}

/// How many slots the next segment should have; none while there is one with room to spare. As many as there are: when half of
/// all are taken, four for each task that is there, or 32 bytes.
pub(crate) fn wanted<'a>(mut segments: impl Iterator<Item = Segment<'a>> + Clone) -> Option<usize> {
    if !segments.clone().all(Segment::is_crowded) {
        return None;
    }
    segments.try_fold(0usize, |all, segment| all.checked_add(segment.set.slots()))
}
