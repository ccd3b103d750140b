// SPDX-License-Identifier: GPL-2.0-only
//! The rules of klp_rs: who gets which function, who may move, when to look again. Nothing here knows the kernel crate, so
//! host-tests/ compiles the same files and tries them with properties. Invariant: only `core`, no allocation, no unsafe.
//!
//! Whoever mounts this names the atomics: `core`'s in the kernel, those of a model checker in host-tests/.

use super::atomic;

pub(crate) mod backoff;
pub(crate) mod dead_cpu;
pub(crate) mod func_stack;
pub(crate) mod ip_table;
pub(crate) mod phase;
pub(crate) mod segments;
pub(crate) mod stack_verdict;
pub(crate) mod states;
pub(crate) mod strays;
pub(crate) mod symbol_search;
pub(crate) mod symbol_text;
pub(crate) mod tally;
pub(crate) mod task_set;
