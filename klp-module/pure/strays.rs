// SPDX-License-Identifier: GPL-2.0-only
//! Children that are not where their parents are, because the task set had no room for them: a look at the tasks has to find
//! them before the transition may end. Knows no tasks. Invariant: a child that the last look may have missed is counted
//! before its fork is over.

use super::atomic::{AtomicUsize, Ordering};

/// The count of one transition.
pub(crate) struct Strays {
    all: AtomicUsize,
    /// Those that the last look could not miss.
    seen: AtomicUsize,
}

impl Strays {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            all: AtomicUsize::new(0),
            seen: AtomicUsize::new(0),
        }
    }

    /// Here is one: in the task list already, and not yet able to run.
    pub(crate) fn add(&self) {
        // Release: partner of the Acquire in `look`.
        self.all.fetch_add(1, Ordering::Release);
    }

    /// A look at all tasks begins. One looks at a time.
    pub(crate) fn look(&self) {
        // Acquire: partner of the Release in `add`. The list is read after this, and has all that are counted.
        let all = self.all.load(Ordering::Acquire);
        // Relaxed: for who looks, and for the moment at which the machine stands.
        self.seen.store(all, Ordering::Relaxed);
    }

    /// May the last look have missed any? For a moment at which nobody can be in the middle of a fork: the machine stands.
    pub(crate) fn any(&self) -> bool {
        self.all.load(Ordering::Relaxed) != self.seen.load(Ordering::Relaxed)
    }
}
