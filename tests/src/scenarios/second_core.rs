// SPDX-License-Identifier: GPL-2.0-only
//! livepatchd with patches of `klp_rs`: applied, explained, nudged, reversed and reverted like the kernel's own, and both
//! cores side by side.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::Value;

use super::Scenario;
use super::excluded::told_and_reversed;
use crate::guest::{Guest, Queue, Task};
use crate::wait;
use crate::workload::Event;

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::new(
        "klp_rs: a stuck reader is named while it blocks, nudged once, and the patch is complete",
        named_nudged_complete,
    ),
    Scenario::new(
        "klp_rs: a patch loaded by insmod is seen, helped, and reverted on demand",
        by_hand,
    ),
    Scenario::new(
        "klp_rs: an uninterruptible sleeper is explained and left alone",
        uninterruptible,
    ),
    Scenario::new("klp_rs: a stopped task is explained and stays stopped", stopped),
    Scenario::new("klp_rs: a traced task is explained and left to its tracer", traced),
    Scenario::new(
        "klp_rs: a kthread that never returns is explained and left alone",
        kthread,
    ),
    Scenario::new("klp_rs: a task that always runs in the kernel is explained", spinning),
    Scenario::new(
        "klp_rs: only the stuck one of a hundred sleepers is pending",
        one_of_many,
    ),
    Scenario::new(
        "klp_rs: a transition that is cancelled turns round, and the patch is applied again",
        cancelled,
    ),
    Scenario::new(
        "both cores have patches at once, and the second on a function is refused",
        both,
    ),
    Scenario::new(
        "klp_rs stays while a patch holds it, and goes when none does",
        unloading,
    ),
];

const SOON: Duration = Duration::from_secs(10);

/// The core, and the target in which readers get stuck.
fn begin(guest: &Guest) -> Result<()> {
    guest.load_target()?;
    guest.module("klp_rs").load()
}

fn named_nudged_complete(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let target = guest.target();
    let journal = guest.journal()?;
    let applied = guest.ctl().call(["apply", &guest.module("rs").file()]).run()?;
    ensure!(applied.code == 0, "{}{}", applied.stdout, applied.stderr);
    guest.note(&format!("apply took {} ms", applied.took.as_millis()));
    guest.note(&applied.stdout);
    ensure!(target.version()?.contains("lp"), "{}", target.version()?);
    let blocker = journal.blocker(task)?;
    for (field, value) in [
        ("LIVEPATCH_REASON", "sleeping-in-function"),
        ("LIVEPATCH_FUNCTION", "tgt_wait [tgt]"),
    ] {
        ensure!(
            blocker.field(field) == Some(value),
            "{field} is not {value}: {blocker:?}"
        );
    }
    let nudged = journal.nudged()?;
    ensure!(
        nudged == BTreeMap::from([(task.tid, 1)]),
        "{task:?} was to be nudged once: {nudged:?}"
    );
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    let patch = guest.ctl().patch("rs")?.unwrap_or_default();
    ensure!(patch["core"] == "klp_rs" && patch["state"] == "enabled", "{patch}");
    // The other direction: it sleeps in the new function now.
    guest.ctl().call(["revert", "rs"]).ok()?;
    ensure!(!guest.module("rs").loaded(), "revert left the module");
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    ensure!(target.version()? == "original", "{}", target.version()?);
    target.release(Queue::Wait)?;
    reader.wait_ended(SOON)
}

fn by_hand(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let (_reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let journal = guest.journal()?;
    let start = Instant::now();
    guest.module("rs").load()?;
    guest.patch("rs").wait_applied(SOON)?;
    guest.note(&format!("insmod to complete: {} ms", start.elapsed().as_millis()));
    guest.ctl().wait_for_state("rs", "enabled", SOON)?;
    let nudged = journal.nudged()?;
    ensure!(nudged.keys().eq([&task.tid]), "{task:?} was to be nudged: {nudged:?}");
    guest.patch("rs").set_enabled(false)?;
    guest.patch("rs").wait_reverted(SOON)?;
    guest.ctl().call(["revert", "rs"]).ok()?;
    guest.ctl().wait_for_state("rs", "gone", SOON)?;
    ensure!(!guest.module("rs").loaded(), "revert left the module");
    Ok(())
}

fn uninterruptible(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let (_reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    told_and_reversed(
        guest,
        "rs_uninterruptible",
        Queue::WaitUninterruptible,
        task,
        ["user", "uninterruptible", "not nudged: signals do not wake it"],
    )
}

fn stopped(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let (reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    // It sleeps where no signal reaches it: the stop is on its way to it.
    Task::process(reader.pid()).signal_process(rustix::process::Signal::STOP)?;
    told_and_reversed(
        guest,
        "rs_uninterruptible",
        Queue::WaitUninterruptible,
        task,
        ["user", "uninterruptible", "not nudged"],
    )
}

fn traced(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let (_reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let tracer = guest.workload(["trace", "--running", &task.tid.to_string()])?;
    tracer.wait_for(SOON, "the tracer", |events| {
        events.contains(&Event::Tracing { tid: task.tid })
    })?;
    told_and_reversed(
        guest,
        "rs",
        Queue::Wait,
        task,
        ["user", "traced", "not nudged: a debugger"],
    )
}

fn kthread(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let target = guest.target();
    target.kthread(true)?;
    target.wait_for_sleepers(Queue::Kthread, 1, SOON)?;
    told_and_reversed(
        guest,
        "rs_kthread",
        Queue::Kthread,
        Task::named("tgt_kthread")?,
        ["kthread", "sleeping-in-function", "not nudged: a kernel thread"],
    )?;
    target.kthread(false)
}

fn spinning(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let (mut reader, task) = guest.stuck_reader(Queue::Spin, 0)?;
    let file = guest.module("rs_spin").file();
    let apply = guest.ctl().call(["apply", "--json", "--timeout", "5s", &file]);
    let running = |blocker: &Value| blocker["tid"] == task.tid && blocker["reason"] == "running";
    let (applied, blocker) = apply
        .within(6 * SOON)
        .during(|| guest.ctl().wait_for_blocker("rs_spin", SOON, running))?;
    guest.note(&blocker.to_string());
    ensure!(
        blocker["action"]
            .as_str()
            .is_some_and(|told| told.contains("not nudged")),
        "{blocker}"
    );
    ensure!(
        applied.code == 3 && applied.stdout.contains("\"timeout\""),
        "{applied:?}"
    );
    ensure!(!guest.patch("rs_spin").exists(), "rs_spin is still there");
    // Tasks-RCU waits for a voluntary switch, so while it spins the module may stay: that is told, with the way out.
    if guest.module("rs_spin").loaded() {
        ensure!(applied.stdout.contains("livepatchctl revert rs_spin"), "{applied:?}");
    }
    guest.target().release(Queue::Spin)?;
    reader.wait_ended(SOON)?;
    wait::until(3 * SOON, "the module to be unloaded", || {
        if guest.module("rs_spin").loaded() {
            guest.ctl().call(["revert", "rs_spin"]).run()?;
        }
        Ok(!guest.module("rs_spin").loaded())
    })
    .map(drop)
}

/// The published states say of each task where it is: a reader that took them for something else would find all or none.
fn one_of_many(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let sleepers = guest.workload(["sleep", "--processes", "1", "--threads", "100"])?;
    sleepers.wait_for(SOON, "the sleepers", |events| {
        events.iter().any(|event| matches!(event, Event::Settled { .. }))
    })?;
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let file = guest.module("rs_uninterruptible").file();
    guest.ctl().call(["apply", "--no-wait", &file]).ok()?;
    let mut last = Value::Null;
    let only_one = wait::until(SOON, "one task to be pending", || {
        last = guest.ctl().patch("rs_uninterruptible")?.unwrap_or_default();
        Ok(last["pending"] == 1)
    });
    ensure!(only_one.is_ok(), "{last}");
    ensure!(last["total"].as_u64().is_some_and(|total| total > 100), "{last}");
    let blocker = guest
        .ctl()
        .wait_for_blocker("rs_uninterruptible", SOON, |blocker| blocker["tid"] == task.tid)?;
    guest.note(&blocker.to_string());
    guest.target().release_all()?;
    reader.wait_ended(SOON)?;
    guest
        .ctl()
        .wait_for_state("rs_uninterruptible", "enabled", SOON)
        .map(drop)
}

fn cancelled(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let name = "rs_uninterruptible";
    let (mut reader, task) = guest.stuck_reader(Queue::WaitUninterruptible, 0)?;
    let file = guest.module(name).file();
    let (applied, took) = guest.ctl().call(["apply", "--json", &file]).during(|| {
        guest
            .ctl()
            .wait_for_blocker(name, SOON, |blocker| blocker["tid"] == task.tid)?;
        let cancelled = guest.ctl().call(["cancel"]).run()?;
        ensure!(cancelled.code == 0, "{cancelled:?}");
        Ok(cancelled.took)
    })?;
    guest.note(&format!("cancel took {} ms", took.as_millis()));
    ensure!(
        applied.code == 1 && applied.stdout.contains("\"cancelled\""),
        "{applied:?}"
    );
    ensure!(!guest.module(name).loaded(), "the module is still loaded");
    guest.target().release_all()?;
    reader.wait_ended(SOON)?;
    guest.ctl().call(["apply", &file]).ok()?;
    guest.patch(name).wait_applied(SOON).map(drop)
}

fn both(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let apply = |name: &str| guest.ctl().call(["apply", &guest.module(name).file()]).run();
    let applied = |name: &str| {
        let told = apply(name)?;
        ensure!(told.code == 0, "{told:?}");
        Ok(())
    };
    let refused = |name: &str| {
        let told = apply(name)?;
        ensure!(told.code == 6 && told.stderr.contains("busy"), "{told:?}");
        ensure!(!guest.module(name).loaded(), "{name} is still loaded");
        Ok(())
    };
    applied("lp")?;
    applied("rs_vmlinux")?;
    let status: Value = guest.ctl().json(["status"])?;
    let cores = |status: &Value| {
        let patches = status["patches"].as_array().cloned().unwrap_or_default();
        let one = |patch: &Value| format!("{}:{}", patch["name"], patch["core"]).replace('"', "");
        patches.iter().map(one).collect::<Vec<_>>()
    };
    ensure!(cores(&status) == ["lp:kernel", "rs_vmlinux:klp_rs"], "{status}");
    refused("rs")?;
    refused("lp_vmlinux")?;
    guest.ctl().call(["revert", "lp"]).ok()?;
    applied("rs")?;
    refused("lp")?;
    guest.ctl().call(["revert", "rs_vmlinux"]).ok()?;
    applied("lp_vmlinux")?;
    let status: Value = guest.ctl().json(["status"])?;
    ensure!(cores(&status) == ["lp_vmlinux:kernel", "rs:klp_rs"], "{status}");
    Ok(())
}

fn unloading(guest: &Guest) -> Result<()> {
    begin(guest)?;
    let core = guest.module("klp_rs");
    guest.ctl().call(["apply", &guest.module("rs_vmlinux").file()]).ok()?;
    let kept = core.unload();
    ensure!(kept.is_err() && core.loaded(), "klp_rs went from under its patch");
    guest.ctl().call(["revert", "rs_vmlinux"]).ok()?;
    wait::until(SOON, "klp_rs to be unloaded", || Ok(core.unload().is_ok()))?;
    let status: Value = guest.ctl().json(["status"])?;
    let cores = status["cores"].as_array().cloned().unwrap_or_default();
    guest.note(&status.to_string());
    ensure!(status["patches"].as_array().is_some_and(Vec::is_empty), "{status}");
    ensure!(!cores.contains(&"klp_rs".into()) || !core.loaded(), "{status}");
    // And it can come back.
    core.load()?;
    guest
        .ctl()
        .call(["apply", &guest.module("rs_vmlinux").file()])
        .ok()
        .map(drop)
}
