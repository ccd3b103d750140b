// SPDX-License-Identifier: GPL-2.0-only
//! The phases of the core and what is legal in each. Says nothing about tasks. Invariant: at most one patch is in
//! transition, so there is one phase for the whole core and every change of it goes through [`Phase::after`].

/// Where the tasks of a transition are going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To the new functions.
    Patching,
    /// Back to what was before.
    Unpatching,
}

impl Direction {
    /// The other one.
    pub(crate) const fn opposite(self) -> Self {
        match self {
            Self::Patching => Self::Unpatching,
            Self::Unpatching => Self::Patching,
        }
    }

    /// Does a task that has arrived use the new functions?
    pub(crate) const fn arrives_patched(self) -> bool {
        matches!(self, Self::Patching)
    }

    /// As the kernel's core says it in the log.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Patching => "patching",
            Self::Unpatching => "unpatching",
        }
    }
}

/// What the core is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No transition.
    Idle,
    /// Tasks of patch `patch` are moving.
    Moving {
        /// The patch in transition.
        patch: u32,
        /// Where its tasks go.
        direction: Direction,
    },
}

/// What is asked of the core, or what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// A new patch is to be enabled.
    Enable(u32),
    /// A patch is to be disabled. Illegal for one that is not enabled: the caller knows.
    Disable(u32),
    /// The opposite value was written to `enabled` during the transition.
    Reverse(u32),
    /// Every task has arrived.
    Arrived,
}

/// Why an event is illegal now; the caller makes an errno of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Illegal {
    /// Another transition is running.
    Busy,
    /// There is no such transition.
    NotMoving,
}

impl Phase {
    /// The phase that follows, or why none does.
    pub(crate) const fn after(self, event: Event) -> Result<Self, Illegal> {
        match (self, event) {
            (Self::Idle, Event::Enable(patch)) => Ok(Self::Moving {
                patch,
                direction: Direction::Patching,
            }),
            (Self::Idle, Event::Disable(patch)) => Ok(Self::Moving {
                patch,
                direction: Direction::Unpatching,
            }),
            (Self::Idle, Event::Reverse(_) | Event::Arrived) => Err(Illegal::NotMoving),
            (Self::Moving { .. }, Event::Enable(_) | Event::Disable(_)) => Err(Illegal::Busy),
            (Self::Moving { patch, direction }, Event::Reverse(asked)) if patch == asked => Ok(Self::Moving {
                patch,
                direction: direction.opposite(),
            }),
            (Self::Moving { .. }, Event::Reverse(_)) => Err(Illegal::Busy),
            (Self::Moving { .. }, Event::Arrived) => Ok(Self::Idle),
        }
    }

    /// Is `patch` the one in transition?
    pub(crate) const fn moves(self, patch: u32) -> bool {
        matches!(self, Self::Moving { patch: moving, .. } if moving == patch)
    }
}
