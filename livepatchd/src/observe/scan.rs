// SPDX-License-Identifier: GPL-2.0-only
//! Finding the tasks that hold a transition back, by the best means there are: one pass of the BPF iterator, else /proc.
//!
//! Both find the same tasks and tell the same of them. Synchronous: it runs where blocking is allowed.

use std::io;

use super::{
    bpf,
    procfs::{self, Pass},
    sighting::{Seen, Witness},
    stack::Wanted,
    sysfs,
};
use crate::model::{
    patch::{Core, Direction, Function, PatchName},
    place::Places,
};

/// Which transition to look at.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The core.
    pub core: Core,
    /// The patch.
    pub patch: &'a PatchName,
    /// Where its tasks go.
    pub direction: Direction,
    /// Its functions.
    pub functions: &'a [Function],
}

/// Why a pass found nothing.
#[derive(Debug, thiserror::Error)]
pub enum ScanFailed {
    /// The iterator did not answer.
    #[error(transparent)]
    Bpf(#[from] bpf::scan::ScanError),
    /// /proc cannot be read.
    #[error("/proc: {0}")]
    Proc(#[from] io::Error),
}

/// Finds pending tasks.
pub struct Scanner {
    places: Places,
    by_bpf: Option<bpf::scan::Scanner>,
    /// What was learned in the present transition.
    witness: Option<Witness>,
}

impl Scanner {
    /// A scanner that reads /proc.
    pub fn new(places: Places) -> Self {
        Self {
            places,
            by_bpf: None,
            witness: None,
        }
    }

    /// From now on asks the kernel instead.
    pub fn use_bpf(&mut self, scanner: bpf::scan::Scanner) {
        self.by_bpf = Some(scanner).filter(bpf::scan::Scanner::has_patch_state);
    }

    /// No transition runs: what was learned may be wrong in the next one, modules come and go in between.
    pub fn forget(&mut self) {
        self.witness = None;
    }

    /// Finds the tasks that have not reached the target.
    pub fn pending(&mut self, asked: Asked<'_>) -> Result<Pass, ScanFailed> {
        let Asked {
            core,
            patch,
            direction,
            functions,
        } = asked;
        let Self {
            places,
            by_bpf,
            witness,
        } = self;
        let modules = sysfs::patch_modules(places, core)?;
        let wanted = Wanted::new(patch, direction, functions, &modules);
        let witness = witness.get_or_insert_with(|| Witness::new(places));
        let Some(by_bpf) = by_bpf else {
            return Ok(procfs::scan(witness, direction, &wanted)?);
        };
        let pass = by_bpf.pass(bpf::scan::Question::Pending(direction))?;
        let sightings = pass.tasks.iter().map(|task| {
            let seen = Seen {
                key: task.key(),
                tgid: task.tgid(),
                comm: task.comm(),
                class: task.class(),
                scheduling: task.scheduling(),
                stop_pending: task.stop_pending(),
                traced: task.traced(),
                frozen: task.frozen(),
                uid: task.uid(),
                cgroup: task.cgroup(),
                addresses: task.stack().ok(),
            };
            witness.sighting(seen, &wanted)
        });
        Ok(Pass {
            pending: sightings.collect(),
            visited: u32::try_from(pass.visited).unwrap_or(u32::MAX),
        })
    }
}
