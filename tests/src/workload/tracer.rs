// SPDX-License-Identifier: GPL-2.0-only
//! A debugger that has stopped a thread and keeps it so: what strace and gdb do for a moment, held until killed.

use std::thread;

use anyhow::{Result, ensure};
use clap::Args;

use super::Event;

/// `workload trace TID`.
#[derive(Debug, Clone, Args)]
pub struct Tracer {
    /// The thread to stop.
    tid: i32,
}

/// Holds the thread until killed; the kernel then lets it go on.
pub fn run(tracer: &Tracer) -> Result<()> {
    request(libc::PTRACE_SEIZE, tracer.tid)?;
    request(libc::PTRACE_INTERRUPT, tracer.tid)?;
    let mut status = 0;
    // SAFETY: the status is ours and lives through the call.
    let stopped = unsafe { libc::waitpid(tracer.tid, &raw mut status, libc::__WALL) };
    ensure!(
        stopped == tracer.tid && libc::WIFSTOPPED(status),
        "{} did not stop: {status:#x}",
        tracer.tid
    );
    Event::Tracing { tid: tracer.tid }.tell()?;
    loop {
        thread::park();
    }
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
