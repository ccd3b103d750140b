// SPDX-License-Identifier: GPL-2.0-only
//! A child for which there is no room, forked beside the last look and the end of a transition. Models
//! engine/transition.rs: `look`, which walks the task list, and `complete`, which tells the handler while the machine stands;
//! and the hook in a fork, behind the child's entry in that list.

use kernel::sync::Arc as Shared;
use loom::{sync::Arc, thread};

use super::{
    always,
    atomic::{AtomicUsize, Ordering},
    kernel_api::{published::Published, with_preemption_off},
    pure::strays::Strays,
    weakly, Weak,
};

struct World {
    /// What the handler and the hook have: the transition.
    table: Published<()>,
    strays: Strays,
    child: AtomicUsize,
}

/// The child is looked at, or forked when the hook knows that all is over, or the end is put off.
fn forks() {
    let world = Arc::new(World {
        table: Published::new(),
        strays: Strays::new(),
        child: AtomicUsize::new(0),
    });
    world.table.replace(Some(Shared::new(())));
    let fork = {
        let world = world.clone();
        thread::spawn(move || {
            world.child.store(1, Ordering::Relaxed);
            with_preemption_off(1, |proof| {
                let moving = world.table.read(proof).is_some();
                if moving {
                    world.strays.add();
                }
                moving
            })
        })
    };
    world.strays.look();
    let seen = world.child.load(Ordering::Relaxed) == 1;
    let over = world.table.replace_unless(None, &|| world.strays.any());
    let strayed = fork.join().unwrap();
    assert!(seen || !strayed || !over, "nobody looked at it");
    // The next look finds it.
    world.strays.look();
    assert!(over || world.child.load(Ordering::Relaxed) == 1);
    assert!(over || world.table.replace_unless(None, &|| world.strays.any()));
}

#[test]
fn a_transition_does_not_end_beside_a_child_that_nobody_looked_at() {
    always(forks);
}

#[test]
#[should_panic(expected = "nobody looked at it")]
fn a_look_forgets_a_child_that_it_does_not_see_without_acquire() {
    weakly(Weak::Acquire, forks);
}

#[test]
#[should_panic(expected = "nobody looked at it")]
fn a_look_forgets_a_child_that_it_does_not_see_without_release() {
    weakly(Weak::Release, forks);
}

#[test]
#[should_panic(expected = "nobody looked at it")]
fn a_transition_ends_beside_a_child_when_the_machine_does_not_stand() {
    weakly(Weak::Wait, forks);
}
