// SPDX-License-Identifier: GPL-2.0-only
//! `make bench`: the figures of README.md, side by side in one run of one machine. Medians; nothing is asserted here, since
//! emulation and a busy host make times what they are: the ratios count.

mod both_cores;
mod caller;
mod instructions;
mod memory;

pub(super) use both_cores::transitions;
pub(super) use instructions::instructions;

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::guest::{Entry, Guest, Journal, Queue};
use crate::wait;
use crate::workload::Event;
use caller::Caller;

const RUNS: usize = 5;
/// Runs of what depends on the phase of a second: with few of them the median depends on it, too.
const PHASES: usize = 16;
/// Sleepers are spread over so many processes: one has not room for 20,000 stacks.
const PROCESSES: usize = 4;
const SOON: Duration = Duration::from_secs(30);
const LONG: Duration = Duration::from_secs(180);
/// How long the idle daemon is watched.
const IDLE: Duration = Duration::from_secs(60);

/// The benchmark.
pub(super) fn bench(guest: &Guest) -> Result<()> {
    guest.note(&format!("kernel {}, medians of {RUNS} runs", guest.kernel_release()?));
    stuck_reader(guest)?;
    // after something has run: an emulator is slow with what it sees for the first time
    service(guest)?;
    both_cores::measure(guest)?;
    many_tasks(guest)
}

/// Start, memory and sleep of the service.
fn service(guest: &Guest) -> Result<()> {
    let (mut ready, mut own) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        guest.call("systemctl", ["reset-failed", "livepatchd"]).ok()?;
        guest.call("systemctl", ["restart", "livepatchd"]).within(SOON).ok()?;
        let began = unit_property(guest, "ExecMainStartTimestampMonotonic")?;
        let active = unit_property(guest, "ActiveEnterTimestampMonotonic")?;
        ready.push(Duration::from_micros(active.saturating_sub(began)));
        // when systemd had made the sandbox and ran the program (since 255)
        if let Ok(handed_over) = unit_property(guest, "ExecMainHandoffTimestampMonotonic") {
            own.push(Duration::from_micros(active.saturating_sub(handed_over)));
        }
    }
    let own = if own.is_empty() {
        "?".to_owned()
    } else {
        seconds(median(own))
    };
    guest.note(&format!(
        "ready after start: {}, {own} of them its own",
        seconds(median(ready))
    ));
    guest.restart_daemon()?;
    let pid = unit_property(guest, "ExecMainPID")?;
    // BPF programs are loaded beside the start; their threads end after ten seconds without work
    let loaded = || Ok(threads(pid)?.len() == 1);
    wait::until(LONG, "the daemon to rest", loaded)?;
    let before = wake_ups(pid)?;
    let start = Instant::now();
    let watchdog = Duration::from_micros(unit_property(guest, "WatchdogUSec").unwrap_or(30_000_000)) / 3;
    // the one place where time itself is what is waited for
    while start.elapsed() < IDLE {
        std::thread::sleep(IDLE.saturating_sub(start.elapsed()));
    }
    let woken = wake_ups(pid)?.saturating_sub(before);
    let ticks = IDLE.as_secs() / watchdog.as_secs().max(1);
    guest.note(&format!(
        "idle for {} s: {woken} wake-ups, {ticks} of them the watchdog's",
        IDLE.as_secs()
    ));
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    for field in ["VmRSS:", "RssAnon:"] {
        let line = status
            .lines()
            .find(|line| line.starts_with(field))
            .context("a memory field")?;
        guest.note(&format!("idle memory, {}", line.replace('\t', " ")));
    }
    Ok(())
}

/// One stuck reader: livepatchd by its command and by a call, the kernel alone, kpatch.
fn stuck_reader(guest: &Guest) -> Result<()> {
    let file = guest.module("lp").file();
    let caller = Caller::connect()?;
    let (mut transition, mut known) = (Vec::new(), Vec::new());
    let mut livepatchd = |apply: &dyn Fn() -> Result<()>| -> Result<Vec<Times>> {
        let mut times = Vec::new();
        for run in 0..PHASES {
            let journal = guest.journal()?;
            times.push(timed(guest, run, PHASES, apply)?);
            let started = moment(&journal, "'lp': starting patching transition")?;
            let ended = moment(&journal, "'lp': patching complete")?;
            transition.push(Duration::from_micros(ended.saturating_sub(started)));
            let told = journal.of_unit("livepatchd")?;
            let named = told.iter().find(|entry| entry.field("LIVEPATCH_REASON").is_some());
            if let Some(at) = named.and_then(Entry::micros) {
                known.push(Duration::from_micros(at.saturating_sub(started)));
            }
        }
        Ok(times)
    };
    let command = livepatchd(&|| guest.ctl().call(["apply", &file]).within(LONG).ok().map(drop))?;
    let called = livepatchd(&|| caller.apply(&file).map(drop))?;
    guest.call("systemctl", ["stop", "livepatchd"]).ok()?;
    let (mut alone, mut kpatch) = (Vec::new(), Vec::new());
    for run in 0..RUNS {
        let time = timed(guest, run, RUNS, || {
            guest.module("lp").load()?;
            guest.patch("lp").wait_applied(LONG).map(drop)
        })?;
        alone.push(time.complete);
        let time = timed(guest, run, RUNS, || {
            guest.call("kpatch", ["load", &file]).within(LONG).ok().map(drop)
        })?;
        kpatch.push(time.complete);
    }
    guest.restart_daemon()?;
    let complete = |times: &[Times]| median(times.iter().map(|time| time.complete).collect());
    let returned = median(command.iter().map(|time| time.returned).collect());
    let (command, called, alone, kpatch) = (complete(&command), complete(&called), median(alone), median(kpatch));
    guest.note(&format!(
        "stuck reader, apply to complete: livepatchd {} from the call of Apply, {} from the start of livepatchctl (which \
         returns after {}); kernel alone {}, kpatch load {}",
        seconds(called),
        seconds(command),
        seconds(returned),
        seconds(alone),
        seconds(kpatch)
    ));
    guest.note(&format!(
        "from command to complete livepatchd is {:.1} times as fast as the kernel alone, {:.1} times as kpatch",
        ratio(alone, command),
        ratio(kpatch, command)
    ));
    guest.note(&format!(
        "of livepatchd's time the kernel's transition lasted {}: it tries again on whole seconds only",
        seconds(median(transition))
    ));
    guest.note(&format!(
        "reason in the journal after the transition's start: {}",
        seconds(median(known))
    ));
    Ok(())
}

/// How long it took.
struct Times {
    /// Until the kernel said that the transition is complete.
    complete: Duration,
    /// Until the command was done.
    returned: Duration,
}

/// A patch applied over a stuck reader, and everything put back afterwards; the times are those of `apply`.
///
/// The kernel tries again on whole seconds (`kernel/livepatch/transition.c: round_jiffies_relative`), so what a transition
/// lasts depends on when in a second it starts: this many runs start evenly spread over one.
fn timed(guest: &Guest, run: usize, runs: usize, apply: impl FnOnce() -> Result<()>) -> Result<Times> {
    let target = guest.load_target()?;
    let mut reader = guest.workload(["read", &Queue::Wait.file()])?;
    target.wait_for_sleepers(Queue::Wait, 1, SOON)?;
    let journal = guest.journal()?;
    let second = Duration::from_secs(1);
    let wanted = second * u32::try_from(run)? / u32::try_from(runs)?;
    let phase = Duration::from_nanos(since_boot()?.subsec_nanos().into());
    let wait = wanted.checked_sub(phase);
    std::thread::sleep(wait.unwrap_or_else(|| (wanted + second).saturating_sub(phase)));
    let start = since_boot()?;
    apply()?;
    let returned = since_boot()?.saturating_sub(start);
    let complete = Duration::from_micros(moment(&journal, "'lp': patching complete")?);
    target.release_all()?;
    reader.wait_ended(SOON)?;
    let patch = guest.patch("lp");
    patch.set_enabled(false)?;
    patch.wait_reverted(SOON)?;
    wait::until(SOON, "lp to be unloaded", || {
        Ok(guest.call("rmmod", ["lp"]).run()?.code == 0 || !guest.module("lp").loaded())
    })?;
    Ok(Times {
        complete: complete.saturating_sub(start),
        returned,
    })
}

/// The time as [`Entry::micros`] has it.
fn since_boot() -> Result<Duration> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Ok(Duration::new(u64::try_from(now.tv_sec)?, u32::try_from(now.tv_nsec)?))
}

/// Finding pending tasks among many, with reasons, against a compiled loop over /proc. The first two differ in the tasks
/// there are, the last two in those that are pending.
fn many_tasks(guest: &Guest) -> Result<()> {
    for (sleeping, pending) in [(2_000, 1), (20_000, 1), (2_000, 100), (2_000, 1_000)] {
        let target = guest.load_target()?;
        let threads = (sleeping / PROCESSES).to_string();
        let sleepers = guest.workload(["sleep", "--processes", &PROCESSES.to_string(), "--threads", &threads])?;
        sleepers.wait_for(LONG, "the sleepers", |events| {
            let settled = |event: &&Event| matches!(event, Event::Settled { .. });
            events.iter().filter(settled).count() == PROCESSES
        })?;
        let queue = Queue::WaitUninterruptible;
        let mut reader = guest.workload(["read", &queue.file(), "--threads", &pending.to_string()])?;
        target.wait_for_sleepers(queue, pending, LONG)?;
        guest.module("lp_uninterruptible").load()?;
        let measured = guest
            .call(
                "/usr/lib/livepatch-tests/scan",
                ["lp_uninterruptible", &pending.to_string()],
            )
            .within(LONG)
            .ok()?;
        guest.note(&format!(
            "{sleeping} sleeping tasks, {pending} pending: {}",
            measured.trim()
        ));
        target.release_all()?;
        reader.wait_ended(LONG)?;
        let patch = guest.patch("lp_uninterruptible");
        patch.wait_applied(LONG)?;
        patch.set_enabled(false)?;
        patch.wait_reverted(LONG)?;
        guest.call("rmmod", ["lp_uninterruptible"]).within(SOON).run()?;
    }
    Ok(())
}

/// When the kernel's log said this, in microseconds of the monotonic clock.
fn moment(journal: &Journal, words: &str) -> Result<u64> {
    let mut found = None;
    wait::until(SOON, words, || {
        let entries = journal.of_kernel()?;
        let line = entries.iter().find(|entry| entry.message().contains(words));
        found = line.and_then(Entry::micros);
        Ok(found.is_some())
    })?;
    found.context("an entry without a time")
}

fn unit_property(guest: &Guest, name: &str) -> Result<u64> {
    let text = guest
        .call("systemctl", ["show", "--value", "--property", name, "livepatchd"])
        .ok()?;
    text.trim().parse().with_context(|| format!("{name}: {text}"))
}

fn threads(pid: u64) -> Result<Vec<std::path::PathBuf>> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task"))?;
    Ok(tasks.flatten().map(|entry| entry.path()).collect())
}

/// How often its threads went to sleep until now.
fn wake_ups(pid: u64) -> Result<u64> {
    let mut sum = 0;
    for thread in threads(pid)? {
        let status = fs::read_to_string(thread.join("status"))?;
        let field = status
            .lines()
            .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += field.context("voluntary_ctxt_switches")?.trim().parse::<u64>()?;
    }
    Ok(sum)
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    let at = |index: usize| times.get(index).copied().unwrap_or_default();
    let half = times.len() / 2;
    if times.len().is_multiple_of(2) {
        (at(half.saturating_sub(1)) + at(half)) / 2
    } else {
        at(half)
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn ratio(slow: Duration, fast: Duration) -> f64 {
    slow.as_secs_f64() / fast.as_secs_f64().max(1e-9)
}
