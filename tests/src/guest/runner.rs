// SPDX-License-Identifier: GPL-2.0-only
//! The program of the machine: takes up the plan, runs each scenario in a process and a control group of its own, cleans
//! up after it, and reports.
//!
//! A scenario passes when its process ends well, everything can be brought back, and the kernel has not complained.

use std::fs;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use rustix::termios::{self, Winsize};

use super::Guest;
use super::cleanup::{Pristine, start_daemon};
use super::command::Call;
use super::journal::Journal;
use super::kernel_log::KernelLog;
use super::scope::Scope;
use crate::plan::{PROGRAMS, Plan, Purpose, TERMINAL_PORT};
use crate::report::{Evidence, Report, Reporter};
use crate::scenarios::{self, Scenario};

/// So much of each log goes out; the port is slow, and the end is what tells.
const EVIDENCE_BYTES: usize = 96 * 1024;

/// Runs this machine's plan to its end.
pub fn run_plan() -> Result<()> {
    let mut reporter = Reporter::open()?;
    let plan = Plan::of_this_machine()?;
    reporter.send(&Report::Ready)?;
    let done = match &plan.purpose {
        Purpose::Scenarios(names) => run_scenarios(&plan, names, &mut reporter),
        Purpose::Program(name) => run_program(&plan, name, &mut reporter),
        Purpose::Shell => bail!("a shell needs no runner"),
    };
    match done {
        Ok(()) => reporter.send(&Report::Finished),
        Err(error) => reporter.send(&Report::Broken {
            reason: one_line(&error),
        }),
    }
}

/// One scenario, in the process that the runner made for it. Its messages are what stands in the verdict.
pub fn run_one(name: &str) -> Result<()> {
    fs::write(Scope::create()?.entrance(), "0").context("entering the scenario's control group")?;
    (scenarios::find(name)?.run)(&Guest::default())
}

fn run_scenarios(plan: &Plan, names: &[String], reporter: &mut Reporter) -> Result<()> {
    let scope = Scope::create()?;
    let mut pristine = Pristine::remember(plan.daemon)?;
    // It was started with the machine; each scenario begins without it, or with a fresh one.
    pristine.restore(&scope).context("before the first scenario")?;
    for name in names {
        let scenario = scenarios::find(name)?;
        reporter.send(&Report::Started { name: name.clone() })?;
        let (journal, mut kernel_log) = (Journal::from_now()?, KernelLog::from_now()?);
        let started = if scenario.daemon { start_daemon() } else { Ok(()) };
        let start = Instant::now();
        let (output, failure) = match started {
            Ok(()) => run_apart(scenario),
            Err(error) => (String::new(), Some(one_line(&error))),
        };
        let seconds = start.elapsed().as_secs_f64();
        if scenario.leaves_modules {
            pristine.keep_modules()?;
        }
        let restored = pristine.restore(&scope);

        let reason = match (failure, &restored, kernel_log.complaint()?) {
            (Some(reason), _, _) => Some(reason),
            (None, Err(error), _) => Some(format!("cleaning up: {}", one_line(error))),
            (None, Ok(()), Some(complaint)) => Some(format!("the kernel complained: {complaint}")),
            (None, Ok(()), None) => None,
        };
        let report = match reason {
            None => Report::Passed {
                name: name.clone(),
                seconds,
                output,
            },
            Some(reason) => {
                let evidence = Evidence {
                    output: tail(output),
                    kernel_log: tail(kernel_log.lines()?.join("\n")),
                    journal: tail(journal.all()?.iter().map(|entry| entry.line() + "\n").collect()),
                };
                Report::Failed {
                    name: name.clone(),
                    reason,
                    evidence,
                }
            }
        };
        reporter.send(&report)?;
        restored.with_context(|| format!("cleaning up after \"{name}\""))?;
    }
    Ok(())
}

/// Gives what the scenario wrote, and why it failed if it did.
fn run_apart(scenario: &Scenario) -> (String, Option<String>) {
    let call = Call::new(&format!("{PROGRAMS}/scenarios"), ["one", scenario.name]).within(scenario.bound);
    match call.run() {
        Err(error) => (
            format!("{error:#}"),
            Some(format!("not done within {} s", scenario.bound.as_secs())),
        ),
        Ok(output) => {
            let reason = output.stderr.lines().last().unwrap_or("no word of a reason").to_owned();
            (output.stdout + &output.stderr, (output.code != 0).then_some(reason))
        }
    }
}

/// A program talks to the user itself; its end is all we report.
fn run_program(plan: &Plan, name: &str, reporter: &mut Reporter) -> Result<()> {
    let terminal = fs::OpenOptions::new().read(true).write(true).open(TERMINAL_PORT)?;
    if let Some((ws_row, ws_col)) = plan.terminal {
        termios::tcsetwinsize(
            &terminal,
            Winsize {
                ws_row,
                ws_col,
                ws_xpixel: 0,
                ws_ypixel: 0,
            },
        )?;
    }
    let status = std::process::Command::new(format!("{PROGRAMS}/scenarios"))
        .args(["program", name])
        .env("TERM", "xterm")
        .stdin(terminal.try_clone()?)
        .stdout(terminal.try_clone()?)
        .stderr(terminal.try_clone()?)
        .status()?;
    termios::tcdrain(&terminal)?;
    let report = if status.success() {
        Report::Passed {
            name: name.to_owned(),
            seconds: 0.0,
            output: String::new(),
        }
    } else {
        Report::Failed {
            name: name.to_owned(),
            reason: status.to_string(),
            evidence: Evidence::default(),
        }
    };
    reporter.send(&report)
}

fn one_line(error: &anyhow::Error) -> String {
    format!("{error:#}").replace('\n', " ")
}

fn tail(text: String) -> String {
    let Some(cut) = text.len().checked_sub(EVIDENCE_BYTES) else {
        return text;
    };
    let start = text[..]
        .char_indices()
        .map(|(index, _)| index)
        .find(|index| *index >= cut)
        .unwrap_or(0);
    format!("(…)\n{}", &text[start..])
}
