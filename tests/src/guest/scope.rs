// SPDX-License-Identifier: GPL-2.0-only
//! The control group a scenario runs in with everything it starts, so that nothing can be left behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::wait;

/// A killed task leaves once it is out of the kernel; under emulation, with hundreds of them, that takes a while.
const EMPTY_WITHIN: Duration = Duration::from_secs(20);

/// The scenario's group, below the group of the runner.
#[derive(Debug)]
pub(super) struct Scope {
    folder: PathBuf,
}

impl Scope {
    pub(super) fn create() -> Result<Self> {
        let folder = own_group()?.join("scenario");
        if !folder.exists() {
            fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
        }
        Ok(Self { folder })
    }

    /// The file to write one's process id to, to enter.
    pub(super) fn entrance(&self) -> PathBuf {
        self.folder.join("cgroup.procs")
    }

    /// Kills all that is inside and waits until it is gone; `help` may wake those that do not heed a kill.
    pub(super) fn kill(&self, help: impl Fn() -> Result<()>) -> Result<()> {
        fs::write(self.folder.join("cgroup.kill"), "1").context("cgroup.kill")?;
        wait::until(EMPTY_WITHIN, "what the scenario started to end", || {
            help()?;
            let events = fs::read_to_string(self.folder.join("cgroup.events"))?;
            Ok(events.lines().any(|line| line == "populated 0"))
        })?;
        remove_below(&self.folder)
    }
}

/// The control group we are in.
pub(super) fn own_group() -> Result<PathBuf> {
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let own = groups
        .lines()
        .find_map(|line| line.strip_prefix("0::/"))
        .context("no unified control group")?;
    Ok(PathBuf::from("/sys/fs/cgroup").join(own))
}

/// Removes the groups a scenario made below its own.
fn remove_below(folder: &Path) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_below(&path)?;
            fs::remove_dir(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}
