// SPDX-License-Identifier: GPL-2.0-only
//! The pass over all tasks without BPF: `/proc/*/task/*/patch_state`, one file per task.
//!
//! It costs a hundred times what the BPF pass does, sees no idle tasks and cannot see tasks of a core that is not the
//! kernel's own. What it cannot read it does not guess: a task whose patch state is hidden makes the pass fail. It does
//! not tell that a stop awaits a task that sleeps uninterruptibly.

use std::{fs, io, path::Path};

use rustix::io::Errno;

use super::{
    freezer::Freezer,
    scan::Found,
    sighting::{Seen, Witness},
    stack::Affected,
};
use crate::model::{
    patch::Core,
    place::Places,
    proc_text::{Stat, Status},
    task::{Scheduling, TaskKey},
};

/// Whether a pass is possible here; the error is a sentence for administrators.
pub fn can_scan(places: &Places, core: Core) -> Result<(), String> {
    if core != Core::Kernel {
        return Err(format!("without BPF the pending tasks of {core} cannot be seen"));
    }
    match fs::read(places.proc.join("self/patch_state")) {
        Ok(_) => Ok(()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            Err("this kernel does not show patch states in /proc, pending tasks cannot be seen without BPF".into())
        }
        Err(err) => Err(format!(
            "/proc/self/patch_state cannot be read ({err}), pending tasks cannot be seen"
        )),
    }
}

/// Visits every task and tells those that have not reached the target.
pub(super) fn pass(places: &Places, affected: &Affected<'_>) -> io::Result<Found> {
    let proc = &places.proc;
    let target = i32::from(affected.direction.enabled());
    let mut witness = Witness::new(places);
    let mut freezer = Freezer::default();
    let mut found = Found::default();
    for tgid in numbers(proc)? {
        let tasks = proc.join(tgid.to_string()).join("task");
        // a process that is gone has no tasks
        for tid in numbers(&tasks).unwrap_or_default() {
            let task = tasks.join(tid.to_string());
            let Some(state) = patch_state(&task)? else {
                continue;
            };
            found.total += 1;
            if is_pending(state, target)
                && let Some(seen) = look(places, &task, &mut freezer)
            {
                found.pending.push(witness.sighting(seen, affected));
            }
        }
    }
    Ok(found)
}

/// How many tasks there are: the number behind the slash in /proc/loadavg (`fs/proc/loadavg.c: loadavg_proc_show`).
pub(super) fn tasks(places: &Places) -> io::Result<u32> {
    let text = fs::read_to_string(places.proc.join("loadavg"))?;
    let number = text
        .split('/')
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no number of tasks in loadavg"))
}

/// Neither idle (`KLP_TRANSITION_IDLE`, -1: outside transitions) nor where it shall be.
fn is_pending(state: i32, target: i32) -> bool {
    state >= 0 && state != target
}

/// A task's patch state; `None` if the task is gone.
fn patch_state(task: &Path) -> io::Result<Option<i32>> {
    match fs::read_to_string(task.join("patch_state")) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(err) => match Errno::from_io_error(&err) {
            Some(Errno::NOENT | Errno::SRCH) => Ok(None),
            _ => Err(err),
        },
    }
}

/// All that /proc tells of one task; `None` if it is gone.
fn look(places: &Places, task: &Path, freezer: &mut Freezer) -> Option<Seen<'static>> {
    let status = Status::parse(&fs::read(task.join("status")).ok()?)?;
    let stat = Stat::parse(&fs::read(task.join("stat")).ok()?)?;
    let scheduling = stat.scheduling();
    Some(Seen {
        key: TaskKey {
            tid: stat.tid,
            start_ticks: stat.start_ticks,
        },
        tgid: status.tgid,
        class: stat.class(status.tgid),
        scheduling,
        stop_pending: status.stop_pending() || scheduling == Scheduling::Stopped,
        traced: status.tracer != 0,
        frozen: freezer.holds(places, task),
        uid: status.uid,
        cgroup: None,
        addresses: None,
        comm: stat.comm,
    })
}

/// The names in a directory that are numbers.
fn numbers(dir: &Path) -> io::Result<Vec<u32>> {
    let entries = fs::read_dir(dir)?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect())
}

#[cfg(test)]
mod tests;
