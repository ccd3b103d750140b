// SPDX-License-Identifier: GPL-2.0-only
//! The target module's files in /proc/tgt: who sleeps where, and how they are let go.

use std::fmt;
use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

/// A place to sleep (or to spin), each in a function of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// Interruptible; a signal restarts the read.
    Wait,
    /// Interruptible; a signal ends the read with EINTR.
    WaitEintr,
    /// Only a deadly signal ends it.
    WaitKillable,
    /// No signal ends it.
    WaitUninterruptible,
    /// As the first, on a stack that the kernel cannot walk reliably.
    WaitUnreliable,
    /// Always running.
    Spin,
    /// The module's own kthread.
    Kthread,
}

impl Queue {
    /// The file that is read to get there. The kthread has none.
    pub fn file(self) -> String {
        format!("/proc/tgt/{self}")
    }
}

impl fmt::Display for Queue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Wait => "wait",
            Self::WaitEintr => "wait_eintr",
            Self::WaitKillable => "wait_killable",
            Self::WaitUninterruptible => "wait_uninterruptible",
            Self::WaitUnreliable => "wait_unreliable",
            Self::Spin => "spin",
            Self::Kthread => "kthread",
        })
    }
}

/// The loaded target module.
#[derive(Debug, Clone, Copy)]
pub struct Target;

impl Target {
    /// How many are in a queue.
    pub fn sleepers(self, queue: Queue) -> Result<usize> {
        let text = fs::read_to_string("/proc/tgt/waiters").context("/proc/tgt/waiters")?;
        let name = queue.to_string();
        let count = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .find_map(|(queue, count)| (queue == name).then_some(count));
        count
            .and_then(|count| count.parse().ok())
            .with_context(|| format!("no {name} in {text:?}"))
    }

    /// Waits until exactly so many are in a queue.
    pub fn wait_for_sleepers(self, queue: Queue, count: usize, bound: Duration) -> Result<Duration> {
        wait::until(bound, &format!("{count} in {queue}"), || {
            Ok(self.sleepers(queue)? == count)
        })
    }

    /// Lets everybody in a queue go.
    pub fn release(self, queue: Queue) -> Result<()> {
        fs::write("/proc/tgt/release", queue.to_string()).with_context(|| format!("releasing {queue}"))
    }

    /// Lets everybody go.
    pub fn release_all(self) -> Result<()> {
        fs::write("/proc/tgt/release", "all").context("releasing everybody")
    }

    /// Starts or ends the kthread that sleeps in `tgt_kthread_wait`.
    pub fn kthread(self, on: bool) -> Result<()> {
        fs::write("/proc/tgt/kthread", if on { "1" } else { "0" }).context("/proc/tgt/kthread")
    }

    /// What `tgt_version` says: `original`, or the word of the patch on top.
    pub fn version(self) -> Result<String> {
        Ok(fs::read_to_string("/proc/tgt/version")
            .context("/proc/tgt/version")?
            .trim()
            .to_owned())
    }
}
