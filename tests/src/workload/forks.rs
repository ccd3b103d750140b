// SPDX-License-Identifier: GPL-2.0-only
//! A fork storm: processes made and ended as fast as the machine can, each living for some milliseconds. They run no other
//! program: what a transition has to keep up with is the copying of tasks.

use std::io;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use clap::Args;

use super::Event;

/// How often the storm tells how far it is.
const TELL_EVERY: Duration = Duration::from_millis(500);

/// Long enough to be found by the kernel's walk over all tasks now and then.
const LIFE_MICROSECONDS: libc::c_uint = 5_000;

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
    let mut alive = 0;
    while forks
        .seconds
        .is_none_or(|seconds| start.elapsed() < Duration::from_secs(seconds))
    {
        if alive >= forks.alive {
            wait_for_one()?;
            alive -= 1;
        }
        fork_one()?;
        alive += 1;
        count += 1;
        if told.elapsed() >= TELL_EVERY {
            Event::Forked { count }.tell()?;
            told = Instant::now();
        }
    }
    for _ in 0..alive {
        wait_for_one()?;
    }
    Event::Forked { count }.tell()
}

fn fork_one() -> Result<()> {
    // SAFETY: this program has one thread, and the child does nothing but sleep and end.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        // SAFETY: no memory of ours is touched, and no destructor may run in the child.
        unsafe {
            libc::usleep(LIFE_MICROSECONDS);
            libc::_exit(0)
        }
    }
    ensure!(pid > 0, "fork: {}", io::Error::last_os_error());
    Ok(())
}

fn wait_for_one() -> Result<()> {
    let mut status = 0;
    // SAFETY: the status is ours and lives through the call.
    let pid = unsafe { libc::waitpid(-1, &raw mut status, 0) };
    ensure!(
        pid > 0 && status == 0,
        "a child ended with {status:#x}: {}",
        io::Error::last_os_error()
    );
    Ok(())
}
