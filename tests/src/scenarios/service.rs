// SPDX-License-Identifier: GPL-2.0-only
//! The daemon as a service of systemd and of the bus: started, watched, confined, and there again after the bus.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Kernels, Scenario};
use crate::guest::{Guest, Queue, Service};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("systemd's exposure of the service is 4.0 or better", exposure).on(Kernels::All),
    Scenario::new("systemctl status shows what goes on", status_line),
    Scenario::new("a daemon that hangs is found by the watchdog and replaced", watchdog).within_secs(120),
    Scenario::new("a call starts the daemon, and a stop ends it cleanly", activation),
    Scenario::new("when the bus goes away the daemon comes back with it", bus_goes_away).within_secs(120),
];

const SOON: Duration = Duration::from_secs(15);

fn exposure(guest: &Guest) -> Result<()> {
    let words = ["security", "--no-pager", "livepatchd.service"];
    let call = guest.call("systemd-analyze", words);
    let shown = call.within(Duration::from_secs(40)).ok()?;
    let line = shown.lines().find(|line| line.contains("Overall exposure level"));
    let figure = line.and_then(|line| line.split(": ").nth(1)?.split(' ').next()?.parse::<f32>().ok());
    let figure = figure.with_context(|| format!("no figure in {shown}"))?;
    guest.note(&format!("exposure {figure}"));
    ensure!(figure <= 4.0, "{shown}");
    Ok(())
}

fn wait_for_status(service: Service, wanted: impl Fn(&str) -> bool) -> Result<()> {
    let mut line = String::new();
    let waited = wait::until(SOON, "the status line", || {
        line = service.property("StatusText")?;
        Ok(wanted(&line))
    });
    waited.with_context(|| format!("it says {line:?}")).map(drop)
}

fn status_line(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let service = guest.service();
    let watchdog = service.property("WatchdogUSec")?;
    ensure!(watchdog == "30s", "the watchdog waits {watchdog}");
    wait_for_status(service, |line| line == "no live patch enabled")?;
    let _reader = guest.workload(["read", &Queue::WaitUninterruptible.file()])?;
    target.wait_for_sleepers(Queue::WaitUninterruptible, 1, SOON)?;
    let file = guest.module("lp_uninterruptible").file();
    guest.ctl().call(["apply", &file, "--no-wait"]).ok()?;
    wait_for_status(service, |line| {
        line.starts_with("lp_uninterruptible enabling: 1 of ") && line.contains(" tasks pending")
    })?;
    let shown = service.systemctl("status").ok()?;
    ensure!(
        shown.contains("Status: \"lp_uninterruptible enabling: 1 of "),
        "{shown}"
    );
    target.release(Queue::WaitUninterruptible)?;
    wait_for_status(service, |line| line == "1 live patch enabled")
}

fn watchdog(guest: &Guest) -> Result<()> {
    let service = guest.service();
    service.restart_with("WatchdogSec=3s\nTimeoutStopSec=2s\nTimeoutAbortSec=2s")?;
    let pid = service.pid()?;
    // twice the time: whoever tells too seldom does not get here
    std::thread::sleep(Duration::from_secs(6));
    service.ensure_still(pid)?;
    service.signal(Signal::STOP)?;
    service.wait_succeeded(pid, Duration::from_secs(30))?;
    guest.ctl().call(["status"]).ok().map(drop)
}

fn activation(guest: &Guest) -> Result<()> {
    let service = guest.service();
    service.systemctl("stop").ok()?;
    let (result, state) = (service.property("Result")?, service.property("ActiveState")?);
    ensure!(
        (result.as_str(), state.as_str()) == ("success", "inactive"),
        "{result}, {state}"
    );
    let version = guest.bus().property("Version")?;
    ensure!(version.is_string(), "{version}");
    let state = service.property("ActiveState")?;
    ensure!(state == "active", "after a call it is {state}");

    service.systemctl("stop").ok()?;
    guest.ctl().call(["status"]).user("alice").ok()?;
    let state = service.property("ActiveState")?;
    ensure!(state == "active", "after a user's call it is {state}");
    Ok(())
}

fn bus_goes_away(guest: &Guest) -> Result<()> {
    let service = guest.service();
    let journal = guest.journal()?;
    let pid = service.pid()?;
    guest
        .call("systemctl", ["kill", "--signal=KILL", "dbus.service"])
        .ok()?;
    let took = service.wait_succeeded(pid, Duration::from_secs(60))?;
    guest.note(&format!("back after {:.1} s", took.as_secs_f64()));
    journal.wait_for("the bus closed the connection", SOON)?;
    wait::until(SOON, "the daemon on the new bus", || {
        Ok(guest.ctl().call(["status"]).run()?.code == 0)
    })?;
    let file = guest.module("lp_vmlinux").file();
    guest.ctl().call(["apply", &file]).ok()?;
    guest.ctl().call(["revert", "lp_vmlinux"]).ok().map(drop)
}
