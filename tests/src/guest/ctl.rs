// SPDX-License-Identifier: GPL-2.0-only
//! livepatchctl, as a scenario calls it.

use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use super::command::Call;
use crate::wait;

/// The command-line client.
#[derive(Debug, Clone, Copy)]
pub struct Ctl;

impl Ctl {
    /// Any call; bound, user and environment can be set before it runs.
    pub fn call<I: IntoIterator<Item = A>, A: Into<String>>(self, arguments: I) -> Call {
        Call::new("livepatchctl", arguments)
    }

    /// A call with `--json` that must succeed, or tell that something is stalled; gives what it printed.
    pub fn json<I: IntoIterator<Item = A>, A: Into<String>>(self, arguments: I) -> Result<Value> {
        let words = arguments.into_iter().map(Into::into).chain(["--json".to_owned()]);
        let told = self.call(words).run()?;
        let stalled = told.code == 3 && !told.stdout.is_empty();
        let text = if stalled { told.stdout } else { told.ok()? };
        serde_json::from_str(&text).with_context(|| format!("livepatchctl printed {text:?}"))
    }

    /// One patch of `status --json`.
    pub fn patch(self, name: &str) -> Result<Option<Value>> {
        let status = self.json(["status"])?;
        let patches = status["patches"].as_array().cloned().unwrap_or_default();
        Ok(patches.into_iter().find(|patch| patch["name"] == name))
    }

    /// Waits until a patch is in this state; `gone` for none.
    pub fn wait_for_state(self, patch: &str, state: &str, bound: Duration) -> Result<Duration> {
        let mut last = String::new();
        let waited = wait::until(bound, &format!("{patch} to be told as {state}"), || {
            let seen = self.patch(patch)?;
            last = seen.map_or("gone".to_owned(), |seen| {
                seen["state"].as_str().unwrap_or_default().to_owned()
            });
            Ok(last == state)
        });
        waited.with_context(|| format!("it was told as {last}"))
    }

    /// Waits until a blocker of a patch is as wanted, and gives it.
    pub fn wait_for_blocker(self, patch: &str, bound: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let (mut found, mut last) = (Value::Null, Value::Null);
        let waited = wait::until(bound, &format!("a blocker of {patch}"), || {
            // The patch may not be there yet.
            let told = self.call(["blockers", patch, "--json"]).run()?;
            last = serde_json::from_str(&told.stdout).unwrap_or_else(|_| told.stderr.into());
            let blockers = last.as_array().map_or(&[][..], Vec::as_slice);
            found = blockers
                .iter()
                .find(|blocker| wanted(blocker))
                .cloned()
                .unwrap_or_default();
            Ok(!found.is_null())
        });
        waited.with_context(|| format!("the last blockers were {last}"))?;
        Ok(found)
    }
}
