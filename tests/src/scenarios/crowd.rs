// SPDX-License-Identifier: GPL-2.0-only
//! Crowds: first that the machine and the workloads bear them, then a live patch in the middle of one.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Kernels, Scenario};
use crate::guest::{Guest, Queue, Task, Workload};
use crate::workload::{Event, longest_gap};

pub(super) const SCENARIOS: &[Scenario] = &[
    Scenario::anchor(
        "five hundred threads of fifty processes sleep in the target and all come back",
        readers_come_back,
    )
    .on(Kernels::All),
    Scenario::anchor("twenty thousand threads sleep at once", sleepers_fit).within_secs(180),
    Scenario::anchor("a fork storm makes processes", forks_happen),
    Scenario::anchor(
        "a stopped process shows as a gap in the work of its threads",
        a_stop_shows,
    ),
    Scenario::anchor(
        "a traced thread is in tracing stop until its tracer ends",
        a_traced_thread_is_held,
    ),
    Scenario::new(
        "five hundred stuck threads of fifty processes are all moved, each with at most five nudges",
        all_are_moved,
    )
    .within_secs(120),
    Scenario::new("a patch is applied in the middle of a fork storm", in_a_storm),
    Scenario::new("one stuck reader is found among two thousand sleepers", among_sleepers).within_secs(120),
];

/// For hundreds of processes to start, or to end, in an emulated machine.
const A_WHILE: Duration = Duration::from_secs(30);

fn readers_come_back(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let mut readers = guest.workload(["read", &Queue::Wait.file(), "--processes=50", "--threads=10"])?;
    let took = target.wait_for_sleepers(Queue::Wait, 500, A_WHILE)?;
    guest.note(&format!("500 readers asleep after {:.1} s", took.as_secs_f64()));
    target.release(Queue::Wait)?;
    readers.wait_ended(A_WHILE)?;
    let returned = readers.returned()?;
    ensure!(
        returned.len() == 500 && returned.iter().all(|(_, errno)| *errno == 0),
        "came back: {returned:?}"
    );
    Ok(())
}

fn sleepers_fit(guest: &Guest) -> Result<()> {
    let sleepers = guest.workload(["sleep", "--processes=20", "--threads=1000"])?;
    settle(&sleepers, 20)?;
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let tasks = load
        .split([' ', '/'])
        .nth(4)
        .and_then(|tasks| tasks.parse::<u32>().ok());
    ensure!(tasks.is_some_and(|tasks| tasks > 20_000), "the load is {load}");
    Ok(())
}

fn forks_happen(guest: &Guest) -> Result<()> {
    let mut storm = guest.workload(["forks", "--seconds=3"])?;
    storm.wait_ended(A_WHILE)?;
    let count = forked(&storm.events()?);
    guest.note(&format!("{count} processes in 3 s"));
    ensure!(count > 50, "made {count}");
    Ok(())
}

fn a_stop_shows(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let mut process = guest.workload(["read", &Queue::Wait.file(), "--workers=7"])?;
    target.wait_for_sleepers(Queue::Wait, 1, A_WHILE)?;
    process.wait_for(A_WHILE, "word of the working threads", |events| longest_gap(events) > 0)?;
    let process_as_one = Task::process(process.pid());
    process_as_one.signal(Signal::STOP)?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(
        process_as_one.state()? == 'T',
        "its state is {}",
        process_as_one.state()?
    );
    process_as_one.signal(Signal::CONT)?;
    process.wait_for(A_WHILE, "a gap of two seconds", |events| longest_gap(events) >= 1900)?;
    target.release(Queue::Wait)?;
    process.wait_ended(A_WHILE)
}

fn a_traced_thread_is_held(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let mut reader = guest.workload(["read", &Queue::Wait.file()])?;
    let task = reader.readers(1, A_WHILE)?[0];
    target.wait_for_sleepers(Queue::Wait, 1, A_WHILE)?;
    let tracer = guest.workload(["trace", &task.tid.to_string()])?;
    tracer.wait_for(A_WHILE, "the tracer", |events| {
        events.contains(&Event::Tracing { tid: task.tid })
    })?;
    ensure!(task.state()? == 't', "its state is {}", task.state()?);
    drop(tracer);
    // Interrupted by the stop, the read was started anew.
    target
        .wait_for_sleepers(Queue::Wait, 1, A_WHILE)
        .context("after the tracer")?;
    target.release(Queue::Wait)?;
    reader.wait_ended(A_WHILE)
}

/// Waits until so many processes of sleepers have all their threads.
fn settle(sleepers: &Workload, processes: usize) -> Result<()> {
    let is_settled = |event: &&Event| matches!(event, Event::Settled { .. });
    sleepers
        .wait_for(Duration::from_secs(120), "the sleepers to settle", |events| {
            events.iter().filter(is_settled).count() == processes
        })
        .map(drop)
}

/// How many processes a storm has made.
fn forked(events: &[Event]) -> u64 {
    let counts = events.iter().filter_map(|event| match event {
        Event::Forked { count } => Some(*count),
        _ => None,
    });
    counts.max().unwrap_or(0)
}

/// Applies lp and gives how long that took.
fn apply(guest: &Guest) -> Result<Duration> {
    let applied = guest
        .ctl()
        .call(["apply", &guest.module("lp").file()])
        .within(2 * A_WHILE)
        .run()?;
    ensure!(applied.code == 0, "{applied:?}");
    ensure!(
        guest.target().version()? == "lp",
        "tgt_version says {}",
        guest.target().version()?
    );
    Ok(applied.took)
}

fn all_are_moved(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let mut readers = guest.workload(["read", &Queue::Wait.file(), "--processes=50", "--threads=10"])?;
    target.wait_for_sleepers(Queue::Wait, 500, A_WHILE)?;
    let journal = guest.journal()?;
    let took = apply(guest)?;

    let nudged = journal.nudged()?;
    let most = nudged.values().max().copied().unwrap_or(0);
    let told = format!("{} threads nudged, at most {most} times", nudged.len());
    guest.note(&format!(
        "500 stuck: complete after {:.1} s; {told}",
        took.as_secs_f64()
    ));
    // A thread that a sibling's stop took along need not be nudged itself.
    ensure!(nudged.len() >= 50 && most <= 5, "{told}");

    ensure!(readers.returned()?.is_empty(), "a read came back early");
    target.wait_for_sleepers(Queue::Wait, 500, A_WHILE)?;
    target.release(Queue::Wait)?;
    readers.wait_ended(A_WHILE)?;
    let returned = readers.returned()?;
    let well = returned.len() == 500 && returned.iter().all(|(_, errno)| *errno == 0);
    ensure!(well, "came back: {returned:?}");
    Ok(())
}

fn in_a_storm(guest: &Guest) -> Result<()> {
    let (mut reader, _) = guest.stuck_reader(Queue::Wait, 0)?;
    let storm = guest.workload(["forks"])?;
    storm.wait_for(A_WHILE, "the storm", |events| forked(events) > 0)?;
    let start = forked(&storm.events()?);
    let took = apply(guest)?;
    // told while the transition ran, and once more after it: the storm was there from beginning to end
    let meanwhile = forked(&storm.events()?).saturating_sub(start);
    guest.note(&format!(
        "in the storm: complete after {:.1} s, {meanwhile} processes meanwhile",
        took.as_secs_f64()
    ));
    ensure!(
        meanwhile > 20,
        "the storm made {meanwhile} processes during the transition"
    );
    storm.wait_for(A_WHILE, "the storm to go on", |events| {
        forked(events) > start + meanwhile
    })?;
    drop(storm);
    let status = guest.ctl().json(["status"])?;
    ensure!(status["patches"][0]["state"] == "enabled", "{status}");
    guest.target().release(Queue::Wait)?;
    reader.wait_ended(A_WHILE)
}

fn among_sleepers(guest: &Guest) -> Result<()> {
    let sleepers = guest.workload(["sleep", "--processes=2", "--threads=1000"])?;
    settle(&sleepers, 2)?;
    let (_reader, task) = guest.stuck_reader(Queue::Wait, 0)?;
    let journal = guest.journal()?;
    let took = apply(guest)?;
    guest.note(&format!(
        "among 2,000 sleepers: complete after {:.1} s",
        took.as_secs_f64()
    ));
    let nudged = journal.nudged()?;
    ensure!(nudged.keys().eq([&task.tid]), "{task:?} was to be nudged: {nudged:?}");
    Ok(())
}
