// SPDX-License-Identifier: GPL-2.0-only
//! A running `workload` program, seen from the scenario: what it told, and waiting for it to tell more.

use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::command::{Call, Running};
use super::task::Task;
use crate::plan::PROGRAMS;
use crate::wait;
use crate::workload::Event;

/// A workload; it is killed when this goes.
#[derive(Debug)]
pub struct Workload {
    running: Running,
}

impl Workload {
    pub(super) fn start<I: IntoIterator<Item = A>, A: Into<String>>(arguments: I) -> Result<Self> {
        Ok(Self {
            running: Call::new(&format!("{PROGRAMS}/workload"), arguments).spawn()?,
        })
    }

    /// The first process; those of `--processes` are its children.
    pub fn pid(&self) -> i32 {
        self.running.child.id().cast_signed()
    }

    /// All it told until now.
    pub fn events(&self) -> Result<Vec<Event>> {
        let (stdout, stderr) = self.running.said()?;
        // A line may be half written.
        let whole = stdout.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).with_context(|| format!("{line:?}, {stderr:?}")))
            .collect()
    }

    /// Waits until what it told satisfies `enough`.
    pub fn wait_for(&self, bound: Duration, what: &str, enough: impl Fn(&[Event]) -> bool) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        wait::until(bound, what, || {
            events = self.events()?;
            Ok(enough(&events))
        })
        .with_context(|| format!("`{}` told {events:?}", self.running.command))?;
        Ok(events)
    }

    /// Waits until so many of its threads are about to read, and names them.
    pub fn readers(&self, count: usize, bound: Duration) -> Result<Vec<Task>> {
        let reading = |events: &[Event]| {
            let mut tasks: Vec<Task> = events
                .iter()
                .filter_map(|event| {
                    if let Event::Reading { pid, tid } = *event {
                        Some(Task { pid, tid })
                    } else {
                        None
                    }
                })
                .collect();
            tasks.sort_unstable();
            tasks.dedup();
            tasks
        };
        let events = self.wait_for(bound, &format!("{count} readers"), |events| {
            reading(events).len() >= count
        })?;
        Ok(reading(&events))
    }

    /// What came of its reads until now: the thread, and the error's number or 0.
    pub fn returned(&self) -> Result<Vec<(Task, i32)>> {
        let returned = |event| match event {
            Event::Returned { pid, tid, errno, .. } => Some((Task { pid, tid }, errno)),
            _ => None,
        };
        Ok(self.events()?.into_iter().filter_map(returned).collect())
    }

    /// Waits for its end; a failure of its own is an error.
    pub fn wait_ended(&mut self, bound: Duration) -> Result<()> {
        let what = format!("`{}` to end", self.running.command);
        let mut status = None;
        wait::until(bound, &what, || {
            status = self.running.child.try_wait()?;
            Ok(status.is_some())
        })?;
        let well = status.is_some_and(|status| status.success());
        ensure!(
            well,
            "`{}`: {status:?}: {:?}",
            self.running.command,
            self.running.said()?.1
        );
        Ok(())
    }
}

impl Drop for Workload {
    fn drop(&mut self) {
        self.running.kill();
    }
}
