// SPDX-License-Identifier: GPL-2.0-only
//! livepatchctl, as a scenario calls it.

use anyhow::{Context, Result};
use serde_json::Value;

use super::command::Call;

/// The command-line client.
#[derive(Debug, Clone, Copy)]
pub struct Ctl;

impl Ctl {
    /// Any call; bound, user and environment can be set before it runs.
    pub fn call<I: IntoIterator<Item = A>, A: Into<String>>(self, arguments: I) -> Call {
        Call::new("livepatchctl", arguments)
    }

    /// A call with `--json` that must succeed; gives what it printed.
    pub fn json<I: IntoIterator<Item = A>, A: Into<String>>(self, arguments: I) -> Result<Value> {
        let words = arguments.into_iter().map(Into::into).chain(["--json".to_owned()]);
        let text = self.call(words).ok()?;
        serde_json::from_str(&text).with_context(|| format!("livepatchctl printed {text:?}"))
    }

    /// One patch of `status --json`.
    pub fn patch(self, name: &str) -> Result<Option<Value>> {
        let status = self.json(["status"])?;
        let patches = status["patches"].as_array().cloned().unwrap_or_default();
        Ok(patches.into_iter().find(|patch| patch["name"] == name))
    }
}
