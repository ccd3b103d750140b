// SPDX-License-Identifier: GPL-2.0-only
//! The daemon's death at each step of what it does: nobody stays stopped by it, nobody that others stopped is continued,
//! and the next daemon tells what became of each job. Deaths at any moment are in kills.rs.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::Scenario;
use crate::guest::{Guest, Queue};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "killed at any step of a nudge, the daemon leaves nobody stopped and continues nobody else's",
        each_step_of_a_nudge,
    )
    .with_faulty_daemon()
    .within_secs(400),
    Scenario::new(
        "a thread that others stop while no daemon runs stays stopped",
        stopped_meanwhile,
    )
    .with_faulty_daemon()
    .within_secs(200),
    Scenario::new(
        "killed at any step of a job, the daemon's successor tells its outcome",
        each_step_of_a_job,
    )
    .with_faulty_daemon()
    .within_secs(400),
];

const SOON: Duration = Duration::from_secs(15);
/// A restart of the daemon under emulation, and a transition after it.
const AFTER_DEATH: Duration = Duration::from_secs(40);

fn each_step_of_a_nudge(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let service = guest.service();
    for step in ["prepared", "before-stop", "between", "continued", "done"] {
        let stopped = guest.workload(["read", &Queue::Wait.file()])?;
        let stopped_task = stopped.readers(1, SOON)?[0];
        target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
        stopped_task.signal(Signal::STOP)?;
        wait::until(SOON, "a stopped reader", || Ok(stopped_task.state()? == 'T'))?;
        let reader = guest.workload(["read", &Queue::Wait.file()])?;
        let task = reader.readers(1, SOON)?[0];
        wait::until(SOON, "a reader asleep", || Ok(task.stack()?.contains("tgt_wait")))?;

        service.restart_dying_at(&format!("nudge-{step}"), "").context(step)?;
        let (journal, pid) = (guest.journal()?, service.pid()?);
        guest
            .ctl()
            .call(["apply", &guest.module("lp").file(), "--no-wait"])
            .run()?;
        service.wait_succeeded(pid, AFTER_DEATH).context(step)?;
        task.wait_not_stopped(SOON).context(step)?;
        guest.patch("lp").wait_applied(AFTER_DEATH).context(step)?;
        ensure!(stopped_task.state()? == 'T', "{step}: somebody else's was continued");
        ensure!(reader.returned()?.is_empty(), "{step}: the read came back");

        stopped_task.signal(Signal::CONT)?;
        let outcome = journal.wait_for_outcome("lp", AFTER_DEATH).context(step)?;
        ensure!(outcome == "done", "{step}: the job ended {outcome}");
        service.ensure_no_nudges_left().context(step)?;
        target.release(Queue::Wait)?;
        guest
            .ctl()
            .call(["revert", "lp"])
            .within(AFTER_DEATH)
            .ok()
            .context(step)?;
        drop((reader, stopped));
        target.wait_for_sleepers(Queue::Wait, 0, SOON)?;
    }
    Ok(())
}

fn stopped_meanwhile(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let service = guest.service();
    // in between, when signals are on their way, a stop is taken for ours: nudge.rs says why
    for step in ["nudge-prepared", "nudge-done"] {
        let reader = guest.workload(["read", &Queue::Wait.file()])?;
        let task = reader.readers(1, SOON)?[0];
        target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
        service.restart_dying_at(step, "RestartSec=4s").context(step)?;
        let pid = service.pid()?;
        guest
            .ctl()
            .call(["apply", &guest.module("lp").file(), "--no-wait"])
            .run()?;
        wait::until(SOON, "the daemon's death", || Ok(service.pid()? == 0)).context(step)?;
        task.signal(Signal::STOP)?;
        service.wait_succeeded(pid, AFTER_DEATH).context(step)?;
        // it has looked at what its predecessor left before it is ready
        ensure!(task.state()? == 'T', "{step}: it was continued");
        task.signal(Signal::CONT)?;
        guest.patch("lp").wait_applied(AFTER_DEATH).context(step)?;
        target.release(Queue::Wait)?;
        guest
            .ctl()
            .call(["revert", "lp"])
            .within(AFTER_DEATH)
            .ok()
            .context(step)?;
        drop(reader);
        target.wait_for_sleepers(Queue::Wait, 0, SOON)?;
    }
    Ok(())
}

fn each_step_of_a_job(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let service = guest.service();
    let (patch, file) = ("lp_version", guest.module("lp_version").file());
    for (step, verb, result, version) in [
        ("load-before", "apply", "failed", "original"),
        ("load-after", "apply", "done", "version"),
        ("switch-before", "revert", "done", "original"),
        ("switch-after", "revert", "done", "original"),
        ("unload-before", "revert", "done", "original"),
        ("unload-after", "revert", "done", "original"),
    ] {
        if verb == "revert" && !guest.patch(patch).enabled()? {
            guest.ctl().call(["apply", &file]).ok()?;
        }
        service.restart_dying_at(step, "").context(step)?;
        let (journal, pid) = (guest.journal()?, service.pid()?);
        let what = if verb == "apply" { &file } else { patch };
        // waits for the end of the job through the daemon's death, or says that it cannot
        let told = guest.ctl().call([verb, what]).within(AFTER_DEATH).run()?;
        guest.note(&format!(
            "{step}: livepatchctl ended with {}: {}",
            told.code,
            told.stderr.trim()
        ));
        service.wait_succeeded(pid, AFTER_DEATH).context(step)?;
        let outcome = journal.wait_for_outcome(patch, AFTER_DEATH).context(step)?;
        ensure!(outcome == result, "{step}: the job ended {outcome}");
        ensure!(
            target.version()? == version,
            "{step}: tgt_version says {}",
            target.version()?
        );
        let applied = version == patch.trim_start_matches("lp_");
        ensure!(
            guest.module(patch).loaded() == applied,
            "{step}: the module is not as it should be"
        );
        // its record goes once the bus was told
        wait::until(SOON, "the job's record to go", || Ok(service.jobs_written_down()? == 0)).context(step)?;
    }
    Ok(())
}
