// SPDX-License-Identifier: GPL-2.0-only
//! The two kinds of published pointers with real threads and real memory: for Miri, which sees every use of freed memory
//! and every race. Elsewhere these say that values arrive.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use kernel::sync::Arc;

use crate::kernel_api::{once::Once, published::Published, with_preemption_off};

/// Counts how many of them there are.
struct Counted<'a>(&'a AtomicUsize, usize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize, value: usize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count, value)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[test]
fn what_is_read_with_preemption_off_is_not_dropped_meanwhile() {
    let (count, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let published: Published<Counted<'_>> = Published::new();
    thread::scope(|scope| {
        for cpu in 0..2 {
            let (published, over) = (&published, &over);
            scope.spawn(move || {
                let mut newest = 0;
                while !over.load(Ordering::Relaxed) {
                    if let Some(value) = with_preemption_off(cpu, |proof| published.read(proof).map(|value| value.1)) {
                        assert!(value >= newest);
                        newest = value;
                    }
                }
            });
        }
        for value in 0..if cfg!(miri) { 20 } else { 2_000 } {
            published.replace(Some(Arc::new(Counted::new(&count, value))));
            assert_eq!(count.load(Ordering::Relaxed), 1);
        }
        over.store(true, Ordering::Relaxed);
    });
    published.replace(None);
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert!(with_preemption_off(0, |proof| published.read(proof).is_none()));
}

#[test]
fn what_is_refused_is_dropped_and_what_was_there_stays() {
    let count = AtomicUsize::new(0);
    let published = Published::new();
    let value =
        |published: &Published<Counted<'_>>| with_preemption_off(0, |proof| published.read(proof).map(|it| it.1));
    published.replace(Some(Arc::new(Counted::new(&count, 1))));
    assert!(!published.replace_unless(Some(Arc::new(Counted::new(&count, 2))), &|| true));
    assert!(!published.replace_unless(None, &|| true));
    assert_eq!((count.load(Ordering::Relaxed), value(&published)), (1, Some(1)));
    assert!(published.replace_unless(Some(Arc::new(Counted::new(&count, 3))), &|| false));
    assert_eq!((count.load(Ordering::Relaxed), value(&published)), (1, Some(3)));
    assert!(published.replace_unless(None, &|| false));
    assert_eq!((count.load(Ordering::Relaxed), value(&published)), (0, None));
}

#[test]
fn a_value_is_set_once_and_dropped_once_and_so_is_the_one_that_came_late() {
    let count = AtomicUsize::new(0);
    let once = Once::new();
    assert!(once.get().is_none());
    let set = thread::scope(|scope| {
        let setters = [1, 2].map(|value| {
            let (once, count) = (&once, &count);
            scope.spawn(move || once.set(Box::new(Counted::new(count, value))))
        });
        setters.map(|setter| setter.join().unwrap())
    });
    assert!(set[0] != set[1]);
    assert_eq!(once.get().map(|value| value.1), Some(if set[0] { 1 } else { 2 }));
    assert_eq!(count.load(Ordering::Relaxed), 1);
    drop(once);
    assert_eq!(count.load(Ordering::Relaxed), 0);
}
