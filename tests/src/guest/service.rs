// SPDX-License-Identifier: GPL-2.0-only
//! The daemon as systemd's service: overridden, killed, started, and what systemd knows of it.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::command::Call;
use crate::wait;

const UNIT: &str = "livepatchd.service";
/// Forgotten at reboot, and taken away when the scenario is over.
pub(super) const OVERRIDES: &str = "/run/systemd/system/livepatchd.service.d";
/// Where the daemon writes down what its successor must know.
const RUNTIME: &str = "/run/livepatchd";
/// What the daemon that dies on demand is told by.
const FAULT: &str = "/run/livepatchd-fault";
/// To a daemon that answers: BPF programs are verified by an emulated processor.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// livepatchd.service.
#[derive(Debug, Clone, Copy)]
pub struct Service;

impl Service {
    /// systemctl with the unit's name.
    pub fn systemctl(self, verb: &str) -> Call {
        Call::new("systemctl", [verb, UNIT]).within(READY_WITHIN)
    }

    /// Adds lines to the unit's `[Service]` section, in place of those of an earlier call. They hold from the next start.
    pub fn override_with(self, lines: &str) -> Result<()> {
        fs::create_dir_all(OVERRIDES).context(OVERRIDES)?;
        let file = Path::new(OVERRIDES).join("test.conf");
        // a scenario may start it more often in a minute than anybody should
        fs::write(file, format!("[Unit]\nStartLimitIntervalSec=0\n[Service]\n{lines}\n"))?;
        Call::new("systemctl", ["daemon-reload"]).ok().map(drop)
    }

    /// The same, and starts it anew.
    pub fn restart_with(self, lines: &str) -> Result<()> {
        self.override_with(lines)?;
        self.restart()
    }

    /// Starts the daemon that dies on demand, at this step (`livepatchd/src/act/fault.rs`); the one after it does not.
    pub fn restart_dying_at(self, step: &str, lines: &str) -> Result<()> {
        self.override_with(&format!(
            "ExecStart=\nExecStart=/usr/libexec/livepatchd-faulty\nEnvironmentFile=-{FAULT}\n{lines}"
        ))?;
        fs::write(FAULT, format!("LIVEPATCHD_FAULT={step}:kill\n")).context(FAULT)?;
        let restarted = self.restart();
        // read at each start
        fs::remove_file(FAULT).context(FAULT)?;
        restarted
    }

    /// SIGTERM, and a new one.
    pub fn restart(self) -> Result<()> {
        self.systemctl("restart").ok().map(drop)
    }

    /// A property of the unit.
    pub fn property(self, name: &str) -> Result<String> {
        let text = Call::new("systemctl", ["show", "--value", "--property", name, UNIT]).ok()?;
        Ok(text.trim().to_owned())
    }

    /// Its process; 0 if there is none.
    pub fn pid(self) -> Result<i32> {
        let text = self.property("MainPID")?;
        text.parse().with_context(|| format!("MainPID={text}"))
    }

    /// Sends a signal to its process, and says which that was.
    pub fn signal(self, signal: Signal) -> Result<i32> {
        let number = self.pid()?;
        let pid = Pid::from_raw(number).filter(|_| number > 0);
        kill_process(pid.context("the daemon is not running")?, signal)?;
        Ok(number)
    }

    /// Waits until another process than this one is ready.
    pub fn wait_succeeded(self, former: i32, bound: Duration) -> Result<Duration> {
        wait::until(bound, &format!("another livepatchd than {former}"), || {
            let shown = Call::new("systemctl", ["show", "--property=MainPID,SubState", UNIT]).ok()?;
            let is = |line: &str| shown.lines().any(|shown| shown == line);
            Ok(is("SubState=running") && !is("MainPID=0") && !is(&format!("MainPID={former}")))
        })
    }

    /// `kill -9`; waits until systemd has started another one and it is ready.
    pub fn kill(self) -> Result<()> {
        let former = self.signal(Signal::KILL)?;
        self.wait_succeeded(former, READY_WITHIN).map(drop)
    }

    /// Fails if a nudge is written down that nobody has finished.
    pub fn ensure_no_nudges_left(self) -> Result<()> {
        let names = names(RUNTIME)?;
        let left = names.iter().find(|name| name.starts_with("nudge-"));
        ensure!(left.is_none(), "{left:?} is left in {RUNTIME}");
        Ok(())
    }

    /// Whether a nudge is under way, or was not finished.
    pub fn is_nudging(self) -> Result<bool> {
        Ok(names(RUNTIME)?.iter().any(|name| name.starts_with("nudge-")))
    }

    /// How many jobs are written down for the next daemon.
    pub fn jobs_written_down(self) -> Result<usize> {
        names(&format!("{RUNTIME}/jobs")).map(|names| names.len())
    }

    /// Fails unless it runs and has always been this process.
    pub fn ensure_still(self, pid: i32) -> Result<()> {
        let now = self.pid()?;
        ensure!(now == pid, "livepatchd was {pid} and is {now}");
        Ok(())
    }
}

/// The names in a folder; none if there is no such folder.
fn names(folder: &str) -> Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.with_context(|| folder.to_owned())?,
    };
    entries
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect()
}
