// SPDX-License-Identifier: GPL-2.0-only
//! Everything klp_rs asks of the kernel that the kernel crate does not wrap, behind safe functions. The only folder with
//! unsafe code. Decides nothing. Invariant: [`ffi`] is private to this folder, so no caller outside can break a rule.

pub(crate) mod description;
pub(crate) mod dir;
mod entry;
mod ffi;
pub(crate) mod ftrace;
pub(crate) mod hooks;
pub(crate) mod module;
pub(crate) mod once;
pub(crate) mod published;
pub(crate) mod shadow;
pub(crate) mod symbols;
pub(crate) mod task;
pub(crate) mod task_states;
pub(crate) mod thread;
pub(crate) mod trace;

use super::atomic;

/// Makes the core's locks usable.
pub(crate) fn init_locks() {
    use crate::engine::{
        state::{CORE, REDIRECT},
        states::PREVIOUS,
    };
    // SAFETY: Called once, by the module's init, before anything that could lock is started.
    unsafe {
        CORE.init();
        REDIRECT.init();
        PREVIOUS.init();
    }
}
