// SPDX-License-Identifier: GPL-2.0-only
//! Where a run keeps its files: a folder of the target folder for each machine, and one for what `make install` installs.
//! A run holds its folders; another that wants them waits.

use std::fs::{self, File};
use std::ops::Deref;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A folder, empty when it was taken, and ours until this goes.
#[derive(Debug)]
pub(super) struct Workplace {
    folder: PathBuf,
    _lock: File,
}

impl Workplace {
    /// Takes the folder of that name and empties it.
    pub(super) fn take(name: &str) -> Result<Self> {
        let vm = vm_folder()?;
        fs::create_dir_all(&vm).with_context(|| vm.display().to_string())?;
        let lock = File::create(vm.join(format!("{name}.lock")))?;
        lock.lock()?;
        let folder = vm.join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder).with_context(|| folder.display().to_string())?;
        }
        fs::create_dir(&folder)?;
        Ok(Self { folder, _lock: lock })
    }
}

impl Deref for Workplace {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.folder
    }
}

/// Beside the other build results: this program lies in a profile's folder of the target folder.
fn vm_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program
        .parent()
        .and_then(Path::parent)
        .context("this program lies in no target folder")?;
    Ok(target.join("vm"))
}
