// SPDX-License-Identifier: GPL-2.0-only
//! One machine with the user's terminal: a shell on its console, or a program that speaks for itself.

use std::fs;

use anyhow::{Result, bail};

use super::accelerator::Accelerator;
use super::image;
use super::machine::{Machine, Terminal};
use super::setup::{Kernel, prepare_beside, userland};
use super::workplace::Workplace;
use crate::plan::{Plan, Purpose};
use crate::report::Report;
use crate::scenarios::{self, Processors};

/// Boots one machine with the user's terminal: a shell, or a program of the registry. Says whether it ended well.
pub fn interact(series: &str, program: Option<&str>, daemon: bool) -> Result<bool> {
    let processors = match program {
        None => Processors::Two,
        Some(name) => scenarios::program(name)?.processors,
    };
    let installed = prepare_beside(&[series.to_owned()], || image::build(daemon))?;
    let kernel = Kernel::newest(series)?;
    let (purpose, terminal) = match program {
        None => (Purpose::Shell, Terminal::Console),
        Some(name) => (Purpose::Program(name.to_owned()), Terminal::Program),
    };
    let size = rustix::termios::tcgetwinsize(std::io::stdout())
        .ok()
        .filter(|size| size.ws_col > 0);
    let plan = Plan {
        purpose,
        daemon,
        terminal: size.map(|size| (size.ws_row, size.ws_col)),
    };
    let folder = Workplace::take(&kernel.series)?;
    let initramfs = folder.join("initramfs");
    image::assemble(&initramfs, &kernel, installed.as_deref(), &plan)?;
    let image = kernel.image()?;
    let accelerator = Accelerator::probe(&image, &userland()?)?;
    let machine = Machine {
        kernel: &image,
        initramfs: &initramfs,
        folder: &folder,
        accelerator,
        terminal,
        processors,
    };
    let status = machine.boot()?.wait()?;
    if program.is_none() {
        return Ok(status.success());
    }
    let reports = fs::read_to_string(machine.reports())?;
    for line in reports.lines() {
        match serde_json::from_str(line)? {
            Report::Failed { reason, .. } | Report::Broken { reason } => bail!("{reason}"),
            Report::Finished => return Ok(true),
            Report::Ready | Report::Started { .. } | Report::Passed { .. } => {}
        }
    }
    bail!("the machine ended early: see {}", machine.console().display())
}
