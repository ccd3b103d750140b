// SPDX-License-Identifier: GPL-2.0-only
//! Anchors: the machine and the workloads bear the crowds that other scenarios and the benchmark need.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;

use super::{Kernels, Scenario};
use crate::guest::{Guest, Queue, Task};
use crate::workload::Event;

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
    let settled = |events: &[Event]| {
        events
            .iter()
            .filter(|event| matches!(event, Event::Settled { .. }))
            .count()
            == 20
    };
    sleepers.wait_for(Duration::from_secs(120), "20 processes of sleepers", settled)?;
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
    let count = storm
        .events()?
        .iter()
        .filter_map(|event| {
            if let Event::Forked { count } = event {
                Some(*count)
            } else {
                None
            }
        })
        .max();
    guest.note(&format!("{} processes in 3 s", count.unwrap_or(0)));
    ensure!(count > Some(50), "made {count:?}");
    Ok(())
}

fn a_stop_shows(guest: &Guest) -> Result<()> {
    let target = guest.load_target()?;
    let mut process = guest.workload(["read", &Queue::Wait.file(), "--workers=7"])?;
    target.wait_for_sleepers(Queue::Wait, 1, A_WHILE)?;
    let gap = |events: &[Event]| {
        let told = events.iter().rev().find_map(|event| {
            if let Event::Progress { longest_gap_ms, .. } = event {
                Some(*longest_gap_ms)
            } else {
                None
            }
        });
        told.unwrap_or(0)
    };
    process.wait_for(A_WHILE, "word of the working threads", |events| gap(events) > 0)?;
    let process_as_one = Task::process(process.pid());
    process_as_one.signal(Signal::STOP)?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(
        process_as_one.state()? == 'T',
        "its state is {}",
        process_as_one.state()?
    );
    process_as_one.signal(Signal::CONT)?;
    process.wait_for(A_WHILE, "a gap of two seconds", |events| gap(events) >= 1900)?;
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
