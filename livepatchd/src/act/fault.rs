// SPDX-License-Identifier: GPL-2.0-only
//! Steps at which a test can have the daemon die or hang; empty unless built for tests or with the feature
//! `fault-injection`.
//!
//! `LIVEPATCHD_FAULT=STEP:kill` ends the process there as `kill -9` would, `STEP:pause` holds the thread for ever.
//! Never in a build for users: the packaged build has no such feature, and the call compiles to nothing.

/// A place in the code that a test can name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The nudge's record is written, nothing was sent.
    NudgePrepared,
    /// The record says that the signals are on their way, SIGSTOP was not sent.
    NudgeBeforeStop,
    /// Between the two signals.
    NudgeBetween,
    /// Both were sent, the record does not say so yet.
    NudgeContinued,
    /// The record says so and is still there.
    NudgeDone,
    /// A module is about to be loaded.
    LoadBefore,
    /// It was loaded, nobody was told.
    LoadAfter,
    /// `enabled` or `force` is about to be written.
    SwitchBefore,
    /// It was written, nobody was told.
    SwitchAfter,
    /// A module is about to be removed.
    UnloadBefore,
    /// It was removed, nobody was told.
    UnloadAfter,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 11] = [
        Self::NudgePrepared,
        Self::NudgeBeforeStop,
        Self::NudgeBetween,
        Self::NudgeContinued,
        Self::NudgeDone,
        Self::LoadBefore,
        Self::LoadAfter,
        Self::SwitchBefore,
        Self::SwitchAfter,
        Self::UnloadBefore,
        Self::UnloadAfter,
    ];

    /// Its name in `LIVEPATCHD_FAULT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NudgePrepared => "nudge-prepared",
            Self::NudgeBeforeStop => "nudge-before-stop",
            Self::NudgeBetween => "nudge-between",
            Self::NudgeContinued => "nudge-continued",
            Self::NudgeDone => "nudge-done",
            Self::LoadBefore => "load-before",
            Self::LoadAfter => "load-after",
            Self::SwitchBefore => "switch-before",
            Self::SwitchAfter => "switch-after",
            Self::UnloadBefore => "unload-before",
            Self::UnloadAfter => "unload-after",
        }
    }
}

/// Does nothing, or what the test asked for.
#[inline]
#[cfg(not(any(test, feature = "fault-injection")))]
pub fn at(_: Step) {}

/// Does nothing, or what the test asked for.
#[cfg(any(test, feature = "fault-injection"))]
pub fn at(step: Step) {
    use rustix::process::{Signal, getpid, kill_process};
    let Ok(wanted) = std::env::var("LIVEPATCHD_FAULT") else {
        return;
    };
    match wanted.split_once(':') {
        Some((name, "kill")) if name == step.as_str() => {
            // nothing to do if it fails: the test sees the process alive
            let _ = kill_process(getpid(), Signal::KILL);
        }
        Some((name, "pause")) if name == step.as_str() => loop {
            std::thread::sleep(std::time::Duration::from_secs(3600));
        },
        _ => {}
    }
}
