// SPDX-License-Identifier: GPL-2.0-only
//! Many threads that only sleep: the crowd a scan has to walk past. They hold no transition back.

use std::process::Command;
use std::thread;

use anyhow::{Result, ensure};
use clap::Args;

use super::{Event, STACK_BYTES, pid};

/// `workload sleep`.
#[derive(Debug, Clone, Args)]
pub struct Sleepers {
    /// Processes, each with its own threads. A process of more than some 10,000 threads runs out of mappings.
    #[arg(long, default_value_t = 1)]
    processes: usize,
    /// Sleeping threads of each process.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

/// Sleeps until killed.
pub fn run(sleepers: &Sleepers) -> Result<()> {
    if sleepers.processes > 1 {
        let program = std::env::current_exe()?;
        let children: Vec<_> = (0..sleepers.processes)
            .map(|_| {
                Command::new(&program)
                    .arg("sleep")
                    .arg(format!("--threads={}", sleepers.threads))
                    .spawn()
            })
            .collect::<std::io::Result<_>>()?;
        for mut child in children {
            let status = child.wait()?;
            ensure!(status.success(), "a process of sleepers ended with {status}");
        }
        return Ok(());
    }
    for _ in 0..sleepers.threads {
        thread::Builder::new().stack_size(STACK_BYTES).spawn(sleep)?;
    }
    Event::Settled {
        pid: pid(),
        threads: sleepers.threads,
    }
    .tell()?;
    sleep();
    Ok(())
}

fn sleep() {
    loop {
        // May return without a reason.
        thread::park();
    }
}
