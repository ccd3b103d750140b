// SPDX-License-Identifier: GPL-2.0-only
//! The published pointers: what is read was written before, and is still there. Models one reader on each of two CPUs.

use loom::{cell::UnsafeCell, sync::Arc, thread};

use super::{
    always,
    kernel_api::{once::Once, published::Published, with_preemption_off},
    weakly, Weak,
};

/// A value that loom watches: who reads it while it is made or dropped is reported. Never freed, see `fake_kernel`.
struct Watched(&'static UnsafeCell<usize>);

// SAFETY: Loom sees every access, and reports those that are not ordered.
unsafe impl Send for Watched {}
// SAFETY: As above.
unsafe impl Sync for Watched {}

impl Watched {
    fn new(value: usize) -> Self {
        let cell = &*Box::leak(Box::new(UnsafeCell::new(0)));
        // SAFETY: Watched by loom.
        cell.with_mut(|cell| unsafe { *cell = value });
        Self(cell)
    }

    fn value(&self) -> usize {
        // SAFETY: Watched by loom.
        self.0.with(|cell| unsafe { *cell })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: Watched by loom.
        self.0.with_mut(|cell| unsafe { *cell = 0 });
    }
}

fn replaced(replace: fn(&Published<Watched>, kernel::sync::Arc<Watched>)) {
    let published = Arc::new(Published::new());
    published.replace(Some(kernel::sync::Arc::new(Watched::new(1))));
    let readers = [0, 1].map(|cpu| {
        let published = published.clone();
        thread::spawn(move || {
            if let Some(value) = with_preemption_off(cpu, |proof| published.read(proof).map(Watched::value)) {
                assert_ne!(value, 0);
            }
        })
    });
    replace(&published, kernel::sync::Arc::new(Watched::new(2)));
    for reader in readers {
        reader.join().unwrap();
    }
    published.replace(None);
}

fn waited() {
    replaced(|published, value| published.replace(Some(value)));
}

fn stood() {
    replaced(|published, value| assert!(published.replace_unless(Some(value), &|| false)));
}

#[test]
fn a_published_table_is_whole_when_it_is_read_and_gone_when_nobody_reads_it() {
    always(waited);
    always(stood);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_published_table_is_read_before_it_is_made_without_release() {
    weakly(Weak::Release, waited);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_published_table_is_read_before_it_is_made_without_acquire() {
    weakly(Weak::Acquire, waited);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_published_table_is_dropped_under_its_readers_without_the_wait_on_every_cpu() {
    weakly(Weak::Wait, waited);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_published_table_is_dropped_under_its_readers_when_the_machine_does_not_stand() {
    weakly(Weak::Wait, stood);
}

/// Two replace at once, without the core's lock: each drops what the other made.
fn replaced_twice() {
    let published = Arc::new(Published::new());
    published.replace(None);
    let other = {
        let published = published.clone();
        thread::spawn(move || published.replace(Some(kernel::sync::Arc::new(Watched::new(1)))))
    };
    published.replace(Some(kernel::sync::Arc::new(Watched::new(2))));
    other.join().unwrap();
    published.replace(None);
}

#[test]
fn who_replaces_a_table_may_drop_what_another_published() {
    always(replaced_twice);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn who_replaces_a_table_drops_it_while_it_is_made_without_acquire() {
    weakly(Weak::Acquire, replaced_twice);
}

/// Two set it, one of them too late, while another reads.
fn set_once() {
    let once = Arc::new(Once::new());
    assert!(once.get().is_none());
    let setter = {
        let once = once.clone();
        thread::spawn(move || once.set(Box::new(Watched::new(1))))
    };
    let reader = {
        let once = once.clone();
        thread::spawn(move || once.get().is_none_or(|value| value.value() != 0))
    };
    let second = once.set(Box::new(Watched::new(2)));
    assert!(reader.join().unwrap());
    assert!(second != setter.join().unwrap());
    assert_eq!(once.get().map(Watched::value), Some(if second { 2 } else { 1 }));
}

#[test]
fn a_value_that_is_set_once_is_whole_when_it_is_seen() {
    always(set_once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_value_that_is_set_once_is_seen_before_it_is_made_without_release() {
    weakly(Weak::Release, set_once);
}

#[test]
#[should_panic(expected = "Causality violation")]
fn a_value_that_is_set_once_is_seen_before_it_is_made_without_acquire() {
    weakly(Weak::Acquire, set_once);
}
