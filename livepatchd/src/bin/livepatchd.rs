// SPDX-License-Identifier: GPL-2.0-only
//! The daemon's entry point: options, journal, loop.

use std::{path::PathBuf, process::ExitCode};

use clap::Parser;
use livepatchd::{config, daemon, journal, model::place::Places};

/// Applies kernel live patches and sees them finish. Started by systemd; spoken to with livepatchctl.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    /// Only finish the nudges that an earlier livepatchd had begun, so that no task stays stopped by it
    #[arg(long)]
    recover: bool,
}

pub(crate) fn main() -> ExitCode {
    let Options { config, recover } = Options::parse();
    journal::start();
    let runtime = std::env::var_os("RUNTIME_DIRECTORY").map(PathBuf::from);
    let places = Places::system(runtime);
    if recover {
        daemon::recover(&places);
        return ExitCode::SUCCESS;
    }
    let setup = daemon::Setup { config, places };
    match daemon::run_to_end(setup) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            tracing::error!("{why}");
            ExitCode::FAILURE
        }
    }
}
