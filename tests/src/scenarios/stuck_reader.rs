// SPDX-License-Identifier: GPL-2.0-only
//! The case that everything else builds on: a reader asleep in the patched function, named, nudged, and the patch complete.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::Value;

use super::kernel_alone::FAKE_SIGNAL;
use super::{Kernels, Scenario};
use crate::guest::{Entry, Guest, Journal, Queue, Task, Workload};
use crate::wait;
use crate::workload::{Event, longest_gap};

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
        "a nudged process is seen stopped neither by its parent nor in /proc",
        never_seen_stopped,
    ),
    Scenario::new(
        "with --no-nudge a stuck reader is reported with class, reason and function until a nudge is asked for",
        nudged_when_asked,
    ),
    Scenario::new(
        "a read that cannot be restarted ends with EINTR, as documented",
        eintr_where_documented,
    ),
];

const SOON: Duration = Duration::from_secs(10);
/// `EINTR` (`include/uapi/asm-generic/errno-base.h`).
const EINTR: i32 = 4;
/// By so much two processes may be treated differently by the scheduler of a busy emulated machine.
const GAP_MARGIN_MS: u64 = 250;

fn named_nudged_complete(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let target = guest.target();
    let (journal, mut kernel_log) = (guest.journal()?, guest.kernel_log()?);

    let applied = guest.ctl().call(["apply", &guest.module("lp").file()]).run()?;
    ensure!(applied.code == 0, "{}{}", applied.stdout, applied.stderr);
    guest.note(&applied.stdout);
    ensure!(target.version()?.contains("lp"), "{}", target.version()?);

    let blocker = journal.blocker(task)?;
    named_before_nudged(&journal, task)?;
    // else the kernel would have been as slow as alone: it says this in its 15th round
    let log = kernel_log.lines()?;
    ensure!(
        !log.iter().any(|line| line.contains(FAKE_SIGNAL)),
        "the kernel needed fifteen rounds: {log:?}"
    );
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

/// The journal names the thread as a blocker before it tells of its nudge.
fn named_before_nudged(journal: &Journal, task: Task) -> Result<()> {
    let told = journal.of_unit("livepatchd")?;
    let tid = task.tid.to_string();
    let about = |entry: &Entry| entry.field("LIVEPATCH_TID") == Some(&tid);
    let named = told
        .iter()
        .position(|entry| about(entry) && entry.field("LIVEPATCH_REASON").is_some());
    let nudged = told
        .iter()
        .position(|entry| about(entry) && entry.message().ends_with("; nudged"));
    ensure!(
        named.is_some() && nudged.is_some() && named < nudged,
        "named in line {named:?}, nudged in line {nudged:?}"
    );
    Ok(())
}

fn one_of_eight(guest: &Guest) -> Result<()> {
    let (mut reader, task) = guest.stuck_reader(Queue::Wait, 7)?;
    // the same in every respect but one: where it reads the patch replaces nothing
    let (mut control, _) = guest.stuck_reader(Queue::WaitKillable, 7)?;
    let at_work = |workload: &Workload, from: usize| -> Result<()> {
        let is_progress = |event: &&Event| matches!(event, Event::Progress { .. });
        workload.wait_for(SOON, "word of the working threads", |events| {
            events[from..].iter().filter(is_progress).count() >= 2
        })?;
        Ok(())
    };
    at_work(&reader, 0)?;
    at_work(&control, 0)?;
    let (before, control_before) = (reader.events()?.len(), control.events()?.len());
    let journal = guest.journal()?;
    guest.ctl().call(["apply", &guest.module("lp").file()]).ok()?;
    let nudged = journal.nudged()?;
    ensure!(
        nudged == BTreeMap::from([(task.tid, 1)]),
        "{task:?} was to be nudged once: {nudged:?}"
    );

    at_work(&reader, reader.events()?.len())?;
    at_work(&control, control.events()?.len())?;
    let (told, control_told) = (&reader.events()?[before..], &control.events()?[control_before..]);
    let (gap, usual) = (longest_gap(told), longest_gap(control_told));
    let rounds = told.iter().filter_map(|event| match event {
        Event::Progress { fewest_rounds, .. } => Some(*fewest_rounds),
        _ => None,
    });
    let rounds: u64 = rounds.sum();
    guest.note(&format!(
        "longest gap {gap} ms beside the nudge, {usual} ms in a process that was not nudged"
    ));
    ensure!(rounds > 0, "a thread did not work");
    ensure!(
        gap <= usual + GAP_MARGIN_MS,
        "a gap of {gap} ms; without a nudge {usual} ms"
    );

    let target = guest.target();
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    ensure!(reader.returned()?.is_empty(), "the read came back");
    target.release_all()?;
    reader.wait_ended(SOON)?;
    ensure!(
        reader.returned()? == [(task, 0)],
        "it came back as {:?}",
        reader.returned()?
    );
    control.wait_ended(SOON)
}

/// Looks at a process and at a thread of it without a pause until told to end; counts its looks.
fn look(task: Task, stop_seen: &AtomicBool, over: &AtomicBool) -> Result<u64> {
    let mut looks = 0;
    while !over.load(Ordering::Relaxed) {
        for file in [
            format!("/proc/{}/stat", task.pid),
            format!("/proc/{0}/task/{1}/stat", task.pid, task.tid),
        ] {
            let stat = std::fs::read_to_string(&file).context(file)?;
            let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
            stop_seen.fetch_or(matches!(state, Some('T' | 't')), Ordering::Relaxed);
        }
        looks += 1;
    }
    Ok(looks)
}

/// Runs `work` while another thread looks at the process; says whether it was seen stopped, and in how many looks.
fn watched(task: Task, work: impl FnOnce(&AtomicBool) -> Result<()>) -> Result<(bool, u64)> {
    let (over, stop_seen) = (AtomicBool::new(false), AtomicBool::new(false));
    let looks = thread::scope(|scope| {
        let looker = scope.spawn(|| look(task, &stop_seen, &over));
        let done = work(&stop_seen);
        over.store(true, Ordering::Relaxed);
        let looks = looker.join().ok().context("the looking thread panicked")?;
        done.and(looks)
    })?;
    Ok((stop_seen.into_inner(), looks))
}

fn never_seen_stopped(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let mut reader = guest.workload(["read", &Queue::Wait.file(), "--watched"])?;
    let task = reader.readers(1, SOON)?[0];
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let told = |event: &Event| matches!(event, Event::Stopped { .. } | Event::Continued { .. });

    // that both would see a stop
    watched(task, |seen| {
        task.signal(Signal::STOP)?;
        wait::until(SOON, "a look at a stopped process", || Ok(seen.load(Ordering::Relaxed)))?;
        reader.wait_for(SOON, "word of the stop", |events| {
            events.contains(&Event::Stopped { pid: task.pid })
        })?;
        task.signal(Signal::CONT)?;
        let continued = Event::Continued { pid: task.pid };
        reader.wait_for(SOON, "word of the continuation", |events| events.contains(&continued))?;
        Ok(())
    })?;
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let before = reader.events()?.len();

    let journal = guest.journal()?;
    let (seen, looks) = watched(task, |_| {
        guest.ctl().call(["apply", &guest.module("lp").file()]).ok()?;
        target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
        guest.ctl().call(["revert", "lp"]).ok().map(drop)
    })?;
    let nudged = journal.nudged()?;
    guest.note(&format!(
        "{looks} looks at a process nudged {:?} times",
        nudged.get(&task.tid)
    ));
    ensure!(nudged.get(&task.tid) >= Some(&2), "apply and revert nudged {nudged:?}");
    ensure!(!seen, "it was seen stopped in /proc");
    let events = reader.events()?;
    let told: Vec<_> = events[before..].iter().filter(|event| told(event)).collect();
    ensure!(told.is_empty(), "its parent was told {told:?}");
    target.release(Queue::Wait)?;
    reader.wait_ended(SOON)
}

fn nudged_when_asked(guest: &Guest) -> Result<()> {
    let (reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let (target, ctl) = (guest.target(), guest.ctl());
    let file = guest.module("lp").file();
    // once by each of the two ways to ask
    for (words, state, function) in [
        (["apply", &file, "--no-nudge", "--no-wait"], "enabled", "tgt_wait [tgt]"),
        (["revert", "lp", "--no-nudge", "--no-wait"], "gone", "patch_wait [lp]"),
    ] {
        let journal = guest.journal()?;
        ctl.call(words).ok()?;
        let blocker = ctl.wait_for_blocker("lp", SOON, |blocker| {
            blocker["tid"] == task.tid && blocker["reason"] == "sleeping-in-function"
        })?;
        guest.note(&blocker.to_string());
        ensure!(blocker["pid"] == task.pid && blocker["class"] == "user", "{blocker}");
        ensure!(blocker["function"] == function, "{blocker}");
        ensure!(blocker["comm"] == "workload" && blocker["nudges"] == 0, "{blocker}");
        ensure!(
            blocker["action"] == "not nudged: its job asked for no nudges",
            "{blocker}"
        );
        // reported, and left alone: it stays so until the daemon has said that nothing moves
        journal.wait_for("lp: stalled", SOON)?;
        ensure!(journal.nudged()?.is_empty(), "nudged: {:?}", journal.nudged()?);
        ensure!(guest.patch("lp").in_transition()?, "it ended without a nudge");

        if state == "enabled" {
            let told = ctl.json(["nudge"])?;
            ensure!(told["patch"] == "lp" && told["nudged"] == 1, "{told}");
        } else {
            let told = guest.bus().call("Nudge", ["s", "lp"]).ok()?;
            let told: Value = serde_json::from_str(&told)?;
            ensure!(told["type"] == "u" && told["data"][0] == 1, "{told}");
        }
        ctl.wait_for_state("lp", state, SOON)?;
        let nudged = journal.nudged()?;
        ensure!(nudged == BTreeMap::from([(task.tid, 1)]), "nudged: {nudged:?}");
        target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    }
    ensure!(reader.returned()?.is_empty(), "the read came back");
    Ok(())
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
