// SPDX-License-Identifier: GPL-2.0-only
//! What administrators do past livepatchd: it is seen at once, shown, helped, and never fought.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::Scenario;
use crate::guest::{Guest, Journal, Queue, Task};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "a patch loaded by insmod is seen at once, shown, and helped to its end",
        insmod,
    ),
    Scenario::new(
        "a patch disabled through sysfs is seen at once and helped to its end",
        disabled,
    ),
    Scenario::new("a patch that rmmod unloads is gone at once", rmmod),
    Scenario::new("a reversal by hand ends the job, and nobody fights it", reversed),
    Scenario::new(
        "a force by hand is seen at once, the job is done and a reboot is advised",
        forced,
    ),
    Scenario::new("a daemon started in the middle of a transition takes it up", adopted),
    Scenario::new(
        "two patches are stacked over a stuck reader and reverted one by one",
        stacked,
    ),
    Scenario::new("a cancelled patch is applied again", cancelled),
];

/// To be told of what somebody else did: an event, one look at sysfs, and a call.
const AT_ONCE: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_secs(10);

/// This thread was nudged, and nobody else.
fn only_nudged(journal: &Journal, task: Task) -> Result<()> {
    let nudged = journal.nudged()?;
    ensure!(nudged.keys().eq([&task.tid]), "{task:?} was to be nudged: {nudged:?}");
    Ok(())
}

/// The daemon told this within a second of the kernel's own word of the transition's start; gives how soon.
fn seen_at_once(journal: &Journal, kernel: &str, daemon: &str) -> Result<Duration> {
    let told = journal.wait_for(daemon, SOON)?.micros();
    let mut log = journal.of_kernel()?.into_iter();
    let started = log.find(|entry| entry.message().contains(kernel));
    let started = started
        .and_then(|entry| entry.micros())
        .context("the kernel told of no start")?;
    let after = Duration::from_micros(told.context("an entry without a time")?.saturating_sub(started));
    ensure!(after <= AT_ONCE, "{daemon:?} came {} ms late", after.as_millis());
    Ok(after)
}

fn insmod(guest: &Guest) -> Result<()> {
    let (reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let journal = guest.journal()?;
    let start = Instant::now();
    guest.module("lp").load()?;
    let seen = seen_at_once(&journal, "'lp': starting patching", "lp: enabling")?;
    guest.patch("lp").wait_applied(SOON)?;
    let took = start.elapsed();
    guest.ctl().wait_for_state("lp", "enabled", AT_ONCE)?;
    let blocker = journal.blocker(task)?;
    ensure!(
        blocker.field("LIVEPATCH_FUNCTION") == Some("tgt_wait [tgt]"),
        "{blocker:?}"
    );
    guest.note(&format!(
        "seen after {} ms, complete after {} ms",
        seen.as_millis(),
        took.as_millis()
    ));
    only_nudged(&journal, task)?;
    journal.wait_for("not asked for through livepatchd", SOON)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    Ok(())
}

fn disabled(guest: &Guest) -> Result<()> {
    guest.load_target()?;
    guest.ctl().call(["apply", &guest.module("lp").file()]).ok()?;
    let (reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let journal = guest.journal()?;
    let patch = guest.patch("lp");
    let start = Instant::now();
    patch.set_enabled(false)?;
    let seen = seen_at_once(&journal, "'lp': starting unpatching", "lp: disabling")?;
    patch.wait_reverted(SOON)?;
    guest.note(&format!(
        "seen after {} ms, off after {} ms",
        seen.as_millis(),
        start.elapsed().as_millis()
    ));
    only_nudged(&journal, task)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");

    // The module is still loaded: it was not livepatchd that was asked.
    ensure!(guest.module("lp").loaded(), "somebody unloaded the module");
    let again = guest.ctl().call(["apply", &guest.module("lp").file()]).run()?;
    ensure!(again.code == 1 && again.stderr.contains("loaded"), "{again:?}");
    guest.ctl().call(["revert", "lp"]).ok()?;
    ensure!(!guest.module("lp").loaded(), "revert left the module");
    Ok(())
}

fn rmmod(guest: &Guest) -> Result<()> {
    guest.load_target()?;
    guest.ctl().call(["apply", &guest.module("lp").file()]).ok()?;
    let patch = guest.patch("lp");
    patch.set_enabled(false)?;
    patch.wait_reverted(SOON)?;
    crate::wait::until(SOON, "the kernel to let the module go", || {
        Ok(guest.module("lp").unload().is_ok())
    })?;
    guest.ctl().wait_for_state("lp", "gone", AT_ONCE)?;
    ensure!(
        guest.bus().patch_property("lp", "State").is_err(),
        "its object is still on the bus"
    );
    Ok(())
}

fn reversed(guest: &Guest) -> Result<()> {
    let name = "lp_uninterruptible";
    let (_reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let patch = guest.patch(name);
    let journal = guest.journal()?;
    let apply = guest.ctl().call(["apply", "--json", &guest.module(name).file()]);
    let (applied, turned) = apply.during(|| {
        guest
            .ctl()
            .wait_for_blocker(name, SOON, |blocker| blocker["tid"] == task.tid)?;
        let turned = micros_since_boot();
        patch.set_enabled(false)?;
        Ok(turned)
    })?;
    let told = journal.wait_for("somebody else turned lp_uninterruptible round", SOON)?;
    let after = told.micros().context("an entry without a time")?.saturating_sub(turned);
    guest.note(&format!("told after {} ms", after / 1000));
    ensure!(u128::from(after) <= AT_ONCE.as_micros(), "told {after} µs later");
    ensure!(applied.code == 1, "{applied:?}");
    let job: Value = serde_json::from_str(&applied.stdout).with_context(|| format!("{applied:?}"))?;
    ensure!(job["result"] == "cancelled", "{job}");
    patch.wait_reverted(SOON)?;
    // Three looks of the kernel: nobody turns it round again.
    let watch = Instant::now();
    while watch.elapsed() < Duration::from_secs(3) {
        ensure!(!patch.enabled()? && !patch.in_transition()?, "somebody fights");
        thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// The journal's clock.
fn micros_since_boot() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_nsec.unsigned_abs() / 1000
}

fn forced(guest: &Guest) -> Result<()> {
    let name = "lp_uninterruptible";
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let (patch, journal) = (guest.patch(name), guest.journal()?);
    let apply = guest.ctl().call(["apply", "--json", &guest.module(name).file()]);
    let (applied, ()) = apply.during(|| {
        guest
            .ctl()
            .wait_for_blocker(name, SOON, |blocker| blocker["tid"] == task.tid)?;
        patch.force()
    })?;
    ensure!(applied.code == 0, "{applied:?}");
    let job: Value = serde_json::from_str(&applied.stdout).with_context(|| format!("{applied:?}"))?;
    ensure!(job["result"] == "done", "{job}");
    ensure!(patch.enabled()? && !patch.in_transition()?, "{name} is not complete");
    let seen = seen_at_once(&journal, "forcing remaining tasks", "a reboot is advised")?;
    guest.note(&format!("seen after {} ms", seen.as_millis()));
    ensure!(guest.bus().property("RebootAdvised")? == true, "no reboot is advised");
    let status = guest.ctl().json(["status"])?;
    ensure!(status["reboot_advised"] == true, "{status}");

    // what was forced on can be reverted, once nobody sleeps there
    guest.target().release_all()?;
    reader.wait_ended(SOON)?;
    guest.ctl().call(["revert", name]).ok()?;
    ensure!(!guest.module(name).loaded(), "its module is still loaded");
    Ok(())
}

fn adopted(guest: &Guest) -> Result<()> {
    let (reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    guest.call("systemctl", ["stop", "livepatchd.service"]).ok()?;
    guest.module("lp").load()?;
    let journal = guest.journal()?;
    let start = Instant::now();
    ensure!(guest.patch("lp").in_transition()?, "lp is not in transition");
    guest.call("systemctl", ["start", "livepatchd.service"]).ok()?;
    journal.wait_for("lp: patching transition", SOON)?;
    guest.patch("lp").wait_applied(SOON)?;
    guest.note(&format!(
        "complete {:.1} s after the load",
        start.elapsed().as_secs_f64()
    ));
    only_nudged(&journal, task)?;
    guest.ctl().wait_for_state("lp", "enabled", AT_ONCE)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    Ok(())
}

fn stacked(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let target = guest.target();
    let journal = guest.journal()?;
    for (name, version, order) in [("lp", "lp", 1), ("lp_second", "second", 2)] {
        let applied = guest.ctl().call(["apply", &guest.module(name).file()]).run()?;
        guest.note(&applied.stdout);
        ensure!(applied.code == 0, "{applied:?}");
        ensure!(target.version()? == version, "tgt_version says {}", target.version()?);
        let patch = guest.ctl().patch(name)?.context("it is not listed")?;
        ensure!(patch["stack_order"] == order && patch["state"] == "enabled", "{patch}");
        target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    }
    only_nudged(&journal, task)?;
    for (name, version) in [("lp_second", "lp"), ("lp", "original")] {
        let journal = guest.journal()?;
        let reverted = guest.ctl().call(["revert", name]).run()?;
        guest.note(&reverted.stdout);
        ensure!(reverted.code == 0, "{reverted:?}");
        only_nudged(&journal, task)?;
        ensure!(!guest.module(name).loaded(), "{name} is still loaded");
        ensure!(target.version()? == version, "tgt_version says {}", target.version()?);
        target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    }
    ensure!(reader.returned()?.is_empty(), "the read came back");
    target.release_all()?;
    reader.wait_ended(SOON)
}

fn cancelled(guest: &Guest) -> Result<()> {
    let name = "lp_uninterruptible";
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let target = guest.target();
    let file = guest.module(name).file();
    let (applied, cancelled) = guest.ctl().call(["apply", "--json", &file]).during(|| {
        guest
            .ctl()
            .wait_for_blocker(name, SOON, |blocker| blocker["tid"] == task.tid)?;
        guest.ctl().call(["cancel"]).run()
    })?;
    ensure!(cancelled.code == 0, "{cancelled:?}");
    ensure!(
        applied.code == 1 && applied.stdout.contains("\"cancelled\""),
        "{applied:?}"
    );
    ensure!(!guest.module(name).loaded(), "the module is still loaded");
    target.release_all()?;
    reader.wait_ended(SOON)?;
    guest.ctl().call(["apply", &file]).ok()?;
    guest.patch(name).wait_applied(AT_ONCE).map(drop)
}
