// SPDX-License-Identifier: GPL-2.0-only
//! `livepatchctl`: what administrators and scripts use. It asks the daemon over D-Bus and changes nothing by itself.
//!
//! Text on standard output is for people and may change; `--json` and the exit codes ([`exit::Exit`]) are stable. What went
//! wrong, progress and notes go to standard error.

mod args;
mod blockers;
mod client;
mod exit;
mod job;
mod monitor;
mod nudge;
mod offline;
mod order;
mod output;
mod progress;
mod status;
mod table;
mod text;
mod wait;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use self::{
    args::{Arguments, Command},
    client::Client,
    exit::{Exit, Failure},
    output::Output,
};

/// Runs the tool with the process's arguments.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let output = Output::new(arguments.json, arguments.no_color);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let exit = match runtime {
        Ok(runtime) => runtime.block_on(run(arguments.command, output)),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot start: {error}"))),
    };
    match exit {
        // what was asked for is done, but its result is not told
        Ok(Exit::Done) if output::failed() => Exit::Failed.into(),
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

async fn run(command: Command, output: Output) -> Result<Exit, Failure> {
    match command {
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "livepatchctl", &mut script);
            output.raw(&script);
            Ok(Exit::Done)
        }
        Command::Status { patch } => status::status(output, patch).await,
        Command::List => status::list(output).await,
        Command::Apply { patch, how } => order::apply(&client().await?, output, &patch, how).await,
        Command::Revert { patch, how } => order::revert(&client().await?, output, &patch, how).await,
        Command::Cancel { patch, wait } => order::cancel(&client().await?, output, patch, wait).await,
        Command::Force { patch, yes, wait } => order::force(&client().await?, output, patch, yes, wait).await,
        Command::Blockers { patch, stacks } => blockers::blockers(&client().await?, output, patch, stacks).await,
        Command::Nudge { patch } => nudge::nudge(&client().await?, output, patch).await,
        Command::Monitor => monitor::monitor(&client().await?, output).await,
    }
}

async fn client() -> Result<Client, Failure> {
    Client::connect().await
}
