// SPDX-License-Identifier: GPL-2.0-only
//! The configuration file: taken up by a reload, and never half of one that cannot be understood.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Scenario;
use crate::guest::{Guest, Queue};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a reload takes up a good file, and of a bad one tells file and line and keeps the old rules",
        reload,
    )
    .within_secs(120),
    Scenario::new(
        "with a bad file the daemon does not start, and tells file and line",
        start,
    )
    .within_secs(120),
];

const FILE: &str = "/etc/livepatchd/livepatchd.toml";
const TYPO: &str = "[nudge]\nenabled = true\nlimt = 3\n";
const SOON: Duration = Duration::from_secs(10);

fn reload(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let pid = guest.service().pid()?;
    let journal = guest.journal()?;
    fs::write(FILE, "[transition]\ntimeout = \"1s\"\n[nudge]\nenabled = false\n")?;
    guest.service().systemctl("reload").ok()?;
    journal.wait_for("configuration reloaded", SOON)?;
    fs::write(FILE, TYPO)?;
    guest.service().systemctl("reload").ok()?;
    journal.wait_for(&format!("the old one stays: {FILE}: line 3: "), SOON)?;
    guest.service().ensure_still(pid)?;

    // the rules of the good file: nobody is nudged, and a second is all there is
    let _reader = guest.workload(["read", &Queue::Wait.file()])?;
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let file = guest.module("lp").file();
    let applied = guest.ctl().call(["apply", &file]).run()?;
    ensure!(
        applied.code == 3,
        "apply ended with {}: {}",
        applied.code,
        applied.stderr
    );
    ensure!(journal.nudges()?.is_empty(), "somebody was nudged");
    ensure!(!guest.patch("lp").exists(), "lp is still there");
    Ok(())
}

fn start(guest: &Guest) -> Result<()> {
    let journal = guest.journal()?;
    fs::write(FILE, TYPO)?;
    let restarted = guest.service().systemctl("restart").run()?;
    ensure!(restarted.code != 0, "it started");
    journal.wait_for(&format!("{FILE}: line 3: unknown field `limt`"), SOON)?;

    // nobody answers; what the kernel tells is shown all the same
    let told = guest.ctl().call(["status"]).run()?;
    ensure!(told.code == 7, "status ended with {}: {}", told.code, told.stderr);
    ensure!(told.stdout.contains(&guest.kernel_release()?), "{}", told.stdout);
    let file = guest.module("lp_vmlinux").file();
    let told = guest.ctl().call(["apply", &file]).run()?;
    ensure!(told.code == 7, "apply ended with {}: {}", told.code, told.stderr);

    fs::write(FILE, "")?;
    guest.service().systemctl("reset-failed").run()?;
    guest.service().restart().context("with a good file")?;
    guest.ctl().call(["status"]).ok().map(drop)
}
