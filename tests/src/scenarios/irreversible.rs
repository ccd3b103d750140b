// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel switches on and never off again until the next boot. These run last: no module can be loaded, or
//! unloaded, after them.

use std::fs;

use anyhow::{Context, Result, ensure};

use super::Scenario;
use crate::guest::Guest;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("an unsigned patch is refused where signatures are enforced", unsigned),
    Scenario::new("a patch is refused where no module may be loaded", no_loading),
];

/// Applies a good patch: it must be refused in these words, before the kernel is asked.
fn refused(guest: &Guest, words: &str) -> Result<()> {
    let standing = guest.standing()?;
    let mut log = guest.kernel_log()?;
    let file = guest.module("lp_vmlinux").file();
    let told = guest.ctl().call(["apply", &file]).run()?;
    ensure!(
        told.code == 1 && told.stderr.contains(words),
        "it ended with {}: {}",
        told.code,
        told.stderr
    );
    let name = guest.bus().error_of("Apply", &["s", &file])?;
    ensure!(name == "org.livepatch.Error.Refused", "{name}");
    let logged = log.lines()?;
    let about_it = logged.iter().find(|line| line.contains("lp_vmlinux"));
    ensure!(about_it.is_none(), "the kernel was asked: {logged:?}");
    standing.ensure_unchanged()
}

fn unsigned(guest: &Guest) -> Result<()> {
    fs::write("/sys/module/module/parameters/sig_enforce", "Y").context("module.sig_enforce")?;
    refused(guest, "module.sig_enforce")
}

fn no_loading(guest: &Guest) -> Result<()> {
    fs::write("/proc/sys/kernel/modules_disabled", "1").context("kernel.modules_disabled")?;
    refused(guest, "kernel.modules_disabled")
}
