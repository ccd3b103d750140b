// SPDX-License-Identifier: GPL-2.0-only
//! `make demo`: what livepatchd is for, on one screen. Everything shown is done and measured while it is shown.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::guest::{Guest, Queue};

const SOON: Duration = Duration::from_secs(20);
/// The kernel alone, emulated: its fake signal comes after 15 rounds of a second.
const ALONE_WITHIN: Duration = Duration::from_secs(90);

/// The demonstration.
pub(super) fn demo(guest: &Guest) -> Result<()> {
    let release = guest.kernel_release()?;
    guest.note(&format!(
        "kernel {release}, stock Debian; livepatchd runs as a service\n"
    ));
    let alone = kernel_alone(guest)?;
    guest.note("2. The same with livepatchd");
    let helped = with_livepatchd(guest, "lp")?;
    let second = second_core(guest)?;
    not_nudged(guest)?;
    guest.note(&format!(
        "demo: ok: one stuck reader held the kernel alone for {:.1} s without a reason; livepatchd named it, nudged it and \
         was done in {:.1} s, with klp_rs in {:.1} s",
        alone.as_secs_f64(),
        helped.as_secs_f64(),
        second.as_secs_f64()
    ));
    Ok(())
}

fn kernel_alone(guest: &Guest) -> Result<Duration> {
    guest.note("1. The kernel alone: cat sleeps in tgt_wait [tgt], lp.ko replaces that function");
    // the daemon would help: it is sent away for this part
    guest.call("systemctl", ["stop", "livepatchd"]).ok()?;
    let target = guest.load_target()?;
    let mut cat = guest.workload(["read", &Queue::Wait.file()])?;
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let start = Instant::now();
    shown(guest, "insmod", "lp.ko");
    guest.module("lp").load()?;
    let patch = guest.patch("lp");
    patch.wait_applied(ALONE_WITHIN)?;
    let took = start.elapsed();
    guest.note(&format!(
        "   complete after {:.1} s; nothing said who held it back, or why\n",
        took.as_secs_f64()
    ));
    target.release_all()?;
    cat.wait_ended(SOON)?;
    patch.set_enabled(false)?;
    patch.wait_reverted(SOON)?;
    guest.call("rmmod", ["lp"]).within(SOON).ok()?;
    guest.restart_daemon()?;
    Ok(took)
}

/// The same source, the same reader, the other core.
fn second_core(guest: &Guest) -> Result<Duration> {
    guest.note("\n3. The same with klp_rs, the livepatch core in Rust: rs.ko is lp.ko, compiled for it");
    shown(guest, "insmod", "klp_rs.ko");
    guest.module("klp_rs").load()?;
    with_livepatchd(guest, "rs")
}

fn with_livepatchd(guest: &Guest, patch: &str) -> Result<Duration> {
    let file = format!("{patch}.ko");
    let target = guest.target();
    let mut cat = guest.workload(["read", &Queue::Wait.file()])?;
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let journal = guest.journal()?;
    let start = Instant::now();
    shown(guest, "livepatchctl apply", &file);
    let applied = guest
        .ctl()
        .call(["apply", &guest.module(patch).file()])
        .within(ALONE_WITHIN)
        .run()?;
    let took = start.elapsed();
    indented(guest, &applied.stderr);
    indented(guest, &applied.stdout);
    ensure!(applied.code == 0, "exit code {}", applied.code);
    shown(guest, "livepatchctl status", "");
    indented(guest, &guest.ctl().call(["status"]).ok()?);
    guest.note("   # journalctl -u livepatchd");
    for entry in journal.of_unit("livepatchd")? {
        guest.note(&format!("   {}", entry.message()));
    }
    ensure!(target.version()? != "original", "the patch has no effect");
    ensure!(cat.returned()?.is_empty(), "the read did not go on");
    guest.note("   and cat still reads: its system call was restarted, in the new function\n");
    target.release_all()?;
    cat.wait_ended(SOON)?;
    shown(guest, "livepatchctl revert", patch);
    indented(guest, &guest.ctl().call(["revert", patch]).within(ALONE_WITHIN).ok()?);
    Ok(took)
}

fn not_nudged(guest: &Guest) -> Result<()> {
    guest.note("\n4. A kernel thread sleeps in the patched function: it takes no signals, so it is explained, and the patch reversed");
    let target = guest.target();
    target.kthread(true)?;
    target.wait_for_sleepers(Queue::Kthread, 1, SOON)?;
    shown(guest, "livepatchctl apply --timeout 4s", "lp_kthread.ko");
    let apply = ["apply", "--timeout", "4s", &guest.module("lp_kthread").file()];
    let out = guest.ctl().call(apply).within(ALONE_WITHIN).run()?;
    indented(guest, &out.stdout);
    indented(guest, &out.stderr);
    ensure!(out.code == 3, "exit code {}, not 3", out.code);
    guest.note("   exit code 3 (timed out); the system is as before\n");
    let left = guest.ctl().json(["status"])?;
    let patches = left["patches"].as_array().context("patches")?.len();
    ensure!(patches == 0, "{patches} patches are left: {left}");
    target.kthread(false)
}

fn shown(guest: &Guest, command: &str, argument: &str) {
    guest.note(format!("   # {command} {argument}").trim_end());
}

fn indented(guest: &Guest, text: &str) {
    for line in text.lines().filter(|line| !line.is_empty()) {
        guest.note(&format!("   {line}"));
    }
}
