// SPDX-License-Identifier: GPL-2.0-only
//! The set of tasks between CPUs. Models what rests on it: a walk along the task list must see the children of whoever it
//! finds to have moved (kernel_api/stack.c:klp_rs_each_task), and the handler must find who is there.

use loom::{sync::Arc, thread};

use super::{
    always,
    atomic::{fence, AtomicUsize, Ordering},
    pure::task_set::TaskSet,
    weakly, Weak,
};

// Three whose way begins at the same of two slots: a test below looks at that.
const MOVES: usize = 0x80;
const OTHER: usize = 0xc0;
const COMES: usize = 0x180;

/// As in pure/task_set.rs.
const EMPTY: usize = 0;
const GONE: usize = 1;

/// A set, and a link in the list of tasks: written by a fork, read by a walk.
struct World {
    slots: Vec<AtomicUsize>,
    child: AtomicUsize,
}

impl World {
    fn new(slots: usize, members: &[usize]) -> Arc<Self> {
        let world = Self {
            slots: (0..slots).map(|_| AtomicUsize::new(0)).collect(),
            child: AtomicUsize::new(0),
        };
        for &member in members {
            world.set().insert(member).unwrap();
        }
        Arc::new(world)
    }

    fn set(&self) -> TaskSet<'_> {
        TaskSet::new(&self.slots)
    }

    fn fork(&self) {
        self.child.store(1, Ordering::Relaxed);
    }

    fn sees_child(&self) -> bool {
        self.child.load(Ordering::Relaxed) == 1
    }

    /// A wake-up, or whatever else tells another CPU of a task: a full barrier on both sides.
    fn tell(&self) {
        fence(Ordering::SeqCst);
        self.child.store(1, Ordering::Relaxed);
    }

    fn is_told(&self) -> bool {
        let told = self.sees_child();
        fence(Ordering::SeqCst);
        told
    }

    /// Marks the first slot of a task, as a removal might do that is wrong.
    fn mark_one(&self, task: usize, mark: usize) {
        let slot = self.slots.iter().find(|slot| slot.load(Ordering::Acquire) == task);
        slot.unwrap().store(mark, Ordering::Release);
    }
}

fn spawn(world: &Arc<World>, run: impl FnOnce(&World) + 'static) -> thread::JoinHandle<()> {
    let world = world.clone();
    thread::spawn(move || run(&world))
}

fn found() {
    let world = World::new(2, &[]);
    let mover = spawn(&world, |world| {
        world.fork();
        world.set().insert(MOVES).unwrap();
    });
    if world.set().contains(MOVES) {
        assert!(world.sees_child());
    }
    mover.join().unwrap();
}

#[test]
fn who_finds_a_task_sees_the_children_that_it_had_before() {
    always(found);
}

#[test]
#[should_panic(expected = "sees_child")]
fn who_finds_a_task_misses_its_children_without_release() {
    weakly(Weak::Release, found);
}

#[test]
#[should_panic(expected = "sees_child")]
fn who_finds_a_task_misses_its_children_without_acquire() {
    weakly(Weak::Acquire, found);
}

/// The other way: it moves back, and its slot is another task's before anybody looks, who leaves it, too.
fn missed() {
    let world = World::new(1, &[MOVES]);
    let mover = spawn(&world, |world| {
        world.fork();
        world.set().remove(MOVES);
    });
    let other = spawn(&world, |world| {
        if world.set().insert(OTHER).is_ok() {
            world.set().remove(OTHER);
        }
    });
    if !world.set().contains(MOVES) {
        assert!(world.sees_child());
    }
    mover.join().unwrap();
    other.join().unwrap();
}

#[test]
fn who_misses_a_task_sees_the_children_that_it_had_before_whoever_had_its_slot_since() {
    always(missed);
}

#[test]
#[should_panic(expected = "sees_child")]
fn who_misses_a_task_misses_its_children_without_release() {
    weakly(Weak::Release, missed);
}

#[test]
#[should_panic(expected = "sees_child")]
fn who_misses_a_task_misses_its_children_without_acquire() {
    weakly(Weak::Acquire, missed);
}

/// A member stays where it is while the slot before it is left and taken by others; `leave` is how it is left.
fn stays(leave: fn(&World)) {
    let world = World::new(2, &[OTHER, MOVES]);
    let leaver = spawn(&world, move |world| {
        leave(world);
        world.set().insert(COMES).unwrap();
    });
    let finder = spawn(&world, |world| assert!(world.set().contains(MOVES), "lost"));
    assert!(world.set().contains(MOVES), "lost");
    leaver.join().unwrap();
    finder.join().unwrap();
}

#[test]
fn the_modelled_tasks_are_in_each_others_way() {
    for task in [MOVES, OTHER, COMES] {
        always(move || assert_eq!(World::new(2, &[task]).slots[1].load(Ordering::Relaxed), task));
    }
}

#[test]
fn a_task_in_the_set_is_found_as_long_as_it_is_there() {
    always(|| stays(|world| assert_eq!(world.set().remove(OTHER), 1)));
}

#[test]
#[should_panic(expected = "lost")]
fn a_slot_that_is_emptied_instead_of_marked_hides_the_task_behind_it() {
    always(|| stays(|world| world.mark_one(OTHER, EMPTY)));
}

/// A child that is told of, as by its first wake-up, while others come before it.
fn told() {
    let world = World::new(2, &[]);
    let neighbour = spawn(&world, |world| world.set().insert(OTHER).map(drop).unwrap());
    let parent = spawn(&world, |world| {
        world.set().insert(COMES).unwrap();
        world.tell();
    });
    if world.is_told() {
        assert!(world.set().contains(COMES), "lost");
    }
    neighbour.join().unwrap();
    parent.join().unwrap();
}

#[test]
fn a_task_that_comes_is_found_by_whoever_was_told() {
    always(told);
}

#[test]
#[should_panic(expected = "lost")]
fn a_task_that_comes_is_not_found_without_being_told() {
    weakly(Weak::Fence, told);
}

/// A walk and a fork add the same child, while somebody leaves the slot before.
fn added_twice(remove: fn(&World)) {
    let world = World::new(2, &[OTHER]);
    let leaver = spawn(&world, |world| assert_eq!(world.set().remove(OTHER), 1));
    let walk = spawn(&world, |world| world.set().insert(COMES).map(drop).unwrap());
    world.set().insert(COMES).unwrap();
    assert!(world.set().contains(COMES), "lost");
    leaver.join().unwrap();
    walk.join().unwrap();
    assert!(world.set().contains(COMES), "lost");
    remove(&world);
    assert!(!world.set().contains(COMES), "still there");
}

#[test]
fn two_that_add_the_same_task_are_undone_by_one_removal() {
    always(|| added_twice(|world| assert_ne!(world.set().remove(COMES), 0)));
}

#[test]
#[should_panic(expected = "still there")]
fn a_removal_that_stops_at_the_first_slot_leaves_a_task_that_two_added() {
    always(|| added_twice(|world| world.mark_one(COMES, GONE)));
}
