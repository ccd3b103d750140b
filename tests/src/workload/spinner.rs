// SPDX-License-Identifier: GPL-2.0-only
//! A process that always runs and never asks the kernel for anything: it moves to a patch at an interrupt, or not at all.

use anyhow::Result;

use super::{Event, pid};

/// Runs until killed.
pub fn run() -> Result<()> {
    Event::Settled { pid: pid(), threads: 0 }.tell()?;
    loop {
        std::hint::spin_loop();
    }
}
