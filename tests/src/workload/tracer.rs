// SPDX-License-Identifier: GPL-2.0-only
//! A debugger that has stopped a thread and keeps it so, as strace and gdb do for a moment, or only traces it; held until
//! killed.

use std::thread;

use anyhow::{Result, ensure};
use clap::Args;

use super::Event;

/// `workload trace TID`.
#[derive(Debug, Clone, Args)]
pub struct Tracer {
    /// The thread to trace.
    tid: i32,
    /// Trace it without stopping it.
    #[arg(long)]
    running: bool,
}

/// Holds the thread until killed; the kernel then lets it go on.
pub fn run(tracer: &Tracer) -> Result<()> {
    request(libc::PTRACE_SEIZE, tracer.tid)?;
    if !tracer.running {
        stop(tracer.tid)?;
    }
    Event::Tracing { tid: tracer.tid }.tell()?;
    loop {
        thread::park();
    }
}

fn stop(tid: i32) -> Result<()> {
    request(libc::PTRACE_INTERRUPT, tid)?;
    let mut status = 0;
    // SAFETY: the status is ours and lives through the call.
    let stopped = unsafe { libc::waitpid(tid, &raw mut status, libc::__WALL) };
    ensure!(
        stopped == tid && libc::WIFSTOPPED(status),
        "{tid} did not stop: {status:#x}"
    );
    Ok(())
}

fn request(request: libc::c_uint, tid: i32) -> Result<()> {
    // SAFETY: SEIZE and INTERRUPT take no memory of ours; both pointers are plain zeroes.
    let result = unsafe { libc::ptrace(request, tid, 0, 0) };
    ensure!(
        result == 0,
        "ptrace {request:#x} of {tid}: {}",
        std::io::Error::last_os_error()
    );
    Ok(())
}
