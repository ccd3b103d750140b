// SPDX-License-Identifier: GPL-2.0-only
//! Threads that work beside the ones that are stuck, and tell whether any of them was ever held up.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::{Event, STACK_BYTES, pid};

/// How long a working thread rests between two rounds: short, so that a stop of the process shows as a gap.
const REST: Duration = Duration::from_millis(1);
/// How often working threads tell of themselves.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// Working threads and the one that tells of them.
pub(super) struct Workers {
    threads: Vec<JoinHandle<()>>,
    teller: Option<JoinHandle<Result<()>>>,
}

/// What one thread did since it was told of last.
#[derive(Debug, Default)]
struct Tally {
    rounds: AtomicU64,
    longest_gap_ms: AtomicU64,
    /// When its last round ended, in milliseconds since the start: a gap that has not ended is one too.
    last_ms: AtomicU64,
}

/// Starts so many; they work until `finished`.
pub(super) fn start(count: usize, finished: &Arc<AtomicBool>) -> Result<Workers> {
    let start = Instant::now();
    let tallies: Vec<_> = (0..count).map(|_| Arc::new(Tally::default())).collect();
    let threads = tallies.iter().map(|tally| {
        let (finished, tally) = (finished.clone(), tally.clone());
        let thread = thread::Builder::new().stack_size(STACK_BYTES);
        thread.spawn(move || work(&finished, &tally, start))
    });
    let threads = threads.collect::<io::Result<_>>()?;
    let finished = finished.clone();
    let teller = (count > 0).then(|| thread::spawn(move || tell_progress(&finished, &tallies, start)));
    Ok(Workers { threads, teller })
}

/// Waits for their end.
pub(super) fn end(workers: Workers) -> Result<()> {
    for thread in workers.threads {
        thread.join().ok().context("a working thread panicked")?;
    }
    workers.teller.map_or(Ok(()), |teller| {
        teller.join().ok().context("the telling thread panicked")?
    })
}

fn work(finished: &AtomicBool, tally: &Tally, start: Instant) {
    tally.last_ms.store(millis(start), Ordering::Relaxed);
    while !finished.load(Ordering::Relaxed) {
        thread::sleep(REST);
        let now = millis(start);
        let gap = now.saturating_sub(tally.last_ms.swap(now, Ordering::Relaxed));
        tally.longest_gap_ms.fetch_max(gap, Ordering::Relaxed);
        tally.rounds.fetch_add(1, Ordering::Relaxed);
    }
}

fn tell_progress(finished: &AtomicBool, tallies: &[Arc<Tally>], start: Instant) -> Result<()> {
    while !finished.load(Ordering::Relaxed) {
        thread::sleep(TELL_EVERY);
        let gap = |tally: &Arc<Tally>| {
            let open = millis(start).saturating_sub(tally.last_ms.load(Ordering::Relaxed));
            tally.longest_gap_ms.swap(0, Ordering::Relaxed).max(open)
        };
        let rounds = tallies.iter().map(|tally| tally.rounds.swap(0, Ordering::Relaxed));
        Event::Progress {
            pid: pid(),
            fewest_rounds: rounds.min().unwrap_or(0),
            longest_gap_ms: tallies.iter().map(gap).max().unwrap_or(0),
        }
        .tell()?;
    }
    Ok(())
}

fn millis(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}
