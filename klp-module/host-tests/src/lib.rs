// SPDX-License-Identifier: GPL-2.0-only
//! Mounts the pure parts of klp_rs for their tests. Has no code of its own. Invariant: the files are the module's, not
//! copies, so what is tested here is what runs there.

#![cfg(test)]

use std::sync::atomic;

#[path = "../../pure/mod.rs"]
#[allow(dead_code, reason = "the engine uses what the tests do not need")]
mod pure;

mod abi;
mod backoff;
mod func_stack;
mod model;
mod phase;
mod segments;
mod stack_verdict;
mod states;
mod symbol_search;
mod symbol_text;
mod task_set;
