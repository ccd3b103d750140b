// SPDX-License-Identifier: GPL-2.0-only
//! The edge where actions go out: one executor, one file per thing done.
//!
//! It decides nothing and believes nothing: what came of an action is told as an [`Outcome`], and what the kernel says in
//! its log meanwhile is attached to a refusal. Everything here blocks for as long as the kernel does; the daemon calls it
//! where blocking is allowed. `observe` is never imported: the module file and the kernel's log are handed in.

pub mod fault;
pub mod load;
pub mod nudge;
pub mod nudge_record;
mod priority;
pub mod refused;
pub mod switch;
pub mod target;
pub mod unload;

use std::os::fd::BorrowedFd;

use nudge::{Aim, Nudger};

use crate::{
    model::{fact::Outcome, module::ModuleFacts, place::Places},
    policy::action::Action,
};

/// What the kernel logged: call it before an operation, and what it returns after, to have the lines in between.
pub type KernelLog = dyn Fn() -> Box<dyn FnOnce() -> Vec<String>> + Send + Sync;

/// A module that was checked and may be loaded.
#[derive(Clone, Copy, Debug)]
pub struct Loadable<'a> {
    /// Its file, that very one which was checked.
    pub file: BorrowedFd<'a>,
    /// What the file says.
    pub facts: &'a ModuleFacts,
}

/// Carries out actions, one call each. Can be shared between threads.
pub struct Executor {
    places: Places,
    kernel_log: Box<KernelLog>,
    nudger: Nudger,
}

impl Executor {
    /// An executor for these places. Run [`nudge::recover`] first: it needs the records of an earlier one untouched.
    pub fn new(places: Places, kernel_log: Box<KernelLog>) -> Self {
        Self {
            nudger: Nudger::new(&places),
            places,
            kernel_log,
        }
    }

    /// Does it. `module` is needed for [`Action::Load`] only.
    ///
    /// `None` for what is not done here: [`Action::List`] and [`Action::Scan`] are questions for `observe`, and a load
    /// without its module is the caller's mistake.
    pub fn execute(&self, action: &Action, module: Option<Loadable<'_>>) -> Option<Outcome> {
        let log = &*self.kernel_log;
        Some(match action {
            Action::List(_) | Action::Scan { .. } => return None,
            Action::Load(job) => Outcome::Loaded {
                job: *job,
                result: load::load(module?, log),
            },
            Action::Switch { core, patch, direction } => Outcome::Switched {
                core: *core,
                patch: patch.clone(),
                direction: *direction,
                result: switch::switch(&self.places, *core, patch, *direction, log),
            },
            Action::Force { core, patch } => Outcome::Forced {
                core: *core,
                patch: patch.clone(),
                result: switch::force(&self.places, *core, patch, log),
            },
            Action::Unload { patch } => Outcome::Unloaded {
                patch: patch.clone(),
                result: unload::unload(patch, log),
            },
            Action::Nudge {
                core,
                direction,
                patch,
                key,
                tgid,
                comm,
            } => {
                let aim = Aim {
                    core: *core,
                    direction: *direction,
                    key: *key,
                    tgid: *tgid,
                    comm,
                };
                Outcome::Nudged {
                    patch: patch.clone(),
                    key: *key,
                    result: self.nudger.nudge(aim).map_err(|why| why.to_string()),
                }
            }
        })
    }
}
