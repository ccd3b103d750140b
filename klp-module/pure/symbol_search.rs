// SPDX-License-Identifier: GPL-2.0-only
//! Which of several symbols of one name is meant. Invariant: a name without a position means a symbol only when there is no
//! other; the same rules as kernel/livepatch/core.c:klp_find_object_symbol.

/// A search, fed with every symbol of the name in the order in which the kernel has them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search {
    position: usize,
    count: usize,
    chosen: usize,
    lowest: usize,
    highest: usize,
}

/// Why no symbol is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unclear {
    /// There is none of that name.
    Missing,
    /// There are several, and no position.
    Ambiguous,
    /// There are fewer.
    NoSuchPosition,
}

impl Search {
    /// For the symbol at `position`, counted from 1; 0 for the only one.
    pub(crate) const fn new(position: usize) -> Self {
        Self {
            position,
            count: 0,
            chosen: 0,
            lowest: usize::MAX,
            highest: 0,
        }
    }

    /// The next symbol of the name is here.
    pub(crate) fn meet(&mut self, address: usize) {
        self.count = self.count.saturating_add(1);
        if self.count == self.position || self.count == 1 {
            self.chosen = address;
        }
        self.lowest = self.lowest.min(address);
        self.highest = self.highest.max(address);
    }

    /// There are no more.
    pub(crate) fn result(&self) -> Result<usize, Unclear> {
        match (self.count, self.position) {
            (0, _) => Err(Unclear::Missing),
            (1, 0) => Ok(self.chosen),
            (_, 0) => Err(Unclear::Ambiguous),
            (count, position) if position <= count => Ok(self.chosen),
            _ => Err(Unclear::NoSuchPosition),
        }
    }

    /// The first and the last of them, whatever the position.
    pub(crate) fn span(&self) -> Option<(usize, usize)> {
        (self.count > 0).then_some((self.lowest, self.highest))
    }
}
