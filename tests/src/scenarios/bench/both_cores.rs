// SPDX-License-Identifier: GPL-2.0-only
//! The rows of `klp_rs`, each beside the kernel's own core in the same run: how long a transition takes with nobody stuck,
//! by how many sleep, with a task that always runs, with seven functions; how long it takes back with one stuck for good; and
//! with one reader that only a nudge moves. livepatchd is away while the cores are compared.
//!
//! The kernel's core looks once, and again a second later: its row depends on whether something keeps the first look from
//! finding everybody. A sleeper elsewhere does not; what runs in user space may have moved by itself before, and so has an idle
//! processor that had anything to do since: with two processors, that is often the only other one, so that the rows of the
//! sleepers are also measured with four. With a task that runs in the kernel no module is unloaded before it leaves
//! (tasks-RCU), so there is no row for that.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{LONG, RUNS, SOON, median, memory, moment, ratio, seconds};
use crate::guest::{Guest, Journal, Queue, Target, Workload};
use crate::wait;
use crate::workload::Event;

/// Both cores, and how the names of their patches begin: one source, made for both.
pub(super) const PATCHES: [(&str, &str); 2] = [("klp_rs", "rs_"), ("the kernel's core", "lp_")];
/// Sleepers beside the few dozen tasks of the machine.
const SLEEPERS: [u32; 3] = [0, 100, MANY];
const MANY: u32 = 1_000;

pub(super) fn measure(guest: &Guest) -> Result<()> {
    guest.module("klp_rs").load()?;
    guest.call("systemctl", ["stop", "livepatchd"]).ok()?;
    beside_sleepers(guest)?;
    {
        let _sleepers = sleepers(guest, MANY)?;
        let _spinner = guest.workload(["spin"])?;
        compare(guest, &format!("{MANY} sleepers, one runs in user space"), "vmlinux")?;
    }
    guest.load_target()?;
    compare(guest, "a patch of seven functions", "seven")?;
    reversals(guest)?;
    memory::measure(guest)?;
    guest.restart_daemon()?;
    stuck_reader(guest)?;
    unload(guest, "klp_rs")
}

/// The rows of the sleepers, on whatever machine this is.
pub(in crate::scenarios) fn transitions(guest: &Guest) -> Result<()> {
    let processors = std::thread::available_parallelism()?;
    guest.note(&format!("on {processors} processors, medians of {RUNS} runs"));
    guest.module("klp_rs").load()?;
    guest.call("systemctl", ["stop", "livepatchd"]).ok()?;
    beside_sleepers(guest)?;
    unload(guest, "klp_rs")
}

fn beside_sleepers(guest: &Guest) -> Result<()> {
    for count in SLEEPERS {
        let _sleepers = sleepers(guest, count)?;
        compare(guest, &format!("{count} sleepers"), "vmlinux")?;
    }
    Ok(())
}

/// So many threads that only sleep, for as long as this lives.
pub(super) fn sleepers(guest: &Guest, count: u32) -> Result<Option<Workload>> {
    let arguments = ["sleep", "--processes", "1", "--threads", &count.to_string()].map(str::to_owned);
    let sleepers = (count > 0).then(|| guest.workload(arguments)).transpose()?;
    if let Some(sleepers) = &sleepers {
        sleepers.wait_for(LONG, "the sleepers", |events| {
            events.iter().any(|event| matches!(event, Event::Settled { .. }))
        })?;
    }
    Ok(sleepers)
}

/// From the core's own word of the start to its own word of the end: what loads the module is the same for both, and told
/// beside it, since it holds what enabling takes before the transition starts.
fn compare(guest: &Guest, beside: &str, which: &str) -> Result<()> {
    let mut medians = Vec::new();
    for (core, prefix) in PATCHES {
        let name = &format!("{prefix}{which}");
        let (mut on, mut off, mut load) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..RUNS {
            let (journal, patch) = (guest.journal()?, guest.patch(name));
            let start = Instant::now();
            guest.module(name).load()?;
            load.push(start.elapsed());
            patch.wait_applied(LONG)?;
            patch.set_enabled(false)?;
            patch.wait_reverted(LONG)?;
            on.push(between(&journal, name, "patching")?);
            off.push(between(&journal, name, "unpatching")?);
            unload(guest, name)?;
        }
        let longest = seconds(on.iter().max().copied().unwrap_or_default());
        let (on, off) = (median(on), median(off));
        guest.note(&format!(
            "{beside}, {core}: insmod {}, enable to complete {} (at most {longest}), disable to complete {}",
            seconds(median(load)),
            seconds(on),
            seconds(off)
        ));
        medians.push((on, off));
    }
    if let [ours, kernel] = medians[..] {
        guest.note(&format!(
            "{beside}: klp_rs enables {:.1} times and disables {:.1} times as fast",
            ratio(kernel.0, ours.0),
            ratio(kernel.1, ours.1)
        ));
    }
    Ok(())
}

/// One sleeps in a patched function and no signal ends that: the transition can only be turned round.
fn reversals(guest: &Guest) -> Result<()> {
    for (core, prefix) in PATCHES {
        let name = &format!("{prefix}uninterruptible");
        let mut back = Vec::new();
        for _ in 0..RUNS {
            let stuck = Stuck::begin(guest)?;
            let (journal, patch) = (guest.journal()?, guest.patch(name));
            guest.module(name).load()?;
            wait::until(SOON, "the transition", || patch.in_transition())?;
            patch.set_enabled(false)?;
            patch.wait_reverted(LONG)?;
            back.push(between(&journal, name, "unpatching")?);
            stuck.end()?;
            unload(guest, name)?;
        }
        guest.note(&format!(
            "one stuck for good, {core}: turned round and complete after {}",
            seconds(median(back))
        ));
    }
    Ok(())
}

/// A reader that no signal takes out of a function of the target.
pub(super) struct Stuck {
    target: Target,
    reader: Workload,
}

impl Stuck {
    pub(super) fn begin(guest: &Guest) -> Result<Self> {
        let (target, queue) = (guest.target(), Queue::WaitUninterruptible);
        let reader = guest.workload(["read", &queue.file()])?;
        target.wait_for_sleepers(queue, 1, SOON)?;
        Ok(Self { target, reader })
    }

    /// Lets it go.
    pub(super) fn end(mut self) -> Result<()> {
        self.target.release_all()?;
        self.reader.wait_ended(SOON)
    }
}

/// A module that was disabled goes when its core is done with it.
pub(super) fn unload(guest: &Guest, name: &str) -> Result<()> {
    wait::until(SOON, "the module to be unloaded", || {
        Ok(guest.module(name).unload().is_ok())
    })
    .map(drop)
}

/// With livepatchd and its defaults; then from the nudge alone.
fn stuck_reader(guest: &Guest) -> Result<()> {
    let (mut whole, mut transition, mut nudged) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let target = guest.load_target()?;
        let mut reader = guest.workload(["read", &Queue::Wait.file()])?;
        target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
        let journal = guest.journal()?;
        let start = Instant::now();
        guest
            .ctl()
            .call(["apply", &guest.module("rs").file()])
            .within(LONG)
            .ok()?;
        whole.push(start.elapsed());
        transition.push(between(&journal, "rs", "patching")?);
        let told = journal.of_unit("livepatchd")?.into_iter();
        let at = told
            .filter(|entry| entry.message().contains("nudged"))
            .find_map(|entry| entry.micros());
        let end = moment(&journal, "'rs': patching complete")?;
        nudged.push(Duration::from_micros(
            end.saturating_sub(at.context("nobody was nudged")?),
        ));
        target.release_all()?;
        reader.wait_ended(SOON)?;
        guest.ctl().call(["revert", "rs"]).within(LONG).ok()?;
    }
    guest.note(&format!(
        "stuck reader, klp_rs with livepatchd: apply {}, enable to complete {}, complete {} after the nudge was told",
        seconds(median(whole)),
        seconds(median(transition)),
        seconds(median(nudged))
    ));
    let tasks = fs::read_dir("/proc")?.flatten();
    let tasks = tasks.filter(|entry| entry.file_name().to_string_lossy().parse::<u32>().is_ok());
    guest.note(&format!("({} processes on the machine)", tasks.count()));
    Ok(())
}

fn between(journal: &Journal, patch: &str, direction: &str) -> Result<Duration> {
    let start = moment(journal, &format!("'{patch}': starting {direction} transition"))?;
    let end = moment(journal, &format!("'{patch}': {direction} complete"))?;
    Ok(Duration::from_micros(end.saturating_sub(start)))
}
