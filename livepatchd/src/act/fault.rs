// SPDX-License-Identifier: GPL-2.0-only
//! Steps at which a test can have the daemon die or hang; empty unless built with the feature `fault-injection`.
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
    /// The module is about to be loaded.
    JobBeforeLoad,
    /// The module was loaded, nobody was told.
    JobAfterLoad,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 7] = [
        Self::NudgePrepared,
        Self::NudgeBeforeStop,
        Self::NudgeBetween,
        Self::NudgeContinued,
        Self::NudgeDone,
        Self::JobBeforeLoad,
        Self::JobAfterLoad,
    ];

    /// Its name in `LIVEPATCHD_FAULT`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::NudgePrepared => "nudge-prepared",
            Self::NudgeBeforeStop => "nudge-before-stop",
            Self::NudgeBetween => "nudge-between",
            Self::NudgeContinued => "nudge-continued",
            Self::NudgeDone => "nudge-done",
            Self::JobBeforeLoad => "job-before-load",
            Self::JobAfterLoad => "job-after-load",
        }
    }
}

/// Does nothing, or what the test asked for.
#[inline]
#[cfg(not(feature = "fault-injection"))]
pub fn at(_: Step) {}

/// Does nothing, or what the test asked for.
#[cfg(feature = "fault-injection")]
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
