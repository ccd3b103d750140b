// SPDX-License-Identifier: GPL-2.0-only
//! Anchors: what the kernel's own core does without livepatchd. The daemon's promises are measured against these.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::Signal;

use super::{Kernels, Scenario};
use crate::guest::{Guest, Patch, Queue};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::anchor(
        "the kernel alone takes more than ten seconds over one stuck reader",
        alone_over_stuck_reader,
    )
    .on(Kernels::All)
    .within_secs(120),
    Scenario::anchor(
        "SIGSTOP and SIGCONT to the thread move it",
        stop_and_continue_moves_the_thread,
    )
    .on(Kernels::All),
    Scenario::anchor(
        "SIGSTOP and SIGCONT do not move a kthread or an uninterruptible sleeper",
        some_cannot_be_moved,
    )
    .on(Kernels::All),
    Scenario::anchor(
        "nobody is stuck and a patch of vmlinux applies and reverts",
        vmlinux_applies_and_reverts,
    )
    .on(Kernels::All),
];

/// Where the fake signal comes: after 15 tries of a second (`kernel/livepatch/transition.c:SIGNALS_TIMEOUT`).
const ALONE_WITHIN: Duration = Duration::from_secs(60);
/// What it logs then.
pub(super) const FAKE_SIGNAL: &str = "signaling remaining tasks";
/// With nobody stuck, or with everybody nudged: a second until the kernel looks again, and emulation on a busy host.
const SOON: Duration = Duration::from_secs(10);

/// Loads a patch by hand and sees its transition under way.
fn begin(guest: &Guest, name: &str) -> Result<Patch> {
    guest.module(name).load()?;
    let patch = guest.patch(name);
    ensure!(patch.in_transition()?, "{name} is not in transition");
    Ok(patch)
}

fn alone_over_stuck_reader(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let mut log = guest.kernel_log()?;
    let start = Instant::now();
    let patch = begin(guest, "lp")?;
    ensure!(
        task.patch_state()? == 0,
        "the reader is on side {}",
        task.patch_state()?
    );
    patch.wait_applied(ALONE_WITHIN)?;
    let took = start.elapsed();
    guest.note(&format!("insmod to complete: {:.1} s", took.as_secs_f64()));
    ensure!(took > Duration::from_secs(10), "it took {:.1} s", took.as_secs_f64());
    // the line by which other scenarios know that it did not come to this
    let log = log.lines()?;
    ensure!(log.iter().any(|line| line.contains(FAKE_SIGNAL)), "it logged {log:?}");

    // Moved, restarted, and asleep again: in the patched function now.
    guest.target().wait_for_sleepers(Queue::Wait, 1, SOON)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    guest.target().release(Queue::Wait)?;
    reader.wait_ended(SOON)
}

fn stop_and_continue_moves_the_thread(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let start = Instant::now();
    let patch = begin(guest, "lp")?;
    task.signal(Signal::STOP)?;
    task.signal(Signal::CONT)?;
    patch.wait_applied(SOON)?;
    guest.note(&format!("insmod to complete: {:.1} s", start.elapsed().as_secs_f64()));
    ensure!(
        guest.target().version()? == "lp",
        "tgt_version says {}",
        guest.target().version()?
    );
    ensure!(reader.returned()?.is_empty(), "the read came back");
    guest.target().wait_for_sleepers(Queue::Wait, 1, SOON)?;
    guest.target().release(Queue::Wait)?;
    reader.wait_ended(SOON)
}

fn some_cannot_be_moved(guest: &Guest) -> Result<()> {
    let (_reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let target = guest.target();
    let patch = begin(guest, "lp_uninterruptible")?;
    task.signal(Signal::STOP)?;
    task.signal(Signal::CONT)?;
    // The kernel looks once a second: three looks.
    thread::sleep(Duration::from_secs(3));
    ensure!(patch.in_transition()?, "an uninterruptible sleeper was moved");
    target.release(Queue::WaitUninterruptible)?;
    patch.wait_applied(SOON)?;

    target.kthread(true)?;
    target.wait_for_sleepers(Queue::Kthread, 1, SOON)?;
    let patch = begin(guest, "lp_kthread")?;
    thread::sleep(Duration::from_secs(2));
    ensure!(patch.in_transition()?, "a kthread asleep in the function was moved");
    // It leaves and comes back at once: it is moved only where the kernel finds it asleep elsewhere.
    target.release(Queue::Kthread)?;
    thread::sleep(Duration::from_secs(2));
    ensure!(patch.in_transition()?, "a kthread that came back was moved");
    target.kthread(false)?;
    patch.wait_applied(SOON).map(drop)
}

fn vmlinux_applies_and_reverts(guest: &Guest) -> Result<()> {
    let cmdline = || -> Result<String> { Ok(std::fs::read_to_string("/proc/cmdline")?) };
    guest.module("lp_vmlinux").load()?;
    let patch = guest.patch("lp_vmlinux");
    patch.wait_applied(SOON)?;
    ensure!(cmdline()? == "live patched\n", "/proc/cmdline is {}", cmdline()?);
    patch.set_enabled(false)?;
    patch.wait_reverted(SOON)?;
    ensure!(cmdline()?.contains("console="), "/proc/cmdline is {}", cmdline()?);
    guest.module("lp_vmlinux").unload()
}
