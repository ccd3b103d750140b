// SPDX-License-Identifier: GPL-2.0-only
//! Pending tasks without BPF: `/proc/*/task/*/patch_state`, one file per task. A few that are known by number are looked at
//! alone, which no other way does for less. A pass over all tasks costs a hundred times what the BPF pass does.
//!
//! It sees no idle tasks and cannot see tasks of a core that is not the kernel's own. What it cannot read it does not
//! guess: a task whose patch state is hidden makes the scan fail.

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
    task::{Scheduling, Sighting, TaskKey},
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
    let mut search = Search::new(places, affected);
    let mut found = Found::default();
    for tgid in numbers(&places.proc)? {
        let tasks = places.proc.join(tgid.to_string()).join("task");
        // a process that is gone has no tasks
        for tid in numbers(&tasks).unwrap_or_default() {
            let Some(state) = patch_state(&tasks.join(tid.to_string()))? else {
                continue;
            };
            found.total += 1;
            found
                .pending
                .extend(search.pending(&tasks.join(tid.to_string()), state));
        }
    }
    Ok(found)
}

/// Visits these tasks only.
pub(super) fn among(places: &Places, affected: &Affected<'_>, among: &[TaskKey]) -> io::Result<Found> {
    let mut search = Search::new(places, affected);
    let mut found = Found {
        pending: Vec::new(),
        total: tasks(places)?,
    };
    for key in among {
        // a thread's own number leads to its process, too (fs/proc/base.c: proc_pid_lookup)
        let task = places.proc.join(format!("{0}/task/{0}", key.tid));
        let Some(state) = patch_state(&task)? else {
            continue;
        };
        let pending = search.pending(&task, state);
        // another one may have its number by now
        found.pending.extend(pending.filter(|sighting| sighting.key == *key));
    }
    Ok(found)
}

/// How many tasks there are: the number behind the slash in /proc/loadavg (`fs/proc/loadavg.c: loadavg_proc_show`).
fn tasks(places: &Places) -> io::Result<u32> {
    let text = fs::read_to_string(places.proc.join("loadavg"))?;
    let number = text
        .split('/')
        .nth(1)
        .and_then(|rest| rest.split(' ').next()?.parse().ok());
    number.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no number of tasks in loadavg"))
}

/// What is remembered during one scan.
struct Search<'a> {
    places: &'a Places,
    affected: &'a Affected<'a>,
    target: i32,
    witness: Witness<'a>,
    freezer: Freezer,
}

impl<'a> Search<'a> {
    fn new(places: &'a Places, affected: &'a Affected<'a>) -> Self {
        Self {
            places,
            affected,
            target: i32::from(affected.direction.enabled()),
            witness: Witness::new(places),
            freezer: Freezer::default(),
        }
    }

    /// The task with this directory, if it is pending in this state and there still.
    fn pending(&mut self, task: &Path, state: i32) -> Option<Sighting> {
        if !is_pending(state, self.target) {
            return None;
        }
        let seen = look(self.places, task, &mut self.freezer)?;
        Some(self.witness.sighting(seen, self.affected))
    }
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
