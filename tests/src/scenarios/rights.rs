// SPDX-License-Identifier: GPL-2.0-only
//! Who may do what: everybody reads, administrators change, whether polkit runs or not.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Scenario;
use crate::guest::{Guest, Queue, Standing, Workload};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a user reads status and blockers but no stacks, and may change nothing",
        with_polkit,
    )
    .within_secs(180),
    Scenario::new(
        "without polkit a user still reads, and root alone changes",
        without_polkit,
    )
    .within_secs(180),
];

const SOON: Duration = Duration::from_secs(10);
const USER: &str = "alice";
const PATCH: &str = "lp_uninterruptible";

fn with_polkit(guest: &Guest) -> Result<()> {
    let (_reader, standing) = running_transition(guest)?;
    reads(guest)?;
    changes_nothing(guest, &standing)?;
    root_changes(guest)
}

fn without_polkit(guest: &Guest) -> Result<()> {
    let (_reader, standing) = running_transition(guest)?;
    // masked: it would be started by the first question
    let polkit = "polkit.service";
    guest.call("systemctl", ["mask", "--runtime", "--now", polkit]).ok()?;
    let done = reads(guest)
        .and_then(|()| changes_nothing(guest, &standing))
        .and_then(|()| root_changes(guest));
    guest.call("systemctl", ["unmask", "--runtime", polkit]).ok()?;
    done.context("without polkit")
}

/// A transition that waits for one reader.
fn running_transition(guest: &Guest) -> Result<(Workload, Standing)> {
    let target = guest.load_target()?;
    let reader = guest.workload(["read", &Queue::WaitUninterruptible.file()])?;
    target.wait_for_sleepers(Queue::WaitUninterruptible, 1, SOON)?;
    let file = guest.module(PATCH).file();
    guest.ctl().call(["apply", &file, "--no-wait"]).ok()?;
    let ctl = guest.ctl();
    ctl.wait_for_blocker(PATCH, SOON, |blocker| blocker["reason"] == "uninterruptible")?;
    Ok((reader, guest.standing()?))
}

fn reads(guest: &Guest) -> Result<()> {
    let readings: &[&[&str]] = &[
        &["status"],
        &["status", PATCH],
        &["list"],
        &["blockers"],
        &["status", "--json"],
    ];
    for words in readings {
        let told = guest.ctl().call(words.iter().copied()).user(USER).run()?;
        // 3: it says that the transition is stalled
        ensure!(
            matches!(told.code, 0 | 3) && !told.stdout.is_empty(),
            "{words:?} ended with {}: {}",
            told.code,
            told.stderr
        );
    }
    let stacks = ["blockers", "--stacks", "--json"];
    let text = guest.ctl().call(stacks).user(USER).ok()?;
    let blockers: Value = serde_json::from_str(&text)?;
    let seen = &blockers[0];
    ensure!(
        seen["reason"] == "uninterruptible" && seen["function"] == "tgt_wait_uninterruptible [tgt]",
        "{USER} sees {blockers}"
    );
    ensure!(seen["stack"] == json!([]), "{USER} sees a stack: {blockers}");
    // the stack is there for root
    let blockers = guest.ctl().json(["blockers", "--stacks"])?;
    let stack = blockers[0]["stack"].to_string();
    ensure!(stack.contains("tgt_wait_uninterruptible"), "{blockers}");
    Ok(())
}

fn changes_nothing(guest: &Guest, standing: &Standing) -> Result<()> {
    let file = guest.module("lp_version").file();
    let changes: &[&[&str]] = &[
        &["apply", &file],
        // whether a file exists is not told to those who may not see it
        &["apply", "/root/none.ko"],
        &["revert", PATCH],
        &["revert", "none"],
        &["cancel"],
        &["force", "--yes"],
        &["nudge"],
    ];
    for words in changes {
        let told = guest.ctl().call(words.iter().copied()).user(USER).run()?;
        ensure!(told.code == 4, "{words:?} ended with {}: {}", told.code, told.stderr);
        ensure!(
            !told.stderr.contains("no such file"),
            "{words:?} tells too much: {}",
            told.stderr
        );
    }
    let job = "/org/livepatch/Manager/job/1";
    let cancel = ["call", "org.livepatch.Manager", job, "org.livepatch.Job", "Cancel"];
    let told = guest.call("busctl", cancel).user(USER).run()?;
    ensure!(told.code != 0, "{USER} cancelled a job");
    standing.ensure_unchanged()
}

fn root_changes(guest: &Guest) -> Result<()> {
    guest.target().release(Queue::WaitUninterruptible)?;
    guest.ctl().wait_for_state(PATCH, "enabled", SOON)?;
    guest.ctl().call(["revert", PATCH]).ok().map(drop)
}
