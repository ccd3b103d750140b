// SPDX-License-Identifier: GPL-2.0-only
//! klp_rs: a livepatch core with the per-task consistency model, for stock kernels. This file only mounts the parts and
//! starts and stops them: rules are in `pure`, the core is in `engine`, the kernel is behind `kernel_api`.
//!
//! Invariant: parts are started before what uses them and stopped after it; the fields of [`KlpRs`] are in the order of
//! stopping.

use core::sync::atomic;
use kernel::prelude::*;

mod engine;
mod kernel_api;
mod pure;

use engine::state;
use kernel_api::{dir::Root, hooks::Hooks, module::Notices, shadow::Shadows, symbols::Symbols, task, thread::Thread};

module! {
    type: KlpRs,
    name: "klp_rs",
    authors: ["livepatchd developers"],
    description: "Livepatch core in Rust",
    license: "GPL",
    params: {
        signal_after_ms: u32 {
            default: 15000,
            description: "Kick sleeping tasks that have not moved for so many milliseconds; 0: never",
        },
    },
}

/// The parameter of this name.
fn signal_after_ms() -> u32 {
    /// A reference on 7.2, a number on 7.3.
    fn number(value: impl core::borrow::Borrow<u32>) -> u32 {
        *value.borrow()
    }
    number(module_parameters::signal_after_ms.value())
}

struct KlpRs {
    _notices: Notices,
    _thread: Thread,
    _last_callers: LastCallers,
    _root: Root,
    _shadows: Shadows,
    _symbols: Symbols,
}

/// Nobody is in the handler or in a hook any more.
struct LastCallers;

impl Drop for LastCallers {
    fn drop(&mut self) {
        drop(state::redirecting().take());
        Hooks::synchronize();
        state::stop();
    }
}

impl kernel::Module for KlpRs {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        kernel_api::init_locks();
        Hooks::find().inspect_err(|_| pr_err!("this kernel lacks a tracepoint that tasks move at\n"))?;
        let symbols =
            Symbols::start().inspect_err(|_| pr_err!("this kernel does not say which symbols have a name\n"))?;
        if !task::stacks_are_reliable() {
            pr_warn!("no reliable stacks on this kernel: only immediate patches are accepted\n");
        }
        let root = Root::start()?;
        let thread = Thread::start()?;
        Ok(Self {
            _notices: Notices::start()?,
            _thread: thread,
            _last_callers: LastCallers,
            _root: root,
            _shadows: Shadows,
            _symbols: symbols,
        })
    }
}
