// SPDX-License-Identifier: GPL-2.0-only
//! Follows one machine from boot to end: each scenario planned gets exactly one verdict, whatever happens to the machine.

use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::console::{Tail, is_fatal};
use super::machine::Machine;
use crate::report::{Evidence, Report};
use crate::scenarios::Scenario;

/// To the runner's first word: a second on KVM, a dozen emulated, and the host may be busy.
const BOOT_WITHIN: Duration = Duration::from_secs(240);
/// Between scenarios: cleaning up, with every bound in it run out, and evidence through a slow port.
const CLEANING_WITHIN: Duration = Duration::from_secs(240);
/// From a marker on the console to the end: what the kernel still prints.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// How often files are looked at.
const PACE: Duration = Duration::from_millis(20);

/// What became of one scenario.
#[derive(Debug)]
pub(super) enum Verdict {
    Passed { name: String, seconds: f64, output: String },
    Failed { name: String, reason: String, left: Left },
}

/// What a failure left to look at.
#[derive(Debug)]
pub(super) enum Left {
    /// The guest's logs.
    Logs(Evidence),
    /// Nothing but what the console shows.
    Console,
    /// It was never begun: another failure tells all.
    Nothing,
}

/// Follows a machine that was just booted; tells each verdict as it falls.
pub(super) fn follow(
    mut qemu: Child,
    machine: &Machine<'_>,
    planned: &[&Scenario],
    mut tell: impl FnMut(Verdict) -> Result<()>,
) -> Result<()> {
    let mut told = 0;
    let end = follow_reports(&mut qemu, machine, planned, |verdict| {
        told += 1;
        tell(verdict)
    });
    // It may have ended by itself.
    let _ = qemu.kill();
    qemu.wait()?;
    let reason = match end? {
        None if told == planned.len() => return Ok(()),
        None => "the machine ended early".to_owned(),
        Some(reason) => reason,
    };
    // The one that was running when it happened, and all that come after.
    for (number, scenario) in planned.iter().skip(told).enumerate() {
        let (reason, left) = match number {
            0 => (reason.clone(), Left::Console),
            _ => ("not run".to_owned(), Left::Nothing),
        };
        let name = scenario.name.to_owned();
        tell(Verdict::Failed { name, reason, left })?;
    }
    if told == planned.len() {
        anyhow::bail!("after the last scenario: {reason}");
    }
    Ok(())
}

/// Gives the reason for an early end, or none if the machine finished its plan.
fn follow_reports(
    qemu: &mut Child,
    machine: &Machine<'_>,
    planned: &[&Scenario],
    mut tell: impl FnMut(Verdict) -> Result<()>,
) -> Result<Option<String>> {
    let mut reports = Tail::of(&machine.reports())?;
    let mut console = Tail::of(&machine.console())?;
    let mut waiting_for = "the machine to boot".to_owned();
    let mut deadline = Instant::now() + BOOT_WITHIN;
    let mut fatal: Option<String> = None;
    loop {
        let ended = qemu.try_wait()?.is_some();
        for line in console.lines()? {
            if fatal.is_none() && is_fatal(&line) {
                fatal = Some(line);
                deadline = Instant::now() + LAST_WORDS;
            }
        }
        for line in reports.lines()? {
            match serde_json::from_str(&line).with_context(|| format!("the guest reports {line:?}"))? {
                Report::Ready => {}
                Report::Started { name } => {
                    let bound = planned
                        .iter()
                        .find(|scenario| scenario.name == name)
                        .map_or(Duration::ZERO, |scenario| scenario.bound);
                    deadline = Instant::now() + bound + CLEANING_WITHIN;
                    waiting_for = format!("\"{name}\"");
                }
                Report::Passed { name, seconds, output } => tell(Verdict::Passed { name, seconds, output })?,
                Report::Failed { name, reason, evidence } => tell(Verdict::Failed {
                    name,
                    reason,
                    left: Left::Logs(evidence),
                })?,
                Report::Broken { reason } => return Ok(Some(reason)),
                Report::Finished => return Ok(fatal.map(|line| format!("the kernel said: {line}"))),
            }
        }
        if ended || Instant::now() > deadline {
            return Ok(Some(match fatal {
                Some(line) => format!("the kernel said: {line}"),
                None if ended => "the machine ended by itself".to_owned(),
                None => format!("no word in time while waiting for {waiting_for}"),
            }));
        }
        thread::sleep(PACE);
    }
}
