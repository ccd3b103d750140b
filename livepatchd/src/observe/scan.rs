// SPDX-License-Identifier: GPL-2.0-only
//! Finding the tasks that hold a transition back, by the best means there are: the BPF iterator, over a few whom the kernel has
//! named (that costs the same however many tasks there are) or in one pass over all; else /proc, which knows the kernel's
//! own core only.
//!
//! All find the same tasks; what is told of each is the same too. Synchronous: it runs where blocking is allowed.
//! Nothing is kept between two scans but the BPF program.

use std::io;

use super::{
    bpf::{
        self,
        scan::{Question, StatesIn},
        task::Task,
    },
    klp_rs, procfs,
    sighting::{Seen, Witness},
    stack::Affected,
};
use crate::model::{
    patch::{Core, Direction, Function, PatchName},
    place::Places,
    task::{Sighting, TaskKey},
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
    /// Patches whose functions it replaces once more.
    pub below: &'a [PatchName],
    /// No others can be pending; `None`: nothing is known of that.
    pub among: Option<&'a [TaskKey]>,
}

/// What a scan found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Tasks that have not reached the target.
    pub pending: Vec<Sighting>,
    /// Tasks there are in all.
    pub total: u32,
}

/// Why a scan found nothing.
#[derive(Debug, thiserror::Error)]
pub enum ScanFailed {
    /// /proc does not show the states of this core.
    #[error("without BPF the pending tasks of {0} cannot be seen")]
    Core(Core),
    /// The core does not say where it publishes them.
    #[error(transparent)]
    Unpublished(#[from] klp_rs::Unpublished),
    /// The iterator did not answer.
    #[error(transparent)]
    Bpf(bpf::scan::ScanError),
    /// The iterator did not answer, and /proc did not either.
    #[error("{bpf}; and /proc: {proc}")]
    Both {
        /// The iterator's reason.
        bpf: bpf::scan::ScanError,
        /// The reason of /proc.
        proc: io::Error,
    },
    /// Patch states are hidden from us, or this kernel has none.
    #[error("/proc: {0}")]
    Proc(#[from] io::Error),
}

/// Finds pending tasks.
pub struct Scanner {
    places: Places,
    by_bpf: Option<bpf::scan::Scanner>,
    follows_klp_rs: bool,
}

impl Scanner {
    /// A scanner that reads /proc.
    pub fn new(places: Places) -> Self {
        Self {
            places,
            by_bpf: None,
            follows_klp_rs: false,
        }
    }

    /// From now on asks the kernel instead, and /proc only if it does not answer.
    pub fn use_bpf(&mut self, scanner: bpf::scan::Scanner) {
        self.by_bpf = Some(scanner);
        if self.follows_klp_rs {
            self.attach(true);
        }
    }

    /// Has the events tell of what `klp_rs` does, while it has patches; they hold its module.
    pub fn follow_klp_rs(&mut self, follow: bool) {
        if self.follows_klp_rs != follow {
            self.follows_klp_rs = follow;
            self.attach(follow);
        }
    }

    fn attach(&mut self, follow: bool) {
        let Some(by_bpf) = &mut self.by_bpf else {
            return;
        };
        if let Err(why) = by_bpf.follow_klp_rs(follow) {
            tracing::warn!("the verdicts of klp_rs are not known, reasons come from stacks: {why}");
        }
    }

    /// Finds the tasks that have not reached the target.
    pub fn pending(&mut self, asked: Asked<'_>) -> Result<Found, ScanFailed> {
        let Asked {
            core,
            patch,
            direction,
            functions,
            below,
            among,
        } = asked;
        let affected = &Affected {
            patch,
            direction,
            functions,
            below,
        };
        if let (Core::Kernel, Some(among), Some(by_bpf)) = (core, among, &mut self.by_bpf)
            // whatever is wrong, a pass over all tasks may know better
            && let Ok(total) = procfs::tasks(&self.places)
            && let Ok(tasks) = by_bpf.look(
                Question::Pending(direction, StatesIn::Tasks),
                among.iter().map(|key| key.tid),
            )
        {
            let mut witness = Witness::new(&self.places);
            // another one may have its number by now
            let named = tasks.iter().filter(|task| among.contains(&task.key()));
            let pending = named.map(|task| witness.sighting(seen(task), affected)).collect();
            return Ok(Found { pending, total });
        }
        let (states, by_bpf) = match (core, &mut self.by_bpf) {
            (Core::Kernel, Some(by_bpf)) => (StatesIn::Tasks, by_bpf),
            (Core::Kernel, None) => return Ok(procfs::pass(&self.places, affected)?),
            (Core::KlpRs, Some(by_bpf)) => (StatesIn::Published(klp_rs::task_states(&self.places)?), by_bpf),
            (Core::KlpRs, None) => return Err(ScanFailed::Core(core)),
        };
        match by_bpf.pass(Question::Pending(direction, states)) {
            Ok(pass) => {
                let mut witness = Witness::new(&self.places);
                let pending = pass.tasks.iter().map(|task| witness.sighting(seen(task), affected));
                Ok(Found {
                    pending: pending.collect(),
                    total: u32::try_from(pass.visited).unwrap_or(u32::MAX),
                })
            }
            Err(bpf) if core != Core::Kernel => Err(ScanFailed::Bpf(bpf)),
            Err(bpf) => procfs::pass(&self.places, affected).map_err(|proc| ScanFailed::Both { bpf, proc }),
        }
    }
}

/// A task of the iterator in the words that both ways share.
fn seen(task: &Task) -> Seen<'_> {
    Seen {
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
        addresses: task.stack().ok().filter(|stack| !stack.is_empty()),
    }
}

#[cfg(test)]
mod tests;
