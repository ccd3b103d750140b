// SPDX-License-Identifier: GPL-2.0-only
//! What the host asks of one boot. The host puts it into the initramfs as a file; the guest reads it and obeys.
//!
//! The host alone selects: the guest gets names and runs them in that order, so that both always agree on what is missing.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// Where the plan lies in the guest.
pub const PLAN: &str = "/etc/livepatch-tests/plan.json";
/// The serial port reports go out of. The first port is the kernel's console.
pub const REPORT_PORT: &str = "/dev/ttyS1";
/// The serial port that is the user's terminal while a program runs.
pub const TERMINAL_PORT: &str = "/dev/ttyS2";
/// Where the modules of `tests/modules` and `klp-module` lie in the guest, compiled for the kernel that runs.
pub const SAMPLES: &str = "/root/samples";
/// Where the programs of this package lie in the guest.
pub const PROGRAMS: &str = "/usr/lib/livepatch-tests";

/// Where the scripts of `klp-module/tests` lie in the guest.
pub const KLP_RS_TESTS: &str = "/usr/lib/livepatch-tests/klp_rs";

/// What a boot is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Run these scenarios, by name, and report each.
    Scenarios(Vec<String>),
    /// Run one program of [`crate::scenarios::PROGRAMS`] on the user's terminal.
    Program(String),
    /// Give the user a shell on the console.
    Shell,
}

/// Everything the guest must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// What this boot is for.
    pub purpose: Purpose,
    /// Whether livepatchd is installed in this guest.
    pub daemon: bool,
    /// Rows and columns of the user's terminal, if there is one: no serial line tells them.
    pub terminal: Option<(u16, u16)>,
}

impl Plan {
    /// The plan of the machine we run in.
    pub fn of_this_machine() -> Result<Self> {
        let text = fs::read_to_string(PLAN).context("this is no test machine: it has no plan")?;
        serde_json::from_str(&text).with_context(|| format!("{PLAN} is not of this build"))
    }
}
