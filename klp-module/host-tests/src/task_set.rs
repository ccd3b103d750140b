// SPDX-License-Identifier: GPL-2.0-only
//! The set of tasks against a plain one, and with several writers at once.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use proptest::prelude::*;

use crate::pure::task_set::{Full, TaskSet};

fn slots(count: usize) -> Vec<AtomicUsize> {
    (0..count).map(|_| AtomicUsize::new(0)).collect()
}

fn address(task: usize) -> usize {
    0xffff_8880_0000_0000 + task * 0x2540
}

proptest! {
    #[test]
    fn it_is_a_set(steps in prop::collection::vec((0..40usize, 0..3u8), 0..400)) {
        let slots = slots(64);
        let set = TaskSet::new(&slots);
        let mut model = HashSet::new();
        for (task, what) in steps {
            match what {
                0 => {
                    prop_assert!(set.insert(address(task)).is_ok());
                    model.insert(task);
                }
                1 => prop_assert_eq!(set.remove(address(task)), usize::from(model.remove(&task))),
                _ => prop_assert_eq!(set.contains(address(task)), model.contains(&task)),
            }
        }
        for task in 0..40 {
            prop_assert_eq!(set.contains(address(task)), model.contains(&task));
        }
    }

    #[test]
    fn removed_slots_are_used_again(rounds in 1..500usize) {
        let slots = slots(16);
        let set = TaskSet::new(&slots);
        for round in 0..rounds {
            prop_assert!(set.insert(address(round)).is_ok());
            prop_assert_eq!(set.remove(address(round)), 1);
        }
    }
}

#[test]
fn a_full_set_says_so_and_keeps_what_it_has() {
    let slots = slots(4);
    let set = TaskSet::new(&slots);
    for task in 0..4 {
        assert_eq!(set.insert(address(task)), Ok(true));
    }
    assert_eq!(set.insert(address(4)), Err(Full));
    assert_eq!(set.insert(address(3)), Ok(false));
    assert!((0..4).all(|task| set.contains(address(task))) && !set.contains(address(4)));
}

/// What BPF programs rely on: they copy the block and look at all of it.
#[test]
fn a_task_stays_in_the_block_of_64_slots_that_its_address_names() {
    let slots = slots(1024);
    let set = TaskSet::new(&slots);
    let mut members = 0;
    for task in 0..512 {
        members += usize::from(set.insert(address(task)).is_ok());
        let home = (address(task) >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20;
        let block = &slots[home & 1023 & !63..][..64];
        assert!(block.iter().any(|slot| slot.load(Ordering::Relaxed) == address(task)));
    }
    assert_eq!(members, 512);
}

#[test]
fn a_block_that_is_full_says_so_while_others_have_room() {
    let slots = slots(1024);
    let set = TaskSet::new(&slots);
    let home = |task: usize| (address(task) >> 6).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20 & 1023;
    let crowd: Vec<_> = (0..).filter(|&task| home(task) < 64).take(65).collect();
    let refused: Vec<_> = crowd
        .iter()
        .filter(|&&task| set.insert(address(task)).is_err())
        .collect();
    assert_eq!(refused, [&crowd[64]]);
    assert!(slots[64..].iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
}

#[test]
fn a_length_that_is_no_power_of_two_wastes_slots_and_nothing_worse() {
    for count in [0, 3, 24, 100, 200] {
        let slots = slots(count);
        let set = TaskSet::new(&slots);
        let members: Vec<_> = (0..count + 1)
            .filter(|&task| set.insert(address(task)).is_ok())
            .collect();
        assert!(members.len() <= count);
        assert!((0..count + 1).all(|task| set.contains(address(task)) == members.contains(&task)));
    }
}

#[test]
fn a_glance_never_contradicts_a_search() {
    let slots = slots(128);
    let set = TaskSet::new(&slots);
    let mut told = 0;
    for task in 0..64 {
        assert!(set.insert(address(2 * task)).is_ok());
        assert!(task % 3 != 0 || set.remove(address(2 * task)) == 1);
    }
    for task in 0..128 {
        let seen = set.glance(address(task));
        told += usize::from(seen.is_some());
        assert!(seen.is_none_or(|member| member == set.contains(address(task))));
    }
    assert!(told > 64, "{told}");
}

/// As in the kernel: each task has one writer at a time, and readers everywhere.
#[test]
fn writers_of_different_tasks_do_not_disturb_each_other() {
    let slots = slots(256);
    let set = TaskSet::new(&slots);
    let rounds = if cfg!(miri) { 20 } else { 20_000 };
    thread::scope(|scope| {
        for writer in 0..4usize {
            scope.spawn(move || {
                for round in 0..rounds {
                    let task = address(writer * 16 + round % 16);
                    set.insert(task).unwrap();
                    assert!(set.contains(task));
                    assert_eq!(set.remove(task), 1);
                    assert!(!set.contains(task));
                }
            });
        }
    });
}

/// The one exception: a walk and a fork may add the same child at once. One removal takes both.
#[test]
fn two_that_add_the_same_task_are_undone_by_one_removal() {
    for _ in 0..if cfg!(miri) { 5 } else { 500 } {
        let slots = slots(64);
        let set = TaskSet::new(&slots);
        // Something to pass over, so that the two may find different free slots.
        for task in 1..20 {
            set.insert(address(task)).unwrap();
        }
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(move || set.insert(address(0)).unwrap());
            }
            scope.spawn(move || (1..20).for_each(|task| _ = set.remove(address(task))));
        });
        assert!(set.contains(address(0)));
        assert_ne!(set.remove(address(0)), 0);
        assert!(!set.contains(address(0)));
    }
}
