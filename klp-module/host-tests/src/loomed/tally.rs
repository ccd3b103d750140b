// SPDX-License-Identifier: GPL-2.0-only
//! The last task that moves by itself against the look that waits for it. Models engine/transition.rs:look: the count,
//! then the state of a task, then the goal; and a hook: the state, then the count.

use loom::{sync::Arc, thread};

use super::{
    always,
    atomic::AtomicUsize,
    pure::{tally::Tally, task_set::TaskSet},
    weakly, Weak,
};

const TASK: usize = 0x40;

fn last_moves() {
    let world = Arc::new((Tally::new(), [AtomicUsize::new(0)]));
    let hook = {
        let world = world.clone();
        thread::spawn(move || {
            TaskSet::new(&world.1).insert(TASK).unwrap();
            world.0.moved()
        })
    };
    let (tally, slots) = &*world;
    let before = tally.moves();
    let done = TaskSet::new(slots).contains(TASK) || tally.expect(before, 1);
    assert!(hook.join().unwrap() || done, "nobody knows");
}

#[test]
fn either_the_last_task_that_moves_learns_that_it_was_or_the_look_does() {
    always(last_moves);
}

#[test]
#[should_panic(expected = "nobody knows")]
fn neither_may_learn_that_the_last_task_moved_without_the_fences() {
    weakly(Weak::Fence, last_moves);
}
