// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's log from a moment on, read where the kernel keeps it.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
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

/// `6,1234,5678,-;text\n KEY=value` without what surrounds the text.
fn message(record: &str) -> String {
    let text = record.split_once(';').map_or(record, |(_, text)| text);
    text.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_of_a_record_is_kept() {
        assert_eq!(
            message("6,339,5140900,-;livepatch: 'lp': patching complete\n SUBSYSTEM=x\n"),
            "livepatch: 'lp': patching complete"
        );
    }
}
