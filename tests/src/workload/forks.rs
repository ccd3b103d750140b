// SPDX-License-Identifier: GPL-2.0-only
//! A fork storm: processes made and ended as fast as the machine can, each living for some milliseconds.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Args;

use super::Event;

/// How often the storm tells how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// `workload forks`.
#[derive(Debug, Clone, Args)]
pub struct Forks {
    /// Processes that live at the same time.
    #[arg(long, default_value_t = 20)]
    alive: usize,
    /// Ends after so many seconds; without it, when killed.
    #[arg(long)]
    seconds: Option<u64>,
}

/// Makes processes until its time is over.
pub fn run(forks: &Forks) -> Result<()> {
    let start = Instant::now();
    let mut told = Instant::now();
    let mut count = 0;
    let mut alive: Vec<Child> = Vec::with_capacity(forks.alive);
    while forks
        .seconds
        .is_none_or(|seconds| start.elapsed() < Duration::from_secs(seconds))
    {
        if alive.len() >= forks.alive {
            // The oldest, which has most likely ended.
            alive.remove(0).wait()?;
        }
        alive.push(Command::new("/bin/true").stdin(Stdio::null()).spawn()?);
        count += 1;
        if told.elapsed() >= TELL_EVERY {
            Event::Forked { count }.tell()?;
            told = Instant::now();
        }
    }
    for mut child in alive {
        child.wait()?;
    }
    Event::Forked { count }.tell()
}
