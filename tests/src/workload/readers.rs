// SPDX-License-Identifier: GPL-2.0-only
//! Processes and threads that read one file, usually one of the target module's, and tell what became of it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{Event, STACK_BYTES, parent, pid, tid, workers};

/// `workload read FILE`.
#[derive(Debug, Clone, Args)]
pub struct Readers {
    /// The file every reading thread opens and reads to its end.
    file: PathBuf,
    /// Processes, each with its own threads.
    #[arg(long, default_value_t = 1)]
    processes: usize,
    /// Reading threads of each process.
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Threads of each process that do not read but work, and tell whether they were ever held up.
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// Read again, for ever, whatever a read gives.
    #[arg(long)]
    again: bool,
    /// The reading process is a child, and its parent tells of every stop and continuation it is told of.
    #[arg(long)]
    watched: bool,
}

/// Runs until every reading thread has its answer.
pub fn run(readers: &Readers) -> Result<()> {
    if readers.processes > 1 {
        return spread(readers);
    }
    if readers.watched {
        return parent::watch(&child(readers)?);
    }
    let finished = Arc::new(AtomicBool::new(false));
    let workers = workers::start(readers.workers, &finished)?;

    // A single reader is the process itself, as with `cat`.
    if readers.threads == 1 {
        read(&readers.file, readers.again)?;
    } else {
        let threads: Vec<_> = (0..readers.threads)
            .map(|_| {
                let (file, again) = (readers.file.clone(), readers.again);
                thread::Builder::new()
                    .stack_size(STACK_BYTES)
                    .spawn(move || read(&file, again))
            })
            .collect::<std::io::Result<_>>()?;
        Event::Settled {
            pid: pid(),
            threads: threads.len(),
        }
        .tell()?;
        for thread in threads {
            thread.join().ok().context("a reading thread panicked")??;
        }
    }

    finished.store(true, Ordering::Relaxed);
    workers::end(workers)
}

/// The same in so many processes of their own.
fn spread(readers: &Readers) -> Result<()> {
    let children = (0..readers.processes)
        .map(|_| child(readers))
        .collect::<Result<Vec<_>>>()?;
    for mut child in children {
        let status = child.wait()?;
        ensure!(status.success(), "a process of readers ended with {status}");
    }
    Ok(())
}

/// One process with these threads.
fn child(readers: &Readers) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("read").arg(&readers.file);
    command
        .arg(format!("--threads={}", readers.threads))
        .arg(format!("--workers={}", readers.workers));
    command.args(readers.again.then_some("--again"));
    Ok(command.spawn()?)
}

fn read(path: &Path, again: bool) -> Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let mut file = File::open(path).with_context(|| path.display().to_string())?;
        Event::Reading { pid: pid(), tid: tid() }.tell()?;
        // One system call, so that EINTR is seen and not retried.
        let (bytes, errno) = match file.read(&mut buffer) {
            Ok(bytes) => (bytes, 0),
            Err(error) => (0, error.raw_os_error().unwrap_or(-1)),
        };
        Event::Returned {
            pid: pid(),
            tid: tid(),
            bytes,
            errno,
        }
        .tell()?;
        if !again {
            return Ok(());
        }
    }
}
