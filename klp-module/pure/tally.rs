// SPDX-License-Identifier: GPL-2.0-only
//! How many tasks moved by themselves, and how many of them a look at the tasks waits for. Counts, and knows no tasks.
//! Invariant: when the last one that a look waits for moves, either that one learns it or the look does.

use super::atomic::{fence, AtomicUsize, Ordering};

/// The count of one transition.
pub(crate) struct Tally {
    moves: AtomicUsize,
    /// The count at which everybody has moved, as last seen.
    goal: AtomicUsize,
}

impl Tally {
    /// Nobody has moved, and nobody waits.
    pub(crate) fn new() -> Self {
        Self {
            moves: AtomicUsize::new(0),
            goal: AtomicUsize::new(usize::MAX),
        }
    }

    /// The count now: taken before a look at the tasks, for [`Tally::expect`].
    pub(crate) fn moves(&self) -> usize {
        // Acquire: partner of the Release in `moved`. A look that has this count sees that those tasks have moved.
        self.moves.load(Ordering::Acquire)
    }

    /// A task moved by itself. True when it may have been the last: tell who looks.
    pub(crate) fn moved(&self) -> bool {
        // Release: partner of the Acquire in `moves`; the move was written down before.
        let moves = self.moves.fetch_add(1, Ordering::Release).wrapping_add(1);
        // Partner: the fence in `expect`. Each writes its own and then reads the other's; one of them must see the other.
        fence(Ordering::SeqCst);
        moves == self.goal.load(Ordering::Relaxed)
    }

    /// A look that began at `before` left `pending` tasks. True when so many have moved already: look again.
    pub(crate) fn expect(&self, before: usize, pending: usize) -> bool {
        let goal = before.saturating_add(pending);
        self.goal.store(goal, Ordering::Relaxed);
        // Partner: the fence in `moved`.
        fence(Ordering::SeqCst);
        self.moves() >= goal
    }

    /// Nobody waits any more.
    pub(crate) fn forget(&self) {
        self.goal.store(usize::MAX, Ordering::Relaxed);
    }
}
