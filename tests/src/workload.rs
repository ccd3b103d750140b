// SPDX-License-Identifier: GPL-2.0-only
//! What the `workload` program does in the guest, and how it tells: one JSON object a line on standard output.
//!
//! It is a program of its own, not a thread of the scenario, so that it can be stuck, stopped and killed.

pub mod forks;
mod parent;
pub mod readers;
pub mod sleepers;
pub mod spinner;
pub mod tracer;
mod workers;

use std::io::Write;

use anyhow::Result;
use serde::{Deserialize, Serialize};

/// Enough for the deepest call made here; 20,000 threads with the usual 2 MiB would not fit a test machine.
const STACK_BYTES: usize = 32 * 1024;

/// One thing a workload tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A thread is about to read, and will be inside in a moment.
    Reading {
        /// Process.
        pid: i32,
        /// Thread.
        tid: i32,
    },
    /// A thread's read came back.
    Returned {
        /// Process.
        pid: i32,
        /// Thread.
        tid: i32,
        /// Bytes read.
        bytes: usize,
        /// The error's number, 0 for none.
        errno: i32,
    },
    /// All threads of a process sleep, or work.
    Settled {
        /// Process.
        pid: i32,
        /// How many threads it has besides the first.
        threads: usize,
    },
    /// What the threads that are not stuck did since this was told last.
    Progress {
        /// Process.
        pid: i32,
        /// Rounds of work of the thread that did the fewest.
        fewest_rounds: u64,
        /// Longest time in which one of those threads did nothing, in milliseconds.
        longest_gap_ms: u64,
    },
    /// The parent was told that its child stopped, by `waitpid` with `WUNTRACED`.
    Stopped {
        /// The child.
        pid: i32,
    },
    /// The parent was told that its child was continued, by `waitpid` with `WCONTINUED`.
    Continued {
        /// The child.
        pid: i32,
    },
    /// Processes were made, and ended, until now.
    Forked {
        /// How many.
        count: u64,
    },
    /// A thread is under our ptrace, and stopped by it if that was asked for.
    Tracing {
        /// The traced thread.
        tid: i32,
    },
}

impl Event {
    /// Writes it as one line, in one piece.
    pub fn tell(self) -> Result<()> {
        let mut line = serde_json::to_string(&self)?;
        line.push('\n');
        std::io::stdout().lock().write_all(line.as_bytes())?;
        Ok(())
    }
}

/// The longest time in which one of the working threads did nothing, in milliseconds.
pub fn longest_gap(events: &[Event]) -> u64 {
    let gaps = events.iter().filter_map(|event| match event {
        Event::Progress { longest_gap_ms, .. } => Some(*longest_gap_ms),
        _ => None,
    });
    gaps.max().unwrap_or(0)
}

fn pid() -> i32 {
    rustix::process::getpid().as_raw_nonzero().get()
}

fn tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}
