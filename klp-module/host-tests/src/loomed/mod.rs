// SPDX-License-Identifier: GPL-2.0-only
//! The files that use atomics once more, now with the atomics of a model checker: loom runs each model in the orders that
//! the memory model allows. Each file here models one use of them, and shows with [`weakly`] that it would notice a barrier
//! less. Invariant: the only difference to the module is whose atomics they are.
//!
//! Loom has every value that a Relaxed load may see, but no store that moves up over a load before it.

mod atomic;
mod cpus;
#[path = "../kernel_api.rs"]
mod kernel_api;
mod pointers;
#[path = "../../../pure/mod.rs"]
#[allow(dead_code, reason = "only what uses atomics is modelled")]
mod pure;
mod segments;
mod strays;
mod tally;
mod task_set;
mod task_states;

use atomic::{always, weakly, Weak};
