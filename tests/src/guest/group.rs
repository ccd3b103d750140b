// SPDX-License-Identifier: GPL-2.0-only
//! A control group below the scenario's own, to be frozen. The cleaning up removes it.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::scope::own_group;

/// A control group.
#[derive(Debug)]
pub struct Group {
    folder: PathBuf,
}

impl Group {
    pub(super) fn create(name: &str) -> Result<Self> {
        let folder = own_group()?.join(name);
        fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        Ok(Self { folder })
    }

    /// Moves a process into it.
    pub fn admit(&self, pid: i32) -> Result<()> {
        self.write("cgroup.procs", &pid.to_string())
    }

    /// Freezes it: whoever can, stops; whoever sleeps uninterruptibly, stops when that ends.
    pub fn freeze(&self) -> Result<()> {
        self.write("cgroup.freeze", "1")
    }

    /// Whether it shall be frozen.
    pub fn is_frozen(&self) -> Result<bool> {
        let text = fs::read_to_string(self.folder.join("cgroup.freeze")).context("cgroup.freeze")?;
        Ok(text.trim() == "1")
    }

    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.folder.join(file);
        fs::write(&path, text).with_context(|| format!("echo {text} > {}", path.display()))
    }
}
