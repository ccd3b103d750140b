// SPDX-License-Identifier: GPL-2.0-only
//! How far what is known of one core lags behind: what stirred since it was listed, and what we did that no listing shows.
//!
//! It does not hold what is known. Two questions are kept apart. *Stale*: is another look worth it? Anything may ask for
//! that at any time. *Behind*: was the last listing read before an action of ours took effect? Then jobs must not be judged
//! by it, and a listing that was already under way says nothing new.

use super::time::Moment;

/// What is known of one core's listing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Freshness {
    /// Something may have changed since a listing was last asked for.
    stale: bool,
    /// An action of ours took effect, and no listing asked for after it has arrived.
    behind: bool,
    /// The listing asked for last was asked for after our last action took effect.
    covers: bool,
    /// When a listing was last asked for.
    listed_at: Moment,
}

impl Freshness {
    /// Something may have changed.
    pub(super) fn stir(&mut self) {
        self.stale = true;
    }

    /// An action of ours took effect, or failed to: what was known, and a listing under way, are from before it.
    pub(super) fn overtake(&mut self) {
        self.stale = true;
        self.behind = true;
        self.covers = false;
    }

    /// Nothing is known yet, and nothing is under way: the first listing tells, asked for or not.
    pub(super) fn await_first(&mut self) {
        self.overtake();
        self.covers = true;
    }

    /// A listing is asked for.
    pub(super) fn ask(&mut self, now: Moment) {
        self.stale = false;
        self.covers = true;
        self.listed_at = now;
    }

    /// A listing arrived; whether it is to be taken in.
    pub(super) fn answer(&mut self) -> bool {
        if self.covers {
            self.behind = false;
        }
        !self.behind
    }

    /// Whether another look is worth it.
    pub(super) fn is_stale(self) -> bool {
        self.stale
    }

    /// Whether what is known is from before an action of ours.
    pub(super) fn is_behind(self) -> bool {
        self.behind
    }

    /// When a listing was last asked for.
    pub(super) fn listed_at(self) -> Moment {
        self.listed_at
    }
}
