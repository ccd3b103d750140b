// SPDX-License-Identifier: GPL-2.0-only
//! Knowledge that this kernel does not give by BPF, as sentences for administrators.
//!
//! Said once at start and shown as `Degraded`. A sentence tells what is not known, what is used instead, and why.

use std::fmt;

/// One piece of knowledge that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// A kernel function cannot be traced.
    Function {
        /// The function.
        function: &'static str,
        /// What it would have told, and what is used instead.
        knowledge: &'static str,
        /// Why it cannot be traced.
        why: String,
    },
    /// A field of a task is not known.
    Field {
        /// What it would have told.
        knowledge: &'static str,
    },
    /// Tasks keep no patch state: the kernel's own core is not built in.
    PatchState,
    /// The task iterator does not run.
    Iterator {
        /// Why.
        why: String,
    },
    /// The ring buffer cannot be used.
    Events {
        /// Why.
        why: String,
    },
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function {
                function,
                knowledge,
                why,
            } => write!(f, "{knowledge} ({function}: {why})"),
            Self::Field { knowledge } => write!(f, "{knowledge} (not in this kernel's BTF)"),
            Self::PatchState => {
                f.write_str("tasks keep no patch state: this kernel is built without live patching (CONFIG_LIVEPATCH)")
            }
            Self::Iterator { why } => write!(
                f,
                "pending tasks cannot be found by one pass in the kernel: /proc is read instead (BPF task iterator: {why})"
            ),
            Self::Events { why } => write!(
                f,
                "transitions cannot be followed as they happen: the kernel log is read instead (BPF ring buffer: {why})"
            ),
        }
    }
}
