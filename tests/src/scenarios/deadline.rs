// SPDX-License-Identifier: GPL-2.0-only
//! What else can happen at the deadline than a reversal: the transition is kept, or an administrator forces it.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Scenario;
use crate::guest::{Guest, Journal, Queue, Task};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new("with --on-timeout keep the transition goes on after the deadline", kept),
    Scenario::new(
        "force ends a transition, with its evidence in the journal and a reboot advised",
        forced,
    ),
];

const SOON: Duration = Duration::from_secs(10);
const PATCH: &str = "lp_uninterruptible";

fn kept(guest: &Guest) -> Result<()> {
    let (mut reader, _) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let patch = guest.patch(PATCH);
    let file = guest.module(PATCH).file();
    let words = ["apply", "--json", "--timeout", "2s", "--on-timeout", "keep", &file];
    let applied = guest.ctl().call(words).run()?;
    ensure!(applied.code == 3, "{applied:?}");
    let job: Value = serde_json::from_str(&applied.stdout).with_context(|| format!("{applied:?}"))?;
    ensure!(job["result"] == "timeout", "{job}");
    ensure!(
        patch.in_transition()? && patch.enabled()?,
        "it was not kept in transition"
    );

    guest.target().release_all()?;
    reader.wait_ended(SOON)?;
    patch.wait_applied(SOON)?;
    guest.ctl().wait_for_state(PATCH, "enabled", SOON)?;
    guest.ctl().call(["revert", PATCH]).ok()?;
    ensure!(!guest.module(PATCH).loaded(), "its module is still loaded");
    Ok(())
}

fn forced(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let journal = guest.journal()?;
    guest
        .ctl()
        .call(["apply", "--no-wait", &guest.module(PATCH).file()])
        .ok()?;
    guest
        .ctl()
        .wait_for_blocker(PATCH, SOON, |blocker| blocker["tid"] == task.tid)?;
    let advised = guest.bus().property("RebootAdvised")?;
    ensure!(advised == false, "a reboot was advised before: {advised}");
    let unsure = guest.ctl().call(["force", PATCH]).run()?;
    ensure!(unsure.code == 2, "{unsure:?}");

    let forced = guest.ctl().call(["force", PATCH, "--yes"]).run()?;
    ensure!(forced.code == 0, "{forced:?}");
    let patch = guest.patch(PATCH);
    ensure!(patch.enabled()? && !patch.in_transition()?, "{PATCH} is not complete");
    ensure!(guest.bus().property("RebootAdvised")? == true, "no reboot is advised");
    let status = guest.ctl().json(["status"])?;
    ensure!(status["reboot_advised"] == true, "{status}");

    evidence_came_first(&journal, task)?;

    // Only what was forced off is kept by the kernel for ever; this one was forced on.
    guest.target().release_all()?;
    reader.wait_ended(SOON)?;
    guest.ctl().call(["revert", PATCH]).ok()?;
    ensure!(!guest.module(PATCH).loaded(), "its module is still loaded");
    Ok(())
}

/// The journal tells of this task as forced over, and only then that it was done.
pub(super) fn evidence_came_first(journal: &Journal, task: Task) -> Result<()> {
    let told = journal.of_unit("livepatchd")?;
    let place = |words: &str| {
        let found = told.iter().position(|entry| entry.message().contains(words));
        found.with_context(|| format!("nothing was said of {words:?}"))
    };
    let evidence = told.iter().position(|entry| {
        entry.message().contains("forced over") && entry.field("LIVEPATCH_TID") == Some(&task.tid.to_string())
    });
    let evidence = evidence.context("no evidence of the reader")?;
    ensure!(place("about to be forced")? < evidence, "evidence without a head");
    ensure!(evidence < place("a reboot is advised")?, "the evidence came late");
    Ok(())
}
