// SPDX-License-Identifier: GPL-2.0-only
//! The task set while it grows. Models `engine::tasks::Tasks`: segments behind a `Once`, one thread that adds them, hooks
//! that put tasks into them, a handler that looks.

use loom::{sync::Arc, thread};

use super::{
    always,
    atomic::{fence, AtomicUsize, Ordering},
    kernel_api::once::Once,
    pure::segments::{contains, insert, remove, wanted, Segment},
    weakly, Weak,
};

struct Slots(Vec<AtomicUsize>, AtomicUsize);

fn slots(count: usize) -> Box<Slots> {
    Box::new(Slots(
        (0..count).map(|_| AtomicUsize::new(0)).collect(),
        AtomicUsize::new(0),
    ))
}

struct Tasks {
    segments: [Once<Slots>; 2],
    told: AtomicUsize,
}

impl Tasks {
    /// With one segment, which the first task crowds.
    fn new() -> Arc<Self> {
        let tasks = Self {
            segments: [const { Once::new() }; 2],
            told: AtomicUsize::new(0),
        };
        tasks.segments[0].set(slots(2));
        assert!(tasks.segments[1].get().is_none());
        Arc::new(tasks)
    }

    fn segments(&self) -> impl Iterator<Item = Segment<'_>> + Clone {
        let set = self.segments.iter().map_while(Once::get);
        set.map(|slots| Segment::new(&slots.0, &slots.1))
    }

    fn grow(&self) {
        if let Some(count) = wanted(self.segments()) {
            self.segments[1].set(slots(count));
        }
    }
}

const FIRST: usize = 0x40;
const SECOND: usize = 0x80;

/// A child comes while the set grows; it is told of, and looked for. Then it leaves wherever it is.
fn grows() {
    let tasks = Tasks::new();
    insert(tasks.segments(), FIRST, || {}).unwrap();
    let grower = {
        let tasks = tasks.clone();
        thread::spawn(move || tasks.grow())
    };
    let hook = {
        let tasks = tasks.clone();
        thread::spawn(move || {
            insert(tasks.segments(), SECOND, || {}).unwrap();
            fence(Ordering::SeqCst);
            tasks.told.store(1, Ordering::Relaxed);
        })
    };
    let told = tasks.told.load(Ordering::Relaxed) == 1;
    fence(Ordering::SeqCst);
    assert!(!told || contains(tasks.segments(), SECOND), "lost");
    assert!(contains(tasks.segments(), FIRST), "lost");
    grower.join().unwrap();
    hook.join().unwrap();
    remove(tasks.segments(), SECOND);
    assert!(!contains(tasks.segments(), SECOND));
}

#[test]
fn a_task_is_found_in_a_segment_that_was_just_added() {
    always(grows);
}

#[test]
#[should_panic(expected = "lost")]
fn a_task_in_a_new_segment_is_not_found_without_being_told() {
    weakly(Weak::Fence, grows);
}

/// Two that come at once: one of them asks for more room, and no more than one.
#[test]
fn of_two_tasks_that_come_at_once_one_asks_for_another_segment() {
    always(|| {
        let tasks = Tasks::new();
        let asked = |tasks: &Tasks, task| {
            let mut asked = 0;
            insert(tasks.segments(), task, || asked = 1).unwrap();
            asked
        };
        let other = {
            let tasks = tasks.clone();
            thread::spawn(move || asked(&tasks, FIRST))
        };
        let own = asked(&tasks, SECOND);
        assert_eq!(own + other.join().unwrap(), 1);
    });
}
