// SPDX-License-Identifier: GPL-2.0-only
//! One thread of the guest, as /proc shows it, and signals to that thread alone.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::command::Call;
use crate::wait;

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

    /// Every thread of a process.
    pub fn threads(pid: i32) -> Result<Vec<Self>> {
        let tids = numbers(&format!("/proc/{pid}/task"))?;
        Ok(tids.into_iter().map(|tid| Self { pid, tid }).collect())
    }

    /// The process of that name; there must be one.
    pub fn named(comm: &str) -> Result<Self> {
        let named = |pid: &i32| fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|text| text.trim() == comm);
        let found = numbers("/proc")?.into_iter().find(named);
        found
            .map(Self::process)
            .with_context(|| format!("no process is called {comm}"))
    }

    /// The main process of a unit.
    pub fn of_unit(unit: &str) -> Result<Self> {
        let pid = Call::new("systemctl", ["show", "--property=MainPID", "--value", unit]).ok()?;
        pid.trim()
            .parse()
            .map(Self::process)
            .with_context(|| format!("{unit} has process {pid:?}"))
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

    /// Waits until it is not stopped.
    pub fn wait_not_stopped(self, bound: Duration) -> Result<()> {
        wait::until(bound, &format!("{self:?} to be continued"), || Ok(self.state()? != 'T')).map(drop)
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

    /// Sends a signal to the whole process.
    pub fn signal_process(self, signal: Signal) -> Result<()> {
        let pid = Pid::from_raw(self.pid).context("not a process")?;
        kill_process(pid, signal).with_context(|| format!("{signal:?} to process {}", self.pid))
    }

    fn file(self, name: &str) -> Result<String> {
        let path = format!("/proc/{}/task/{}/{name}", self.pid, self.tid);
        fs::read_to_string(&path).context(path)
    }
}

/// The names in a folder that are numbers.
fn numbers(folder: &str) -> Result<Vec<i32>> {
    let entries = fs::read_dir(folder).with_context(|| folder.to_owned())?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}
