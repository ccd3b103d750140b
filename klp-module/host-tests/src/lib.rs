// SPDX-License-Identifier: GPL-2.0-only
//! Mounts the pure parts of klp_rs for their tests, and the two files of kernel_api that need little of the kernel. Has no
//! code of its own. Invariant: the files are the module's, not copies, so what is tested here is what runs there.

#![cfg(test)]

// What the two files call `kernel` is here: see `prelude` and `sync`.
extern crate self as kernel;

use std::sync::atomic;

#[path = "../../pure/mod.rs"]
#[allow(dead_code, reason = "the engine uses what the tests do not need")]
mod pure;

mod abi;
mod backoff;
mod cpus;
mod dead_cpu;
mod fake_kernel;
mod func_stack;
mod kernel_api;
// Miri cannot follow loom from one of its threads to another, and needs no model: it has the files above with std's atomics.
#[cfg(not(miri))]
mod loomed;
mod model;
mod phase;
mod pointers;
mod segments;
mod stack_verdict;
mod states;
mod strays;
mod symbol_search;
mod symbol_text;
mod task_set;

use fake_kernel::{ffi, prelude, sync};
