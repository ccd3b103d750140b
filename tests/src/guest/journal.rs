// SPDX-License-Identifier: GPL-2.0-only
//! The journal from a moment on, with its native fields.

use anyhow::{Context, Result};
use serde_json::{Map, Value};

use super::command::Call;

/// A place in the journal; what comes after it can be read as often as wanted.
#[derive(Debug, Clone)]
pub struct Journal {
    cursor: Option<String>,
}

/// One journal entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    fields: Map<String, Value>,
}

impl Journal {
    pub(super) fn from_now() -> Result<Self> {
        let shown = Call::new("journalctl", ["--quiet", "--lines=0", "--show-cursor"]).ok()?;
        // An empty journal has no cursor: then everything comes after.
        let cursor = shown
            .lines()
            .find_map(|line| line.strip_prefix("-- cursor: "))
            .map(str::to_owned);
        Ok(Self { cursor })
    }

    /// Entries of one unit.
    pub fn of_unit(&self, unit: &str) -> Result<Vec<Entry>> {
        self.entries(&[&format!("--unit={unit}")])
    }

    /// Entries of everything but the kernel.
    pub fn all(&self) -> Result<Vec<Entry>> {
        Ok(self
            .entries(&[])?
            .into_iter()
            .filter(|entry| entry.field("_TRANSPORT") != Some("kernel"))
            .collect())
    }

    /// Entries of the kernel.
    pub fn of_kernel(&self) -> Result<Vec<Entry>> {
        self.entries(&["--dmesg"])
    }

    fn entries(&self, filter: &[&str]) -> Result<Vec<Entry>> {
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

    /// When it was said, in microseconds since boot; when it arrived, for a sender that does not say.
    pub fn micros(&self) -> Option<u64> {
        let when = self
            .field("_SOURCE_MONOTONIC_TIMESTAMP")
            .or(self.field("__MONOTONIC_TIMESTAMP"))?;
        when.parse().ok()
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
