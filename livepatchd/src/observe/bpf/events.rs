// SPDX-License-Identifier: GPL-2.0-only
//! What transitions do and what the kernel thinks of each task, from the ring buffer, as facts.
//!
//! Sleeps until the kernel wakes it: at the start of a transition, at the end of each of its rounds, at its end.
//! Verdicts of a round are read with the round's end, in the order in which the kernel gave them. A record that cannot
//! be read is counted as lost.

use std::io;

use aya::{
    maps::{MapData, PerCpuArray, RingBuf},
    programs::{fentry::FEntryLink, fexit::FExitLink},
};
use livepatch_common::{
    event::{
        CORE_KERNEL, CORE_KLP_RS, KIND_COMPLETED, KIND_FORCED, KIND_REVERSED, KIND_ROUND_ENDED, KIND_STARTED,
        KIND_VERDICT, TransitionRecord, VerdictRecord,
    },
    kernel::{VERDICT_RUNNING, VERDICT_SLEEPING, VERDICT_UNRELIABLE},
    task::known,
};
use tokio::io::{Interest, unix::AsyncFd};

use super::task::{key, text};
use crate::model::{
    fact::{Fact, TransitionEvent},
    patch::Core,
    task::Verdict,
};

/// The ring buffer's map in the object.
pub(super) const RING: &str = "EVENTS";
/// The map in which lost records are counted.
pub(super) const LOST: &str = "LOST";

/// Facts taken in one go: a whole ring buffer of verdicts.
const BATCH: usize = 2048;

/// Keeps a program attached.
#[derive(Debug)]
#[expect(dead_code, reason = "held for their drop, which detaches")]
pub(super) enum Attachment {
    /// At a function's entry.
    Entry(FEntryLink),
    /// At a function's exit.
    Exit(FExitLink),
}

/// Facts that arrived together.
#[derive(Debug, Default)]
pub struct Batch {
    /// In the order in which they happened.
    pub facts: Vec<Fact>,
    /// Records lost since the last batch.
    pub lost: u64,
}

/// The ring buffer with the programs that fill it.
pub struct EventRing {
    /// First, so that nothing writes any more when the buffer goes.
    attached: Vec<Attachment>,
    ring: RingBuf<MapData>,
    lost: PerCpuArray<MapData, u64>,
}

impl EventRing {
    pub(super) fn new(attached: Vec<Attachment>, ring: RingBuf<MapData>, lost: PerCpuArray<MapData, u64>) -> Self {
        Self { attached, ring, lost }
    }

    /// Whether it tells what the kernel's own core does.
    pub fn follows_kernel(&self) -> bool {
        !self.attached.is_empty()
    }

    /// Waits on it from now on; to be called within the runtime.
    pub fn listen(self) -> io::Result<Events> {
        let Self { attached, ring, lost } = self;
        // SAFETY: the ring buffer owns its map's descriptor and neither closes nor replaces it
        let ring = unsafe { AsyncFd::register_with_interest(ring, Interest::READABLE) }.map_err(io::Error::from)?;
        Ok(Events {
            _attached: attached,
            ring,
            lost,
            lost_before: 0,
        })
    }
}

/// The stream of facts.
pub struct Events {
    /// First, as in [`EventRing`].
    _attached: Vec<Attachment>,
    ring: AsyncFd<RingBuf<MapData>>,
    lost: PerCpuArray<MapData, u64>,
    lost_before: u64,
}

impl Events {
    /// Waits for the next facts. Never empty, but for what was lost; may be dropped at any moment without losing any.
    pub async fn next(&mut self) -> io::Result<Batch> {
        loop {
            let mut guard = self.ring.readable_mut().await?;
            let ring = guard.get_inner_mut();
            let mut batch = Batch::default();
            let mut unreadable = 0;
            let mut drained = false;
            while batch.facts.len() < BATCH {
                let Some(record) = ring.next() else {
                    drained = true;
                    break;
                };
                match fact(&record) {
                    Some(fact) => batch.facts.push(fact),
                    None => unreadable += 1,
                }
            }
            if drained {
                guard.clear_ready();
            }
            let dropped = self.dropped();
            batch.lost = unreadable + dropped.saturating_sub(self.lost_before);
            self.lost_before = dropped;
            if !batch.facts.is_empty() || batch.lost > 0 {
                return Ok(batch);
            }
        }
    }

    /// Records that did not fit into the buffer since the programs were loaded.
    fn dropped(&self) -> u64 {
        self.lost
            .get(&0, 0)
            .map_or(self.lost_before, |per_cpu| per_cpu.iter().sum())
    }
}

/// Takes one record of the ring buffer.
fn fact(record: &[u8]) -> Option<Fact> {
    let kind: u32 = bytemuck::pod_read_unaligned(record.get(..4)?);
    if kind == KIND_VERDICT {
        return verdict(&bytemuck::pod_read_unaligned(record.get(..size_of::<VerdictRecord>())?));
    }
    let record: TransitionRecord = bytemuck::pod_read_unaligned(record.get(..size_of::<TransitionRecord>())?);
    let event = match kind {
        KIND_STARTED => TransitionEvent::Started,
        KIND_ROUND_ENDED => TransitionEvent::RoundEnded,
        KIND_COMPLETED => TransitionEvent::Completed,
        KIND_REVERSED => TransitionEvent::Reversed,
        KIND_FORCED => TransitionEvent::Forced,
        _ => return None,
    };
    Some(Fact::Transition {
        core: core(record.core)?,
        event,
    })
}

fn core(number: u32) -> Option<Core> {
    match number {
        CORE_KERNEL => Some(Core::Kernel),
        CORE_KLP_RS => Some(Core::KlpRs),
        _ => None,
    }
}

fn verdict(record: &VerdictRecord) -> Option<Fact> {
    let VerdictRecord {
        core: number,
        verdict,
        start_time,
        tid,
        known,
        comm,
        function,
        ..
    } = record;
    let identity = known::IDS | known::START_TIME;
    if known & identity != identity {
        return None;
    }
    let verdict = match *verdict {
        VERDICT_RUNNING => Verdict::Running,
        VERDICT_UNRELIABLE => Verdict::UnreliableStack,
        VERDICT_SLEEPING => Verdict::SleepingOn(text(function)),
        _ => return None,
    };
    Some(Fact::Verdict {
        core: core(*number)?,
        key: key(*tid, *start_time),
        comm: text(comm),
        verdict,
    })
}

#[cfg(test)]
mod tests;
