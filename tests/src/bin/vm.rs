// SPDX-License-Identifier: GPL-2.0-only
//! The host's program: prepares, boots and follows virtual machines with stock kernels.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser};
use livepatch_tests::host::{interact, prepare, test};

/// The main target.
const MAIN_SERIES: &str = "7.2";

#[derive(Debug, Parser)]
#[command(about = "Virtual machines with stock kernels, for the tests of livepatchd")]
enum Command {
    /// Fetch and build everything a machine is made of.
    Prepare {
        /// Kernel series, such as 6.12.
        #[arg(default_value = MAIN_SERIES)]
        series: Vec<String>,
    },
    /// Run scenarios.
    Test {
        /// Kernel series; may be given several times.
        #[arg(long = "kernel", default_value = MAIN_SERIES)]
        kernels: Vec<String>,
        /// Leave livepatchd out, and run what needs none.
        #[arg(long)]
        no_daemon: bool,
        /// What takes too long for every run, and nothing else.
        #[arg(long)]
        nightly: bool,
        /// Only the scenarios of this file, or with this in their name; several are separated by commas.
        #[arg(default_value = "")]
        filter: String,
    },
    /// Give a root shell in a machine, with livepatchd running and sample patches at hand.
    Shell(One),
    /// Run the demonstration on this terminal.
    Demo(One),
    /// Run the benchmark on this terminal: what takes time, on two processors and on four; then what takes instructions.
    Bench(One),
    /// Run its second part alone: both cores on four processors.
    Transitions(One),
    /// Run its last part alone.
    Instructions(One),
}

#[derive(Debug, Args)]
struct One {
    /// Kernel series.
    #[arg(long = "kernel", default_value = MAIN_SERIES)]
    kernel: String,
    /// Leave livepatchd out.
    #[arg(long)]
    no_daemon: bool,
}

fn main() -> ExitCode {
    match run(Command::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "a program's last word")]
            {
                eprintln!("vm: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

/// Says whether all went well; an error is that it could not be tried.
fn run(command: Command) -> Result<bool> {
    match command {
        Command::Prepare { series } => prepare(&series).map(|()| true),
        Command::Test {
            kernels,
            no_daemon,
            nightly,
            filter,
        } => test(&kernels, &filter, !no_daemon, nightly),
        Command::Shell(one) => interact(&one.kernel, None, !one.no_daemon),
        Command::Demo(one) => interact(&one.kernel, Some("demo"), !one.no_daemon),
        Command::Bench(one) => Ok(interact(&one.kernel, Some("bench"), !one.no_daemon)?
            && interact(&one.kernel, Some("transitions"), !one.no_daemon)?
            && interact(&one.kernel, Some("instructions"), false)?),
        Command::Transitions(one) => interact(&one.kernel, Some("transitions"), !one.no_daemon),
        Command::Instructions(one) => interact(&one.kernel, Some("instructions"), false),
    }
}
