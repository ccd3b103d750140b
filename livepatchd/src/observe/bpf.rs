// SPDX-License-Identifier: GPL-2.0-only
//! Pending tasks, transition events and the cores' verdicts, by BPF.
//!
//! [`load::load`] once, on a blocking thread; then [`scan::Scanner`] answers questions about all tasks, and
//! [`events::Events`] tells what transitions do. Nothing here polls: without a transition nothing wakes. What a kernel
//! does not tell is said once, in words, by [`lost::Lost`], and is never guessed. No decisions: facts in the model's
//! words come out.

pub mod btf;
pub mod events;
pub mod functions;
mod klp_rs;
pub mod load;
pub mod log;
pub mod lost;
pub mod offsets;
mod one_task;
pub mod ranges;
pub mod scan;
pub mod stream;
pub mod task;
mod tracers;
