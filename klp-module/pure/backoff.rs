// SPDX-License-Identifier: GPL-2.0-only
//! How long to wait before the tasks are looked at again. Not a clock: the caller sleeps. Invariant: after progress the
//! next look follows at once, without progress never later than [`LONGEST`].

/// Milliseconds before the second look; the first is immediate.
const SHORTEST: u32 = 1;
/// A task that becomes movable without telling (its wake-up found no hook) waits at most this long, in milliseconds.
const LONGEST: u32 = 100;

/// The pause before the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Backoff(u32);

impl Backoff {
    /// At the start of a transition, and whenever something moved.
    pub(crate) const fn new() -> Self {
        Self(SHORTEST)
    }

    /// The pause to make now, in milliseconds; the one after it is twice as long.
    pub(crate) fn pause(&mut self) -> u32 {
        let now = self.0;
        self.0 = now.saturating_mul(2).min(LONGEST);
        now
    }
}
