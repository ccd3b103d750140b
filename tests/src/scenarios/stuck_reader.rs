// SPDX-License-Identifier: GPL-2.0-only
//! The case that everything else builds on: a reader asleep in the patched function, named, nudged, and the patch complete.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::{Kernels, Scenario};
use crate::guest::{Guest, Queue};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a stuck reader is named while it blocks, nudged once, and the patch is complete",
        named_nudged_complete,
    )
    .on(Kernels::All),
    Scenario::new(
        "of eight threads only the one that is stuck is nudged, and the others work on",
        one_of_eight,
    ),
    Scenario::new(
        "a read that cannot be restarted ends with EINTR, as documented",
        eintr_where_documented,
    ),
];

const SOON: Duration = Duration::from_secs(10);
/// `EINTR` (`include/uapi/asm-generic/errno-base.h`).
const EINTR: i32 = 4;

fn named_nudged_complete(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let target = guest.target();
    let journal = guest.journal()?;

    let applied = guest.ctl().call(["apply", &guest.module("lp").file()]).run()?;
    ensure!(applied.code == 0, "{}{}", applied.stdout, applied.stderr);
    guest.note(&applied.stdout);
    ensure!(target.version()?.contains("lp"), "{}", target.version()?);

    let blocker = journal.blocker(task)?;
    let field = |name| blocker.field(name).unwrap_or_default().to_owned();
    ensure!(
        field("LIVEPATCH_REASON") == "sleeping-in-function",
        "{}",
        field("LIVEPATCH_REASON")
    );
    ensure!(
        field("LIVEPATCH_FUNCTION") == "tgt_wait [tgt]",
        "{}",
        field("LIVEPATCH_FUNCTION")
    );
    let nudged = journal.nudged()?;
    ensure!(
        nudged == BTreeMap::from([(task.tid, 1)]),
        "{task:?} was to be nudged once: {nudged:?}"
    );

    // restarted, and asleep again in the new function
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    let status: Value = guest.ctl().json(["status"])?;
    ensure!(status["patches"][0]["state"] == "enabled", "{status}");
    target.release(Queue::Wait)?;
    reader.wait_ended(SOON)
}

fn one_of_eight(guest: &Guest) -> Result<()> {
    let (_reader, task) = guest.stuck_reader(Queue::Wait, 7)?;
    let journal = guest.journal()?;
    guest.ctl().call(["apply", &guest.module("lp").file()]).ok()?;
    let nudged = journal.nudged()?;
    ensure!(
        nudged == BTreeMap::from([(task.tid, 1)]),
        "{task:?} was to be nudged once: {nudged:?}"
    );
    guest.target().release(Queue::Wait)
}

fn eintr_where_documented(guest: &Guest) -> Result<()> {
    let (reader, task) = guest.stuck_reader(Queue::WaitEintr, 0)?;
    guest.ctl().call(["apply", &guest.module("lp").file()]).ok()?;
    let returned = reader.returned()?;
    ensure!(
        returned
            .iter()
            .any(|(who, errno)| who.tid == task.tid && *errno == EINTR),
        "{returned:?}"
    );
    Ok(())
}
