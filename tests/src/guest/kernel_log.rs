// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's log from a moment on, read where the kernel keeps it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;

use anyhow::{Context, Result};

/// What no test may leave in the kernel's log.
const COMPLAINTS: &[&str] = &[
    "WARNING:",
    "BUG:",
    "Oops",
    "general protection fault",
    "Call Trace:",
    "blocked for more than",
    "rcu: INFO",
];

/// Longest record the kernel hands out, from its `CONSOLE_EXT_LOG_MAX`.
const LONGEST_RECORD: usize = 8192;

/// The log since this was made.
#[derive(Debug)]
pub struct KernelLog {
    source: File,
    lines: Vec<String>,
}

impl KernelLog {
    pub(super) fn from_now() -> Result<Self> {
        let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let mut source = OpenOptions::new()
            .read(true)
            .custom_flags(nonblocking)
            .open("/dev/kmsg")
            .context("kernel log")?;
        source.seek(SeekFrom::End(0))?;
        Ok(Self {
            source,
            lines: Vec::new(),
        })
    }

    /// Every line until now.
    pub fn lines(&mut self) -> Result<&[String]> {
        let mut record = [0; LONGEST_RECORD];
        loop {
            match self.source.read(&mut record) {
                Ok(0) => break,
                Ok(length) => self.lines.push(message(&String::from_utf8_lossy(&record[..length]))),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Overwritten before we read it: the next read goes on with the oldest there is.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => self.lines.push("(lines lost)".to_owned()),
                Err(error) => return Err(error).context("reading the kernel log"),
            }
        }
        Ok(&self.lines)
    }

    /// The first line that tells of a fault in the kernel.
    pub fn complaint(&mut self) -> Result<Option<String>> {
        Ok(self
            .lines()?
            .iter()
            .find(|line| COMPLAINTS.iter().any(|complaint| line.contains(complaint)))
            .cloned())
    }
}

/// How many microseconds the log's clock is behind the monotonic one: it is the scheduler's (`kernel/printk/printk.c:
/// vprintk_store`, `local_clock`), which counts from another moment, and under emulation by some tens of milliseconds.
pub(super) fn behind() -> Result<i64> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut log = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(nonblocking)
        .open("/dev/kmsg")
        .context("kernel log")?;
    log.seek(SeekFrom::End(0))?;
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let mark = format!("livepatch-tests: it is {}.{:09} s", now.tv_sec, now.tv_nsec);
    // as loud as debugging: not for the console
    log.write_all(format!("<7>{mark}\n").as_bytes())?;
    let mut record = [0; LONGEST_RECORD];
    loop {
        let length = log.read(&mut record).context("our own line in the kernel log")?;
        let record = String::from_utf8_lossy(&record[..length]);
        if message(&record) == mark {
            let logged = micros(&record).with_context(|| format!("the time of {record:?}"))?;
            return Ok(now.tv_sec * 1_000_000 + now.tv_nsec / 1_000 - logged);
        }
    }
}

/// The third field of a record: when it was logged.
fn micros(record: &str) -> Option<i64> {
    record.split([',', ';']).nth(2)?.parse().ok()
}

/// `6,1234,5678,-;text\n KEY=value` without what surrounds the text.
fn message(record: &str) -> String {
    let text = record.split_once(';').map_or(record, |(_, text)| text);
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_says_when_it_was_logged() {
        assert_eq!(
            micros("15,339,5140900,-;livepatch-tests: it is 5.2 s\n"),
            Some(5_140_900)
        );
        assert_eq!(micros("nonsense"), None);
    }

    #[test]
    fn only_the_text_of_a_record_is_kept() {
        assert_eq!(
            message("6,339,5140900,-;livepatch: 'lp': patching complete\n SUBSYSTEM=x\n"),
            "livepatch: 'lp': patching complete"
        );
    }
}
