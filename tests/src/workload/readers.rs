// SPDX-License-Identifier: GPL-2.0-only
//! Processes and threads that read one file, usually one of the target module's, and tell what became of it.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;

use super::{Event, STACK_BYTES, pid, tid};

/// How long a working thread rests between two rounds: short, so that a stop of the process shows as a gap.
const REST: Duration = Duration::from_millis(1);
/// How often working threads tell of themselves.
const TELL_EVERY: Duration = Duration::from_millis(200);

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
}

/// Runs until every reading thread has its answer.
pub fn run(readers: &Readers) -> Result<()> {
    if readers.processes > 1 {
        return spread(readers);
    }
    let finished = Arc::new(AtomicBool::new(false));
    let rounds = Arc::new(AtomicU64::new(0));
    let longest_gap = Arc::new(AtomicU64::new(0));
    let workers: Vec<_> = (0..readers.workers)
        .map(|_| {
            let (finished, rounds, longest_gap) = (finished.clone(), rounds.clone(), longest_gap.clone());
            thread::Builder::new()
                .stack_size(STACK_BYTES)
                .spawn(move || work(&finished, &rounds, &longest_gap))
        })
        .collect::<std::io::Result<_>>()?;
    let teller = (readers.workers > 0).then(|| {
        let finished = finished.clone();
        thread::spawn(move || tell_progress(&finished, &rounds, &longest_gap))
    });

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
    for worker in workers {
        worker.join().ok().context("a working thread panicked")?;
    }
    teller.map_or(Ok(()), |teller| {
        teller.join().ok().context("the telling thread panicked")?
    })
}

/// The same in so many processes of their own.
fn spread(readers: &Readers) -> Result<()> {
    let program = std::env::current_exe()?;
    let children: Vec<_> = (0..readers.processes)
        .map(|_| {
            let mut command = Command::new(&program);
            command.arg("read").arg(&readers.file);
            command
                .arg(format!("--threads={}", readers.threads))
                .arg(format!("--workers={}", readers.workers));
            command.args(readers.again.then_some("--again"));
            command.spawn()
        })
        .collect::<std::io::Result<_>>()?;
    for mut child in children {
        let status = child.wait()?;
        ensure!(status.success(), "a process of readers ended with {status}");
    }
    Ok(())
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

fn work(finished: &AtomicBool, rounds: &AtomicU64, longest_gap: &AtomicU64) {
    let mut last = Instant::now();
    while !finished.load(Ordering::Relaxed) {
        thread::sleep(REST);
        rounds.fetch_add(1, Ordering::Relaxed);
        let gap = u64::try_from(last.elapsed().as_millis()).unwrap_or(u64::MAX);
        longest_gap.fetch_max(gap, Ordering::Relaxed);
        last = Instant::now();
    }
}

fn tell_progress(finished: &AtomicBool, rounds: &AtomicU64, longest_gap: &AtomicU64) -> Result<()> {
    while !finished.load(Ordering::Relaxed) {
        thread::sleep(TELL_EVERY);
        let (rounds, longest_gap_ms) = (rounds.load(Ordering::Relaxed), longest_gap.load(Ordering::Relaxed));
        Event::Progress {
            pid: pid(),
            rounds,
            longest_gap_ms,
        }
        .tell()?;
    }
    Ok(())
}
