// SPDX-License-Identifier: GPL-2.0-only
//! What the guest tells the host: one JSON object a line on a serial port, in the order in which things happened.

use std::fs::{File, OpenOptions};
use std::io::Write;

use anyhow::{Context, Result};
use rustix::termios;
use serde::{Deserialize, Serialize};

use crate::plan::REPORT_PORT;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The machine is up and takes up its plan.
    Ready,
    /// A scenario begins.
    Started {
        /// The scenario's name.
        name: String,
    },
    /// A scenario ended well, its traces are gone, and the kernel did not complain.
    Passed {
        /// The scenario's name.
        name: String,
        /// How long it took, without the cleaning up.
        seconds: f64,
        /// What it wrote: figures, usually.
        output: String,
    },
    /// A scenario did not end well.
    Failed {
        /// The scenario's name.
        name: String,
        /// In one line.
        reason: String,
        /// What a person needs to find the cause.
        evidence: Evidence,
    },
    /// Nothing that would follow can be believed: the run ends here.
    Broken {
        /// In one line.
        reason: String,
    },
    /// Everything planned was done.
    Finished,
}

/// The logs of one scenario, from its start to the end of its cleaning up.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// What the scenario itself wrote.
    pub output: String,
    /// The kernel's log.
    pub kernel_log: String,
    /// The journal of everything but the kernel.
    pub journal: String,
}

/// The guest's end of the line.
#[derive(Debug)]
pub struct Reporter {
    port: File,
}

impl Reporter {
    /// Opens the port, so that what is written leaves it byte for byte.
    pub fn open() -> Result<Self> {
        let port = OpenOptions::new()
            .read(true)
            .write(true)
            .open(REPORT_PORT)
            .with_context(|| format!("opening {REPORT_PORT}"))?;
        let mut settings = termios::tcgetattr(&port)?;
        settings.make_raw();
        termios::tcsetattr(&port, termios::OptionalActions::Now, &settings)?;
        Ok(Self { port })
    }

    /// Sends one report, and waits until it is out: the machine may end at any time after.
    pub fn send(&mut self, report: &Report) -> Result<()> {
        let mut line = serde_json::to_string(report)?;
        line.push('\n');
        self.port.write_all(line.as_bytes())?;
        termios::tcdrain(&self.port)?;
        Ok(())
    }
}
