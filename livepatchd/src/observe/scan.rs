// SPDX-License-Identifier: GPL-2.0-only
//! Finding the tasks that hold a transition back, by the best means there are: one pass of the BPF iterator, else /proc.
//!
//! Both find the same tasks; unit and stack are read from /proc for those few only. Synchronous: it runs where blocking
//! is allowed.

use super::{
    bpf,
    stack::{self, Affected},
    unit::Units,
};
use crate::model::{patch::Core, place::Places, task::Sighting};

/// Stacks read in one pass. More tasks than that hardly ever block at once, and when they do, the first ones explain the
/// others; those beyond are explained by the kernel's verdict, or in a later pass.
const STACKS: usize = 256;

/// What a pass found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Tasks that have not reached the target.
    pub pending: Vec<Sighting>,
    /// Tasks visited in all.
    pub visited: u32,
}

/// Why a pass found nothing.
#[derive(Debug, thiserror::Error)]
pub enum ScanFailed {
    /// The iterator did not answer.
    #[error(transparent)]
    Bpf(#[from] bpf::scan::ScanError),
}

/// Finds pending tasks.
pub struct Scanner {
    places: Places,
    by_bpf: Option<bpf::scan::Scanner>,
    units: Units,
}

impl Scanner {
    /// A scanner that reads /proc.
    pub fn new(places: Places) -> Self {
        Self {
            places,
            by_bpf: None,
            units: Units::default(),
        }
    }

    /// From now on asks the kernel instead.
    pub fn use_bpf(&mut self, scanner: bpf::scan::Scanner) {
        self.by_bpf = Some(scanner);
    }

    /// Finds the tasks that have not reached the target of this core's transition.
    pub fn pending(&mut self, _core: Core, affected: &Affected<'_>) -> Result<Found, ScanFailed> {
        let Self { places, by_bpf, units } = self;
        let Some(by_bpf) = by_bpf else {
            return Ok(Found::default());
        };
        let pass = by_bpf.pass(bpf::scan::Question::Pending(affected.direction))?;
        let own = std::process::id();
        let pending = pass.tasks.iter().enumerate().map(|(nth, task)| {
            let (key, tgid) = (task.key(), task.tgid());
            let stack = if nth < STACKS {
                stack::read(places, tgid, key.tid)
            } else {
                Vec::new()
            };
            Sighting {
                key,
                tgid,
                comm: task.comm(),
                class: task.class(),
                scheduling: task.scheduling(),
                stop_pending: task.stop_pending(),
                traced: task.traced(),
                frozen: task.frozen(),
                own: tgid == own,
                uid: task.uid(),
                unit: units.of(places, tgid, key.tid, task.cgroup()),
                on_stack: affected.on(&stack),
                stack,
            }
        });
        Ok(Found {
            pending: pending.collect(),
            visited: u32::try_from(pass.visited).unwrap_or(u32::MAX),
        })
    }
}
