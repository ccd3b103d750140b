// SPDX-License-Identifier: GPL-2.0-only
//! Loom's atomics under the names and with the constructors of core's, and with a way to leave orderings out. Has no more
//! than the module uses. Invariant: without [`weakly`] every operation is loom's, with the ordering that was asked for.
//!
//! Loom 0.7 looks for another order of two threads only at the last access to an atomic, so that what a thread reads first
//! hides its next write from the others (tokio-rs/loom, issues 166 and 392): insertion into the task set, which reads a slot
//! and then takes it, would be tried in no order but one. So each atomic has a twin that every operation writes and none
//! reads: a write is in the way of every write, and what nobody reads orders nothing.

use std::{cell::Cell, sync::OnceLock};

use loom::sync::atomic as model;
pub(crate) use loom::sync::atomic::Ordering;

/// What a model does without.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weak {
    Nothing,
    Acquire,
    Release,
    Fence,
    Wait,
}

std::thread_local! {
    // All threads of a model are coroutines of the thread that runs it.
    static WEAK: Cell<Weak> = const { Cell::new(Weak::Nothing) };
}

/// How often a thread is interrupted that could go on. With three, all that is wrong on purpose here is found.
const PREEMPTIONS: usize = 3;

/// Runs a model.
pub(crate) fn always(model: impl Fn() + Sync + Send + 'static) {
    weakly(Weak::Nothing, model);
}

/// Runs a model without one kind of barrier. For tests that are to panic.
pub(crate) fn weakly(weak: Weak, model: impl Fn() + Sync + Send + 'static) {
    WEAK.set(weak);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

/// Is the running model to do without it?
pub(crate) fn lacks(weak: Weak) -> bool {
    WEAK.get() == weak
}

fn order(asked: Ordering) -> Ordering {
    match (asked, WEAK.get()) {
        (Ordering::Acquire, Weak::Acquire) | (Ordering::Release, Weak::Release) => Ordering::Relaxed,
        (Ordering::AcqRel, Weak::Acquire) => Ordering::Release,
        (Ordering::AcqRel, Weak::Release) => Ordering::Acquire,
        _ => asked,
    }
}

pub(crate) fn fence(asked: Ordering) {
    if !lacks(Weak::Fence) {
        model::fence(order(asked));
    }
}

#[derive(Debug)]
struct Twin(model::AtomicUsize);

impl Twin {
    fn new() -> Self {
        Self(model::AtomicUsize::new(0))
    }

    fn touch(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

#[derive(Debug)]
pub(crate) struct AtomicUsize(model::AtomicUsize, Twin);

impl AtomicUsize {
    pub(crate) fn new(value: usize) -> Self {
        Self(model::AtomicUsize::new(value), Twin::new())
    }

    fn model(&self) -> &model::AtomicUsize {
        self.1.touch();
        &self.0
    }

    pub(crate) fn load(&self, asked: Ordering) -> usize {
        self.model().load(order(asked))
    }

    pub(crate) fn store(&self, value: usize, asked: Ordering) {
        self.model().store(value, order(asked));
    }

    pub(crate) fn fetch_add(&self, value: usize, asked: Ordering) -> usize {
        self.model().fetch_add(value, order(asked))
    }

    pub(crate) fn fetch_sub(&self, value: usize, asked: Ordering) -> usize {
        self.model().fetch_sub(value, order(asked))
    }

    pub(crate) fn compare_exchange(
        &self,
        was: usize,
        new: usize,
        done: Ordering,
        not: Ordering,
    ) -> Result<usize, usize> {
        self.model().compare_exchange(was, new, order(done), order(not))
    }
}

/// Made where loom has no say, as statics are, and known to loom from its first use: so whoever makes one in a model uses
/// it before the threads begin.
pub(crate) struct AtomicPtr<T> {
    value: *mut T,
    model: OnceLock<(model::AtomicPtr<T>, Twin)>,
}

// SAFETY: `value` is only used with `&mut self`, and by the one who makes `model`.
unsafe impl<T> Send for AtomicPtr<T> {}
// SAFETY: As above.
unsafe impl<T> Sync for AtomicPtr<T> {}

impl<T> AtomicPtr<T> {
    pub(crate) const fn new(value: *mut T) -> Self {
        Self {
            value,
            model: OnceLock::new(),
        }
    }

    fn model(&self) -> &model::AtomicPtr<T> {
        let make = || (model::AtomicPtr::new(self.value), Twin::new());
        let (model, twin) = self.model.get_or_init(make);
        twin.touch();
        model
    }

    pub(crate) fn load(&self, asked: Ordering) -> *mut T {
        self.model().load(order(asked))
    }

    pub(crate) fn swap(&self, value: *mut T, asked: Ordering) -> *mut T {
        self.model().swap(value, order(asked))
    }

    pub(crate) fn compare_exchange(
        &self,
        was: *mut T,
        new: *mut T,
        done: Ordering,
        not: Ordering,
    ) -> Result<*mut T, *mut T> {
        self.model().compare_exchange(was, new, order(done), order(not))
    }

    pub(crate) fn get_mut(&mut self) -> &mut *mut T {
        let Self { value, model } = self;
        if let Some((model, _)) = model.get_mut() {
            *value = model.with_mut(|current| *current);
        }
        value
    }
}
