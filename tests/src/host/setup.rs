// SPDX-License-Identifier: GPL-2.0-only
//! The setup scripts from Rust: each prints on standard output the one thing it was run for. They do nothing when that is
//! in the cache already, so they are simply run every time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, ensure};

/// A stock kernel with our modules for it.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    /// As asked for: `7.2`.
    pub(super) series: String,
    /// As found: `7.2.12+deb13-cloud-amd64`.
    pub(super) release: String,
    /// The folder of our modules.
    pub(super) modules: PathBuf,
    /// The folder of `klp_rs`, its samples and what its tests need; it takes a kernel with Rust.
    pub(super) klp_rs: Option<PathBuf>,
}

/// The oldest kernel that `klp_rs` is built for, as in setup/all.sh.
const FIRST_WITH_RUST: (u32, u32) = (7, 2);

impl Kernel {
    /// The newest kernel of a series.
    pub(super) fn newest(series: &str) -> Result<Self> {
        let release = script("setup/kernel.sh", &[series])?;
        let modules = PathBuf::from(script("modules/build.sh", &[series])?);
        let mut kernel = Self {
            series: series.to_owned(),
            release,
            modules,
            klp_rs: None,
        };
        if kernel.version()? >= FIRST_WITH_RUST {
            kernel.klp_rs = Some(PathBuf::from(script("setup/klp-module.sh", &[series])?));
        }
        Ok(kernel)
    }

    /// The bootable image.
    pub(super) fn image(&self) -> Result<PathBuf> {
        Ok(cache()?.join(format!("kernel-{}", self.release)).join("vmlinuz"))
    }

    /// Its first two numbers.
    pub(super) fn version(&self) -> Result<(u32, u32)> {
        let mut numbers = self.release.split(['.', '+', '-']).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
            _ => anyhow::bail!("{} does not begin with a version", self.release),
        }
    }
}

/// Fetches and builds all there is, two things at a time.
pub fn prepare(series: &[String]) -> Result<()> {
    let status = Command::new(tests_folder().join("setup/all.sh"))
        .args(series)
        .status()
        .context("setup/all.sh")?;
    ensure!(status.success(), "tests/setup/all.sh ended with {status}");
    Ok(())
}

/// Prepares, and does the caller's work meanwhile: compiling here, waiting for the network there.
pub(super) fn prepare_beside<T>(series: &[String], work: impl FnOnce() -> Result<T>) -> Result<T> {
    thread::scope(|scope| {
        let preparing = scope.spawn(|| prepare(series));
        let done = work();
        preparing.join().ok().context("preparing panicked")??;
        done
    })
}

/// The guest's root file system, packed.
pub(super) fn userland() -> Result<PathBuf> {
    script("setup/userland.sh", &[]).map(PathBuf::from)
}

/// Where the scripts keep things; the rule stands in setup/lib.sh.
pub(super) fn cache() -> Result<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    variable("LIVEPATCHD_CACHE")
        .or_else(|| variable("XDG_CACHE_HOME").map(|folder| folder.join("livepatchd")))
        .or_else(|| variable("HOME").map(|folder| folder.join(".cache/livepatchd")))
        .context("no HOME to keep a cache in")
}

/// The folder of this package.
pub(super) fn tests_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The folder of the workspace.
pub(super) fn workspace() -> &'static Path {
    tests_folder().parent().unwrap_or(tests_folder())
}

fn script(path: &str, arguments: &[&str]) -> Result<String> {
    let output = Command::new(tests_folder().join(path))
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("starting tests/{path}"))?;
    ensure!(output.status.success(), "tests/{path} ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.trim().to_owned())
}
