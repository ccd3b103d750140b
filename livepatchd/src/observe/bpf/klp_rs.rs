// SPDX-License-Identifier: GPL-2.0-only
//! What `klp_rs` tells by itself: its two tracepoints, followed while it has patches, and the place where it publishes the
//! states of tasks.
//!
//! A BPF program at a tracepoint of a module holds that module: so the programs are loaded at start, like all others, and
//! attached only as long as there is something to follow. With no patch left `klp_rs` can be unloaded.

use aya::{
    Ebpf,
    programs::{ProgramError, RawTracePoint, raw_trace_point::RawTracePointLink},
};

/// The programs in the object; each bears the name of its tracepoint.
const TRACEPOINTS: [&str; 2] = ["klp_rs_transition", "klp_rs_verdict"];

/// The programs, attached or not.
#[derive(Debug, Default)]
pub(super) struct Tracepoints(Option<[RawTracePointLink; 2]>);

impl Tracepoints {
    /// Has the kernel check the programs; the module need not be there.
    pub(super) fn load(object: &mut Ebpf) -> Result<Self, ProgramError> {
        for name in TRACEPOINTS {
            program(object, name)?.load()?;
        }
        Ok(Self(None))
    }

    /// Follows `klp_rs`, which must be loaded, or lets it go.
    pub(super) fn follow(&mut self, object: &mut Ebpf, follow: bool) -> Result<(), ProgramError> {
        self.0 = match (follow, self.0.take()) {
            (false, _) => None,
            (true, Some(attached)) => Some(attached),
            (true, None) => Some([attach(object, TRACEPOINTS[0])?, attach(object, TRACEPOINTS[1])?]),
        };
        Ok(())
    }
}

fn program<'a>(object: &'a mut Ebpf, name: &str) -> Result<&'a mut RawTracePoint, ProgramError> {
    object.program_mut(name).ok_or(ProgramError::NotLoaded)?.try_into()
}

fn attach(object: &mut Ebpf, name: &str) -> Result<RawTracePointLink, ProgramError> {
    let program = program(object, name)?;
    let link = program.attach(name)?;
    program.take_link(link)
}
