// SPDX-License-Identifier: GPL-2.0-only
//! Modules of `tests/modules` and `klp-module`: files in the guest, loaded and unloaded by hand as an administrator would.

use std::path::{Path, PathBuf};

use anyhow::Result;

use super::command::Call;
use crate::plan::SAMPLES;

/// One module file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    name: String,
}

impl Module {
    pub(super) fn sample(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Its file.
    pub fn path(&self) -> PathBuf {
        Path::new(SAMPLES).join(format!("{}.ko", self.name))
    }

    /// Its file, as text for a command line.
    pub fn file(&self) -> String {
        self.path().display().to_string()
    }

    /// Whether the kernel has it.
    pub fn loaded(&self) -> bool {
        Path::new("/sys/module").join(&self.name).exists()
    }

    /// insmod.
    pub fn load(&self) -> Result<()> {
        Call::new("insmod", [self.file()]).ok().map(drop)
    }

    /// rmmod.
    pub fn unload(&self) -> Result<()> {
        Call::new("rmmod", [self.name.clone()]).ok().map(drop)
    }
}
