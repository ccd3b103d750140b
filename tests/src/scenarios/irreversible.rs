// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel does once and never takes back until the next boot: a module kept for ever, no module loaded any more.
//! These run last, and last of all those after which no module can be loaded or unloaded.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Scenario;
use super::deadline::evidence_came_first;
use crate::guest::{Entry, Guest, Queue, Task};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a deadline that forces ends apply and revert over a task that never moves, and the module stays",
        forced_at_the_deadline,
    )
    .leaving_modules(),
    Scenario::new("an unsigned patch is refused where signatures are enforced", unsigned),
    Scenario::new("a patch is refused where no module may be loaded", no_loading),
];

const SOON: Duration = Duration::from_secs(15);

/// What a forced transition leaves, whichever way it went: its job is done, a reboot is advised, the evidence came first.
fn forced(guest: &Guest, patch: &str, words: &[&str], task: Task) -> Result<()> {
    let journal = guest.journal()?;
    let options = ["--timeout", "2s", "--on-timeout", "force", "--yes", "--json"];
    let asked = guest.ctl().call(words.iter().chain(&options).copied()).run()?;
    ensure!(asked.code == 0, "{asked:?}");
    let job: Value = serde_json::from_str(&asked.stdout).with_context(|| format!("{asked:?}"))?;
    ensure!(job["result"] == "done", "{job}");
    ensure!(!guest.patch(patch).in_transition()?, "it is still in transition");
    ensure!(guest.bus().property("RebootAdvised")? == true, "no reboot is advised");
    let told = journal.of_unit("livepatchd")?;
    let lines: Vec<_> = told.iter().map(Entry::message).collect();
    guest.note(&lines.join("\n"));
    ensure!(journal.nudged()?.is_empty(), "nudged: {:?}", journal.nudged()?);
    let evidence = told.iter().position(|entry| {
        entry.message().contains("forced over") && entry.field("LIVEPATCH_TID") == Some(&task.tid.to_string())
    });
    let done = told.iter().position(|entry| entry.field("LIVEPATCH_RESULT").is_some());
    ensure!(
        evidence.is_some() && evidence < done,
        "no evidence of {task:?} before the end: {lines:?}"
    );
    Ok(())
}

fn forced_at_the_deadline(guest: &Guest) -> Result<()> {
    let patch = "lp_uninterruptible";
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let file = guest.module(patch).file();
    let journal = guest.journal()?;
    ensure!(
        guest.bus().property("RebootAdvised")? == false,
        "a reboot was advised before"
    );
    forced(guest, patch, &["apply", &file], task)?;
    evidence_came_first(&journal, task)?;
    ensure!(guest.patch(patch).enabled()?, "it is not enabled");
    guest.target().release_all()?;
    reader.wait_ended(SOON)?;

    // forced off, the kernel keeps the module: somebody may run in it
    let (reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let journal = guest.journal()?;
    forced(guest, patch, &["revert", patch], task)?;
    ensure!(!guest.patch(patch).enabled()?, "it is still enabled");
    ensure!(guest.module(patch).loaded(), "its module is gone, with a task in it");
    ensure!(reader.returned()?.is_empty(), "the task is not in it any more");
    journal.wait_for("module not unloaded: the transition that disabled", SOON)?;
    let refcount = fs::read_to_string(format!("/sys/module/{patch}/refcnt"))?;
    ensure!(refcount.trim() != "0", "nothing holds the module");
    Ok(())
}

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
