// SPDX-License-Identifier: GPL-2.0-only
//! The task set as it grows, against a plain set. Segments are small here, so that there are many.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
};

use proptest::prelude::*;

use crate::pure::{
    segments::{contains, insert, remove, wanted, Segment, SEGMENTS},
    task_set::Full,
};

/// One block: the smallest that the core makes is larger, the smallest that BPF programs can read is not.
const FIRST: usize = 64;

/// Tasks to try: fewer where each step takes long.
const MOST: usize = if cfg!(miri) { 80 } else { 400 };

fn address(task: usize) -> usize {
    0xffff_8880_0000_0000 + task * 0x2540
}

/// As `engine::tasks::Tasks` keeps them.
struct Growing {
    segments: Vec<(Vec<AtomicUsize>, AtomicUsize)>,
    asked: usize,
}

impl Growing {
    fn new() -> Self {
        let mut new = Self {
            segments: Vec::new(),
            asked: 0,
        };
        new.add(FIRST);
        new
    }

    fn add(&mut self, slots: usize) {
        let slots = (0..slots).map(|_| AtomicUsize::new(0)).collect();
        self.segments.push((slots, AtomicUsize::new(0)));
    }

    fn views(&self) -> impl Iterator<Item = Segment<'_>> + Clone {
        self.segments.iter().map(|(slots, taken)| Segment::new(slots, taken))
    }

    fn insert(&mut self, task: usize) -> Result<(), Full> {
        let mut asked = 0;
        let inserted = insert(self.views(), address(task), || asked += 1);
        self.asked += asked;
        inserted
    }

    fn remove(&self, task: usize) {
        remove(self.views(), address(task));
    }

    fn contains(&self, task: usize) -> bool {
        contains(self.views(), address(task))
    }

    /// False when there was nothing to add, or no more may be.
    fn grow(&mut self) -> bool {
        let slots = wanted(self.views()).filter(|_| self.segments.len() < SEGMENTS);
        slots.map(|slots| self.add(slots)).is_some()
    }

    /// All slots.
    fn slots(&self) -> usize {
        self.segments.iter().map(|(slots, _)| slots.len()).sum()
    }

    /// Slots in which a task is.
    fn taken(&self) -> usize {
        let slots = self.segments.iter().flat_map(|(slots, _)| slots);
        slots.filter(|slot| slot.load(Ordering::Relaxed) > 1).count()
    }
}

proptest! {
    #[test]
    fn a_set_of_several_segments_is_a_set(steps in prop::collection::vec((0..400usize, 0..20u8), 0..5 * MOST)) {
        let mut set = Growing::new();
        let mut model = HashSet::new();
        for (task, what) in steps {
            match what {
                0..=11 => {
                    let inserted = set.insert(task);
                    prop_assert!(inserted.is_err() || set.contains(task));
                    if inserted.is_ok() {
                        model.insert(task);
                    }
                }
                12..=17 => {
                    set.remove(task);
                    model.remove(&task);
                }
                18 => _ = set.grow(),
                _ => prop_assert_eq!(set.contains(task), model.contains(&task)),
            }
        }
        for task in 0..400 {
            prop_assert_eq!(set.contains(task), model.contains(&task));
        }
        prop_assert_eq!(set.taken(), model.len());
    }

    /// Whoever is refused finds every slot of every segment that it could use taken, by somebody else; and has room as soon
    /// as there is another segment.
    #[test]
    fn no_room_is_said_only_when_there_is_none(tasks in prop::collection::vec(0..100_000usize, 65..MOST), segments in 1..4usize) {
        let mut set = Growing::new();
        while set.segments.len() < segments {
            set.add(set.slots());
        }
        for &task in &tasks {
            if set.insert(task).is_ok() {
                continue;
            }
            prop_assert!(!set.contains(task));
            for (slots, _) in &set.segments {
                let home = (address(task) >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
                let block = &slots[home & (slots.len() - 1) & !63..][..64];
                prop_assert!(block.iter().all(|slot| slot.load(Ordering::Relaxed) > 1));
            }
            prop_assert!(set.grow());
            prop_assert_eq!(set.insert(task), Ok(()));
        }
        prop_assert!(tasks.iter().all(|&task| set.contains(task)));
    }
}

/// A fork storm that never lets the core make room: what is there is used to the last slot, and nobody who is in gets lost.
#[test]
fn a_storm_without_another_segment_fills_the_last_slot_and_is_then_refused() {
    let mut set = Growing::new();
    for task in 0..FIRST {
        assert_eq!(set.insert(task), Ok(()));
    }
    assert_eq!(set.insert(FIRST), Err(Full));
    assert!((0..FIRST).all(|task| set.contains(task)) && !set.contains(FIRST));
    set.remove(0);
    assert_eq!(set.insert(FIRST), Ok(()));
}

/// Once, at half: the one who is asked needs time, and asking again and again while there is no memory would keep it busy.
#[test]
fn a_crowded_segment_asks_for_another_once() {
    let mut set = Growing::new();
    let asked = |set: &mut Growing, task| {
        let _ = set.insert(task);
        set.asked
    };
    assert!((0..FIRST / 2 - 1).all(|task| asked(&mut set, task) == 0));
    assert!(!set.grow());
    assert!((FIRST / 2 - 1..2 * FIRST).all(|task| asked(&mut set, task) == 1));
    assert!(set.grow());
    assert_eq!(set.segments[1].0.len(), FIRST);
    assert!(!set.grow());
}

#[test]
fn a_segment_that_its_tasks_have_left_is_used_again_before_another_is_added() {
    let mut set = Growing::new();
    let add = |set: &mut Growing, tasks: std::ops::Range<usize>| tasks.for_each(|task| set.insert(task).unwrap());
    add(&mut set, 0..FIRST / 2);
    assert!(set.grow());
    add(&mut set, FIRST / 2..FIRST);
    assert_eq!(set.asked, 2);
    (0..FIRST / 2).for_each(|task| set.remove(task));
    assert!(!set.grow());
    add(&mut set, FIRST..3 * FIRST / 2);
    assert_eq!((set.asked, set.segments.len(), set.taken()), (3, 2, FIRST));
    assert!(set.grow());
}

/// Forks that all fit, with a look at the right time after each that asks.
#[test]
fn a_set_that_grows_has_at_most_32_bytes_for_a_task() {
    let mut set = Growing::new();
    let most = if cfg!(miri) { 5 } else { SEGMENTS };
    for task in 0.. {
        set.insert(task).unwrap();
        if set.grow() {
            let bytes = set.slots() * size_of::<usize>();
            assert!(bytes <= 32 * (task + 1), "{bytes} bytes for {} tasks", task + 1);
        }
        if set.segments.len() == most {
            break;
        }
    }
    assert_eq!(set.slots(), FIRST << (most - 1));
}

/// A transition may last for days, and tasks fork and end all the while.
#[test]
fn tasks_that_come_and_go_need_no_more_room_than_those_that_are_there() {
    let mut set = Growing::new();
    for task in 0..if cfg!(miri) { 500 } else { 100_000 } {
        assert_eq!(set.insert(task), Ok(()));
        if let Some(old) = task.checked_sub(20) {
            set.remove(old);
        }
        assert!(!set.grow(), "{task}");
    }
    assert_eq!((set.asked, set.segments.len(), set.taken()), (0, 1, 20));
}

/// One block may fill up while its segment is almost empty.
#[test]
fn a_full_block_counts_as_a_crowded_segment() {
    let mut set = Growing::new();
    set.segments.clear();
    set.add(16 * FIRST);
    let home = |task: usize| (address(task) >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20 & (16 * FIRST - 1);
    let crowd: Vec<_> = (0..).filter(|&task| home(task) < 64).take(65).collect();
    let refused: Vec<_> = crowd.iter().filter(|&&task| set.insert(task).is_err()).collect();
    assert_eq!((refused, set.asked), (vec![&crowd[64]], 1));
    assert!(set.grow());
    assert_eq!(set.insert(crowd[64]), Ok(()));
    assert!(crowd.iter().all(|&task| set.contains(task)));
}
