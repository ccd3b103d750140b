// SPDX-License-Identifier: GPL-2.0-only
//! The daemon's end in the middle of its work, asked for or not, at any moment: what it began is finished or told by the
//! next one, and nobody is left stopped.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::Scenario;
use crate::guest::{Guest, Queue, Task};
use crate::wait;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "ended in the middle of a job, the daemon goes cleanly and its successor takes the job up",
        ended_in_a_job,
    )
    .within_secs(120),
    Scenario::new(
        "ended in the middle of five hundred nudges, the daemon leaves nobody stopped and tells each nudge it made",
        ended_in_nudges,
    )
    .within_secs(180),
    Scenario::new(
        "fifty kills at random moments leave nobody stopped and every job told",
        random_kills,
    )
    .within_secs(1200),
];

const SOON: Duration = Duration::from_secs(15);
/// A restart of the daemon under emulation, and a transition after it.
const AFTER_DEATH: Duration = Duration::from_secs(40);
const KILLS: u32 = 50;

fn ended_in_a_job(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let service = guest.service();
    let _reader = guest.workload(["read", &Queue::WaitUninterruptible.file()])?;
    target.wait_for_sleepers(Queue::WaitUninterruptible, 1, SOON)?;
    let (patch, journal) = ("lp_uninterruptible", guest.journal()?);
    guest
        .ctl()
        .call(["apply", &guest.module(patch).file(), "--no-wait"])
        .ok()?;
    guest.ctl().wait_for_state(patch, "enabling", SOON)?;
    let start = Instant::now();
    service.systemctl("stop").ok()?;
    guest.note(&format!("stopped within {:.1} s", start.elapsed().as_secs_f64()));
    let (result, code) = (service.property("Result")?, service.property("ExecMainStatus")?);
    ensure!((result.as_str(), code.as_str()) == ("success", "0"), "{result}, {code}");
    ensure!(journal.outcomes(patch)?.is_empty(), "the job ended with the daemon");
    ensure!(
        guest.patch(patch).in_transition()?,
        "the transition ended with the daemon"
    );

    service.systemctl("start").ok()?;
    guest
        .ctl()
        .wait_for_blocker(patch, SOON, |blocker| blocker["reason"] == "uninterruptible")?;
    target.release(Queue::WaitUninterruptible)?;
    let outcome = journal.wait_for_outcome(patch, AFTER_DEATH)?;
    ensure!(outcome == "done", "the job ended {outcome}");
    Ok(())
}

fn ended_in_nudges(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let service = guest.service();
    // each nudge ends a read with EINTR, so that both sides can be counted
    let readers = guest.workload([
        "read",
        &Queue::WaitEintr.file(),
        "--processes=50",
        "--threads=10",
        "--again",
    ])?;
    let tasks = readers.readers(500, AFTER_DEATH)?;
    target.wait_for_sleepers(Queue::WaitEintr, 500, AFTER_DEATH)?;
    let (patch, journal) = ("lp", guest.journal()?);
    guest
        .ctl()
        .call(["apply", &guest.module(patch).file(), "--no-wait"])
        .ok()?;
    wait::until(SOON, "the first nudge", || service.is_nudging())?;
    service.signal(Signal::TERM)?;
    let ended = wait::until(SOON, "the daemon's end", || Ok(service.pid()? == 0))?;
    for task in &tasks {
        ensure!(!matches!(task.state()?, 'T' | 't'), "{task:?} was left stopped");
    }
    let (result, code) = (service.property("Result")?, service.property("ExecMainStatus")?);
    ensure!((result.as_str(), code.as_str()) == ("success", "0"), "{result}, {code}");
    service.ensure_no_nudges_left()?;
    ensure!(journal.outcomes(patch)?.is_empty(), "the job ended with the daemon");

    // nobody nudges now, and who was nudged has come back and sleeps again
    target.wait_for_sleepers(Queue::WaitEintr, 500, AFTER_DEATH)?;
    let interrupted: BTreeSet<Task> = readers.returned()?.into_iter().map(|(task, _)| task).collect();
    let told: BTreeSet<i32> = journal.nudged()?.into_keys().collect();
    guest.note(&format!(
        "ended after {:.1} s, with {} of 500 interrupted and {} told as nudged",
        ended.as_secs_f64(),
        interrupted.len(),
        told.len()
    ));
    ensure!(
        !told.is_empty() && told.len() < 500,
        "{} of 500 were nudged: that was not the middle",
        told.len()
    );
    let returned: BTreeSet<i32> = interrupted.iter().map(|task| task.tid).collect();
    ensure!(
        told.is_subset(&returned),
        "told {told:?}, of which came back {returned:?}"
    );
    // a thread that took its stop before SIGCONT came interrupts the others of its process, and no other process's
    let concerned: BTreeSet<i32> = tasks
        .iter()
        .filter(|task| told.contains(&task.tid))
        .map(|task| task.pid)
        .collect();
    let untold = interrupted.iter().find(|task| !concerned.contains(&task.pid));
    ensure!(
        untold.is_none(),
        "{untold:?} came back, and no nudge in its process was told"
    );

    service.systemctl("start").ok()?;
    let outcome = journal.wait_for_outcome(patch, AFTER_DEATH)?;
    ensure!(outcome == "done", "the job ended {outcome}");
    guest.patch(patch).wait_applied(SOON)?;
    service.ensure_no_nudges_left()
}

fn random_kills(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let service = guest.service();
    service.restart_with("")?;
    let readers = guest.workload(["read", &Queue::Wait.file(), "--processes=2", "--threads=3", "--again"])?;
    let tasks = readers.readers(6, SOON)?;
    let bystander = guest.workload(["read", &Queue::WaitEintr.file()])?;
    let stopped = bystander.readers(1, SOON)?[0];
    target.wait_for_sleepers(Queue::WaitEintr, 1, SOON)?;
    stopped.signal(Signal::STOP)?;
    wait::until(SOON, "a stopped bystander", || Ok(stopped.state()? == 'T'))?;

    let (file, start) = (guest.module("lp").file(), Instant::now());
    let (mut told, mut recovered) = (0, 0);
    for round in 0..KILLS {
        let journal = guest.journal()?;
        let words = if guest.module("lp").loaded() {
            ["revert", "lp"]
        } else {
            ["apply", &file]
        };
        let asked = guest.ctl().call(words.into_iter().chain(["--no-wait"]));
        let delay = Duration::from_millis(RandomState::new().hash_one(round) % 2500);
        let (answer, ()) = asked.during(|| {
            thread::sleep(delay);
            service.kill()
        })?;
        let what = || format!("kill {round}, {delay:?} after {words:?}");
        for task in &tasks {
            task.wait_not_stopped(SOON).with_context(what)?;
        }
        ensure!(stopped.state()? == 'T', "{}: the bystander was continued", what());
        if answer.code == 0 {
            journal.wait_for_outcome("lp", AFTER_DEATH).with_context(what)?;
            told += 1;
        }
        wait::until(AFTER_DEATH, "the end of what was begun", || {
            Ok(!guest.patch("lp").in_transition()? && service.jobs_written_down()? == 0)
        })
        .with_context(what)?;
        service.ensure_no_nudges_left().with_context(what)?;
        let entries = journal.of_unit("livepatchd")?;
        recovered += entries
            .iter()
            .filter(|entry| entry.message().contains("was cut short by the end"))
            .count();
    }
    guest.note(&format!(
        "{KILLS} kills in {:.0} s: {told} jobs begun and told, {recovered} nudges cut short and finished",
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}
