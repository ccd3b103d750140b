// SPDX-License-Identifier: GPL-2.0-only
//! Anchors: the guest is a real Debian with systemd, D-Bus and polkit, and the tools that scenarios work with tell the truth.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Kernels, Scenario};
use crate::guest::{Guest, Queue, Task};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::anchor("systemd is running with no failed unit", systemd_is_running).on(Kernels::All),
    Scenario::anchor("D-Bus and polkit answer", bus_and_polkit_answer).on(Kernels::All),
    Scenario::anchor(
        "a reader in the target module is seen, released and told",
        reader_comes_and_goes,
    )
    .on(Kernels::All),
    Scenario::anchor("PID 1 can be sent into the target module", init_can_be_stuck).on(Kernels::All),
];

fn systemd_is_running(guest: &Guest) -> Result<()> {
    let state = guest.call("systemctl", ["is-system-running"]).run()?.stdout;
    let failed = guest
        .call("systemctl", ["list-units", "--failed", "--plain", "--no-legend"])
        .ok()?;
    ensure!(
        state.trim() == "running" && failed.trim().is_empty(),
        "systemd is {}; failed: {failed}",
        state.trim()
    );
    Ok(())
}

fn bus_and_polkit_answer(guest: &Guest) -> Result<()> {
    guest
        .call(
            "busctl",
            ["call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "GetId"],
        )
        .ok()?;
    let authority = [
        "org.freedesktop.PolicyKit1",
        "/org/freedesktop/PolicyKit1/Authority",
        "org.freedesktop.PolicyKit1.Authority",
    ];
    let version = guest
        .call(
            "busctl",
            ["get-property"].into_iter().chain(authority).chain(["BackendName"]),
        )
        .ok()?;
    ensure!(version.contains("js"), "polkit's backend is {version}");
    Ok(())
}

fn reader_comes_and_goes(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let mut reader = guest.workload(["read", &Queue::Wait.file()])?;
    let task = reader.readers(1, Duration::from_secs(5))?[0];
    target.wait_for_sleepers(Queue::Wait, 1, Duration::from_secs(5))?;
    ensure!(task.state()? == 'S', "the reader's state is {}", task.state()?);
    ensure!(
        task.stack()?.contains("tgt_wait"),
        "the reader's stack is {}",
        task.stack()?
    );
    ensure!(
        target.version()? == "original",
        "tgt_version says {}",
        target.version()?
    );

    target.release(Queue::Wait)?;
    reader.wait_ended(Duration::from_secs(5))?;
    let returned = reader.returned()?;
    ensure!(returned == [(task, 0)], "the read came back with {returned:?}");
    Ok(())
}

fn init_can_be_stuck(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let stuck = guest.stuck_init(Queue::Wait)?;
    let functions = Task::process(1).stack()?;
    ensure!(functions.contains("tgt_wait"), "PID 1 is elsewhere: {functions}");
    drop(stuck);
    target
        .wait_for_sleepers(Queue::Wait, 0, Duration::from_secs(5))
        .map(drop)
}
