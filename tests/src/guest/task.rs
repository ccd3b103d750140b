// SPDX-License-Identifier: GPL-2.0-only
//! One thread of the guest, as /proc shows it, and signals to that thread alone.

use std::fs;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

/// A thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Task {
    /// The process.
    pub pid: i32,
    /// The thread.
    pub tid: i32,
}

impl Task {
    /// A process by its first thread.
    pub fn process(pid: i32) -> Self {
        Self { pid, tid: pid }
    }

    /// The kernel's letter: R, S, D, T (stopped), t (traced), Z, I.
    pub fn state(self) -> Result<char> {
        let status = self.file("status")?;
        let letter = status
            .lines()
            .find_map(|line| line.strip_prefix("State:"))
            .and_then(|state| state.trim().chars().next());
        letter.with_context(|| format!("no state of {self:?}"))
    }

    /// Which side of the running transition it is on: -1 when there is none.
    pub fn patch_state(self) -> Result<i32> {
        self.file("patch_state")?
            .trim()
            .parse()
            .with_context(|| format!("patch state of {self:?}"))
    }

    /// The functions it sleeps in, innermost first.
    pub fn stack(self) -> Result<String> {
        self.file("stack")
    }

    /// Sends a signal to this thread and no other.
    pub fn signal(self, signal: Signal) -> Result<()> {
        // SAFETY: tgkill takes three integers and touches no memory of ours.
        let result = unsafe { libc::syscall(libc::SYS_tgkill, self.pid, self.tid, signal.as_raw()) };
        ensure!(
            result == 0,
            "{signal:?} to {self:?}: {}",
            std::io::Error::last_os_error()
        );
        Ok(())
    }

    fn file(self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/task/{}/{name}", self.pid, self.tid);
        fs::read_to_string(&path).context(path)
    }
}
