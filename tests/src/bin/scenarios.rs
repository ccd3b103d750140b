// SPDX-License-Identifier: GPL-2.0-only
//! The guest's runner. Started by the guest's systemd as `scenarios plan`; starts itself for each scenario.

use anyhow::Result;
use clap::Parser;
use livepatch_tests::guest::{Guest, run_one, run_plan};
use livepatch_tests::scenarios;

#[derive(Debug, Parser)]
enum Arguments {
    /// Carry out this machine's plan.
    Plan,
    /// Run one scenario, here and now, with no cleaning up.
    One {
        /// Its whole name.
        name: String,
    },
    /// Run one program.
    Program {
        /// Its name.
        name: String,
    },
}

fn main() -> Result<()> {
    match Arguments::parse() {
        Arguments::Plan => run_plan(),
        Arguments::One { name } => {
            // One line, the last: the runner makes it the verdict.
            #[expect(clippy::print_stderr, reason = "this is the scenario's word to the runner")]
            run_one(&name)
                .inspect_err(|error| eprintln!("{}", format!("{error:#}").replace('\n', " ")))
                .or_else(|_| std::process::exit(1))
        }
        Arguments::Program { name } => (scenarios::program(&name)?.run)(&Guest::default()),
    }
}
