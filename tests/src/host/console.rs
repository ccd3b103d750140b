// SPDX-License-Identifier: GPL-2.0-only
//! Files that a machine appends to while we read: its console and its reports.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, Result};

/// What the console shows only when the kernel is at its end, or will be.
const MARKERS: &[&str] = &[
    "Kernel panic",
    "Oops:",
    "BUG:",
    "general protection fault",
    "Internal error",
];

/// A growing file, read line by line.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    unfinished: Vec<u8>,
}

impl Tail {
    pub(super) fn of(path: &Path) -> Result<Self> {
        Ok(Self {
            file: File::open(path).with_context(|| path.display().to_string())?,
            unfinished: Vec::new(),
        })
    }

    /// The lines completed since the last call.
    pub(super) fn lines(&mut self) -> Result<Vec<String>> {
        self.file.read_to_end(&mut self.unfinished)?;
        let Some(end) = self.unfinished.iter().rposition(|byte| *byte == b'\n') else {
            return Ok(Vec::new());
        };
        let rest = self.unfinished.split_off(end + 1);
        let whole = std::mem::replace(&mut self.unfinished, rest);
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

/// Whether a console line tells of the kernel's end.
pub(super) fn is_fatal(line: &str) -> bool {
    MARKERS.iter().any(|marker| line.contains(marker))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_line_comes_when_it_is_whole() -> Result<()> {
        let mut file = tempfile::NamedTempFile::new()?;
        let mut tail = Tail::of(file.path())?;
        file.write_all(b"one\r\ntw")?;
        assert_eq!(tail.lines()?, ["one"]);
        assert_eq!(tail.lines()?, [""; 0]);
        file.write_all(b"o\n")?;
        assert_eq!(tail.lines()?, ["two"]);
        Ok(())
    }
}
