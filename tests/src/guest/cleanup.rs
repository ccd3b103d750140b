// SPDX-License-Identifier: GPL-2.0-only
//! Bringing the machine back to where the first scenario found it. It must succeed: a scenario that runs on the leavings
//! of another proves nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use super::command::Call;
use super::module::Module;
use super::patch::Patch;
use super::scope::Scope;
use super::service::OVERRIDES;
use super::target::Target;
use crate::plan::SAMPLES;
use crate::wait;

/// With nobody stuck the kernel needs a second or two for a transition; emulated and loaded, several times that.
const TRANSITION_WITHIN: Duration = Duration::from_secs(60);
/// A replaced or reverted patch lets go of its module a moment later, from a work queue.
const MODULE_WITHIN: Duration = Duration::from_secs(10);
const DAEMON: &str = "livepatchd.service";
/// What scenarios change of the daemon's configuration.
const CONFIGURATION: &str = "/etc/livepatchd";

/// The state to come back to.
#[derive(Debug)]
pub(super) struct Pristine {
    daemon: bool,
    stays: Vec<Module>,
    configuration: BTreeMap<PathBuf, Vec<u8>>,
}

impl Pristine {
    /// Remembers the state of a machine that nothing has run on yet.
    pub(super) fn remember(daemon: bool) -> Result<Self> {
        Ok(Self {
            daemon,
            stays: Vec::new(),
            configuration: files_of(Path::new(CONFIGURATION))?,
        })
    }

    /// Undoes everything a scenario may have done, in the order in which things hold each other. The daemon is stopped first:
    /// what it does to help would be taken for the kernel's own.
    pub(super) fn restore(&self, scope: &Scope) -> Result<()> {
        scope.kill(release_everybody)?;
        stop_units()?;
        if self.daemon {
            Call::new("systemctl", ["stop", DAEMON])
                .ok()
                .context("livepatchd does not stop")?;
        }
        revert_all()?;
        self.unload_samples()?;
        fs::write("/proc/sys/kernel/ftrace_enabled", "1").context("kernel.ftrace_enabled")?;
        if self.daemon { self.forget_daemon() } else { Ok(()) }
    }

    /// From now on the modules that are loaded stay: they cannot be unloaded before the next boot.
    pub(super) fn keep_modules(&mut self) -> Result<()> {
        self.stays = samples()?;
        self.stays.retain(Module::loaded);
        Ok(())
    }

    /// What holds others goes first, whatever its name: all are tried until none is left.
    fn unload_samples(&self) -> Result<()> {
        let mut left = samples()?;
        left.retain(|module| !self.stays.contains(module));
        let mut reason = None;
        let gone = wait::until(MODULE_WITHIN, "the modules of tests to be unloaded", || {
            left.retain(|module| {
                let unloaded = module.loaded().then(|| module.unload());
                unloaded.is_some_and(|result| result.map_err(|error| reason = Some(error)).is_err())
            });
            Ok(left.is_empty())
        });
        gone.with_context(|| reason.map(|error| error.to_string()).unwrap_or_default())?;
        Ok(())
    }

    /// Leaves nothing of the stopped daemon but what was installed.
    fn forget_daemon(&self) -> Result<()> {
        remove("/run/livepatchd")?;
        remove("/var/lib/livepatchd")?;
        if remove(OVERRIDES)? {
            Call::new("systemctl", ["daemon-reload"]).ok()?;
        }
        let now = files_of(Path::new(CONFIGURATION))?;
        for path in now.keys().filter(|path| !self.configuration.contains_key(*path)) {
            fs::remove_file(path)?;
        }
        for (path, contents) in &self.configuration {
            if now.get(path) != Some(contents) {
                fs::write(path, contents)?;
            }
        }
        // Else a daemon that scenarios killed often would be started too often for systemd.
        Call::new("systemctl", ["reset-failed", DAEMON]).run().map(drop)
    }
}

/// Starts the daemon for a scenario that speaks of it; it is not running now.
pub(super) fn start_daemon() -> Result<()> {
    Call::new("systemctl", ["start", DAEMON])
        .ok()
        .map(drop)
        .context("livepatchd does not start")
}

/// Says whether there was such a folder.
fn remove(folder: &str) -> Result<bool> {
    match fs::remove_dir_all(folder) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).context(folder.to_owned()),
    }
}

fn release_everybody() -> Result<()> {
    // The target of klp_rs's own tests; its gate stays open, but the module goes too.
    if Module::sample("agree").loaded() {
        fs::write("/proc/agree/gate", "1").context("/proc/agree/gate")?;
    }
    if !Module::sample("tgt").loaded() {
        return Ok(());
    }
    Target.release_all()?;
    Target.kthread(false)
}

/// Units that scenarios start are called `test-…`.
fn stop_units() -> Result<()> {
    let units = Call::new("systemctl", ["list-units", "--all", "--plain", "--no-legend", "test-*"]).ok()?;
    if units.trim().is_empty() {
        return Ok(());
    }
    Call::new("systemctl", ["stop", "test-*"]).ok()?;
    Call::new("systemctl", ["reset-failed", "test-*"]).run().map(drop)
}

fn revert_all() -> Result<()> {
    // One transition at a time is all the kernel has: first the one that runs.
    let mut patches = Patch::all()?;
    patches.sort_by_key(|patch| !patch.in_transition().unwrap_or(false));
    for patch in patches {
        if patch.enabled()? {
            patch.set_enabled(false)?;
        }
        patch.wait_reverted(TRANSITION_WITHIN)?;
    }
    Ok(())
}

fn samples() -> Result<Vec<Module>> {
    let files = files_of_folder(Path::new(SAMPLES))?;
    let names = files.iter().filter_map(|path| path.file_stem()?.to_str());
    Ok(names.map(Module::sample).collect())
}

fn files_of_folder(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| folder.display().to_string())?,
    };
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    paths.sort();
    Ok(paths)
}

fn files_of(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let paths = files_of_folder(folder)?.into_iter().filter(|path| path.is_file());
    paths.map(|path| Ok((path.clone(), fs::read(&path)?))).collect()
}
