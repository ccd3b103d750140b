// SPDX-License-Identifier: GPL-2.0-only
//! Helper processes of the scenarios: they read, sleep, spin, fork and trace in the guest, and tell about it.

use anyhow::Result;
use clap::Parser;
use livepatch_tests::workload::{forks, readers, sleepers, spinner, tracer};

#[derive(Debug, Parser)]
enum Work {
    /// Read a file in many threads.
    Read(readers::Readers),
    /// Sleep in many threads.
    Sleep(sleepers::Sleepers),
    /// Run in user space for ever.
    Spin,
    /// Make and end processes as fast as possible.
    Forks(forks::Forks),
    /// Stop a thread as a debugger does.
    Trace(tracer::Tracer),
}

fn main() -> Result<()> {
    match Work::parse() {
        Work::Read(arguments) => readers::run(&arguments),
        Work::Sleep(arguments) => sleepers::run(&arguments),
        Work::Spin => spinner::run(),
        Work::Forks(arguments) => forks::run(&arguments),
        Work::Trace(arguments) => tracer::run(&arguments),
    }
}
