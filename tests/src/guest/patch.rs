// SPDX-License-Identifier: GPL-2.0-only
//! Live patches as their cores show them in sysfs: the truth the daemon is measured by.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::wait;

/// Where each core shows its patches: the kernel's own, `klp_rs`.
const FOLDERS: [&str; 2] = ["/sys/kernel/livepatch", "/sys/kernel/klp_rs"];

/// A live patch by name; it may come and go.
#[derive(Debug, Clone)]
pub struct Patch {
    name: String,
}

impl Patch {
    pub(super) fn named(name: &str) -> Self {
        Self { name: name.to_owned() }
    }

    /// Its folder in the core that has it; in the kernel's own if none has.
    fn folder(&self) -> PathBuf {
        let folders = FOLDERS.map(|folder| Path::new(folder).join(&self.name));
        let there = folders.iter().find(|folder| folder.exists());
        there.unwrap_or(&folders[0]).clone()
    }

    /// Every live patch there is, of every core.
    pub fn all() -> Result<Vec<Self>> {
        let mut patches = Vec::new();
        for folder in FOLDERS {
            let entries = match fs::read_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                entries => entries.context(folder)?,
            };
            for entry in entries {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    patches.push(Self::named(&entry.file_name().to_string_lossy()));
                }
            }
        }
        patches.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(patches)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its core has it.
    pub fn exists(&self) -> bool {
        self.folder().exists()
    }

    /// The core's `enabled`; no for a patch that does not exist.
    pub fn enabled(&self) -> Result<bool> {
        self.flag("enabled")
    }

    /// The core's `transition`; no for a patch that does not exist.
    pub fn in_transition(&self) -> Result<bool> {
        self.flag("transition")
    }

    /// Writes `enabled`.
    pub fn set_enabled(&self, enabled: bool) -> Result<()> {
        let value = if enabled { "1" } else { "0" };
        fs::write(self.folder().join("enabled"), value)
            .with_context(|| format!("echo {value} > {}/enabled", self.folder().display()))
    }

    /// Writes `force`.
    pub fn force(&self) -> Result<()> {
        let file = self.folder().join("force");
        fs::write(&file, "1").with_context(|| format!("echo 1 > {}", file.display()))
    }

    /// Waits for it to be enabled with no transition left; says how long that took.
    pub fn wait_applied(&self, bound: Duration) -> Result<Duration> {
        wait::until(bound, &format!("{} to be applied", self.name), || {
            Ok(self.enabled()? && !self.in_transition()?)
        })
    }

    /// Waits for it to be disabled, or gone, with no transition left.
    pub fn wait_reverted(&self, bound: Duration) -> Result<Duration> {
        wait::until(bound, &format!("{} to be reverted", self.name), || {
            Ok(!self.enabled()? && !self.in_transition()?)
        })
    }

    fn flag(&self, attribute: &str) -> Result<bool> {
        match fs::read_to_string(self.folder().join(attribute)) {
            Ok(text) => match text.trim() {
                "0" => Ok(false),
                "1" => Ok(true),
                other => bail!("{attribute} of {} is {other}", self.name),
            },
            // A patch that goes while it is read answers ENODEV.
            Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ENODEV) => {
                Ok(false)
            }
            Err(error) => Err(error).with_context(|| format!("{attribute} of {}", self.name)),
        }
    }
}
