// SPDX-License-Identifier: GPL-2.0-only
//! An atomic-replace patch retires every patch before it, and what it retired is unloaded.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::Scenario;
use crate::guest::{Guest, Queue, Task};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "an atomic-replace patch retires two others, whose modules are removed",
        replaced,
    ),
    Scenario::new(
        "an atomic-replace patch over a stuck reader nudges it, retires two others, and is reverted",
        replaced_over_reader,
    )
    .within_secs(120),
];

const SOON: Duration = Duration::from_secs(15);

/// Two patches, then the one that replaces them; `reader` is stuck in what all three replace.
fn replace(guest: &Guest, reader: Option<Task>) -> Result<()> {
    let (target, ctl) = (guest.target(), guest.ctl());
    for name in ["lp", "lp_second"] {
        ctl.call(["apply", &guest.module(name).file()]).ok()?;
    }
    guest.bus().patch_property("lp_second", "State")?;
    let journal = guest.journal()?;
    ctl.call(["apply", &guest.module("lp_replace").file()]).ok()?;
    ensure!(target.version()? == "replace", "tgt_version says {}", target.version()?);
    let patch = ctl.patch("lp_replace")?.context("lp_replace is not listed")?;
    ensure!(patch["state"] == "enabled" && patch["replace"] == true, "{patch}");
    if let Some(task) = reader {
        let nudged = journal.nudged()?;
        ensure!(nudged.keys().eq([&task.tid]), "{task:?} was to be nudged: {nudged:?}");
    }
    for name in ["lp", "lp_second"] {
        journal.wait_for(&format!("{name}: module unloaded"), SOON)?;
        ensure!(!guest.module(name).loaded(), "{name} is still loaded");
        ensure!(!guest.patch(name).exists(), "{name} is still in sysfs");
        ctl.wait_for_state(name, "gone", SOON)?;
        ensure!(
            guest.bus().patch_property(name, "State").is_err(),
            "{name}'s object is still on the bus"
        );
    }

    let journal = guest.journal()?;
    ctl.call(["revert", "lp_replace"]).ok()?;
    ensure!(!guest.module("lp_replace").loaded(), "lp_replace is still loaded");
    ensure!(
        target.version()? == "original",
        "tgt_version says {}",
        target.version()?
    );
    if let Some(task) = reader {
        let nudged = journal.nudged()?;
        ensure!(nudged.keys().eq([&task.tid]), "{task:?} was to be nudged: {nudged:?}");
    }
    Ok(())
}

fn replaced(guest: &Guest) -> Result<()> {
    guest.load_target()?;
    replace(guest, None)?;
    // none of them is remembered as something that cannot be loaded again
    guest.ctl().call(["apply", &guest.module("lp").file()]).ok().map(drop)
}

fn replaced_over_reader(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    replace(guest, Some(task))?;
    let target = guest.target();
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    target.release_all()?;
    reader.wait_ended(SOON)
}
