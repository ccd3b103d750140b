// SPDX-License-Identifier: GPL-2.0-only
//! The journal from a moment on, with its native fields.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::command::Call;
use super::kernel_log;
use super::task::Task;
use crate::wait;

/// A place in the journal; what comes after it can be read as often as wanted.
#[derive(Debug, Clone)]
pub struct Journal {
    cursor: Option<String>,
    /// How many microseconds the kernel log's clock is behind the monotonic one, once it was asked for.
    behind: OnceLock<i64>,
}

/// One journal entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    fields: Map<String, Value>,
    /// How many microseconds its clock is behind the monotonic one.
    behind: i64,
}

impl Journal {
    pub(super) fn from_now() -> Result<Self> {
        let shown = Call::new("journalctl", ["--quiet", "--lines=0", "--show-cursor"]).ok()?;
        // An empty journal has no cursor: then everything comes after.
        let cursor = shown
            .lines()
            .find_map(|line| line.strip_prefix("-- cursor: "))
            .map(str::to_owned);
        let behind = OnceLock::new();
        Ok(Self { cursor, behind })
    }

    /// Entries of one unit.
    pub fn of_unit(&self, unit: &str) -> Result<Vec<Entry>> {
        self.entries(&[&format!("--unit={unit}")], 0)
    }

    /// Entries of everything but the kernel.
    pub fn all(&self) -> Result<Vec<Entry>> {
        Ok(self
            .entries(&[], 0)?
            .into_iter()
            .filter(|entry| entry.field("_TRANSPORT") != Some("kernel"))
            .collect())
    }

    /// What the daemon told of its nudges.
    pub fn nudges(&self) -> Result<Vec<Entry>> {
        let entries = self.of_unit("livepatchd")?;
        Ok(entries
            .into_iter()
            .filter(|entry| entry.message().ends_with("; nudged"))
            .collect())
    }

    /// Threads that the daemon nudged, and how often each.
    pub fn nudged(&self) -> Result<BTreeMap<i32, u32>> {
        let mut nudged = BTreeMap::new();
        for entry in self.of_unit("livepatchd")? {
            if entry.message().ends_with("; nudged") {
                let tid = entry.field("LIVEPATCH_TID").context("a nudge of nobody")?;
                *nudged.entry(tid.parse()?).or_insert(0) += 1;
            }
        }
        Ok(nudged)
    }

    /// What the daemon first told of a thread that holds a transition back: that it does, or that it was nudged.
    pub fn blocker(&self, task: Task) -> Result<Entry> {
        let (entries, tid) = (self.of_unit("livepatchd")?, task.tid.to_string());
        let about =
            |entry: &Entry| entry.field("LIVEPATCH_REASON").is_some() && entry.field("LIVEPATCH_TID") == Some(&tid);
        entries
            .into_iter()
            .find(about)
            .with_context(|| format!("nothing was told of {task:?}"))
    }

    /// Waits until the daemon has told a line that contains this.
    pub fn wait_for(&self, words: &str, bound: Duration) -> Result<Entry> {
        let mut found = None;
        wait::until(bound, &format!("livepatchd to say {words:?}"), || {
            let mut entries = self.of_unit("livepatchd")?.into_iter();
            found = entries.find(|entry| entry.message().contains(words));
            Ok(found.is_some())
        })?;
        found.context("it was there a moment ago")
    }

    /// The results of the jobs of a patch, as the daemon told them.
    pub fn outcomes(&self, patch: &str) -> Result<Vec<String>> {
        let entries = self.of_unit("livepatchd")?;
        let of_patch = entries
            .iter()
            .filter(|entry| entry.field("LIVEPATCH_PATCH") == Some(patch));
        let results = of_patch.filter_map(|entry| entry.field("LIVEPATCH_RESULT"));
        Ok(results.map(str::to_owned).collect())
    }

    /// Waits until the result of a job of a patch is told; gives the last one.
    pub fn wait_for_outcome(&self, patch: &str, bound: Duration) -> Result<String> {
        let mut last = None;
        wait::until(bound, &format!("the outcome of a job of {patch}"), || {
            last = self.outcomes(patch)?.pop();
            Ok(last.is_some())
        })?;
        last.context("no outcome")
    }

    /// Entries of the kernel.
    pub fn of_kernel(&self) -> Result<Vec<Entry>> {
        if self.behind.get().is_none() {
            let _ = self.behind.set(kernel_log::behind()?);
        }
        let behind = self.behind.get().copied().unwrap_or_default();
        self.entries(&["--dmesg"], behind)
    }

    fn entries(&self, filter: &[&str], behind: i64) -> Result<Vec<Entry>> {
        // What was sent before is written before we read.
        Call::new("journalctl", ["--sync"]).ok()?;
        let mut arguments = vec!["--quiet", "--output=json", "--all"];
        arguments.extend(filter);
        let after = self.cursor.as_ref().map(|cursor| format!("--after-cursor={cursor}"));
        arguments.extend(after.as_deref());
        let shown = Call::new("journalctl", arguments).ok()?;
        shown
            .lines()
            .map(|line| {
                Ok(Entry {
                    fields: serde_json::from_str(line).context("journal entry")?,
                    behind,
                })
            })
            .collect()
    }
}

impl Entry {
    /// A field's text; none when there is no such field, or it is no text.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.get(name)?.as_str()
    }

    /// When it was said, in microseconds of the monotonic clock; when it arrived, for a sender that does not say.
    pub fn micros(&self) -> Option<u64> {
        let when = self
            .field("_SOURCE_MONOTONIC_TIMESTAMP")
            .or(self.field("__MONOTONIC_TIMESTAMP"))?;
        when.parse::<u64>().ok()?.checked_add_signed(self.behind)
    }

    /// The line a person reads.
    pub fn message(&self) -> &str {
        self.field("MESSAGE").unwrap_or_default()
    }

    /// `livepatchd[212]: lp: applied`.
    pub fn line(&self) -> String {
        let sender = self.field("SYSLOG_IDENTIFIER").or(self.field("_COMM")).unwrap_or("?");
        format!("{sender}[{}]: {}", self.field("_PID").unwrap_or("?"), self.message())
    }
}
