// SPDX-License-Identifier: GPL-2.0-only
//! The programs at the entries and exits of the kernel's functions: which of them this kernel bears, and what is lost
//! without each.
//!
//! A program at a function's exit has its frame on the stack for as long as the function runs. The unwinders of 6.1 and
//! 6.12 do not know such frames and call the stack unreliable: if the function checks the stack of the thread that runs
//! it, the check fails because somebody watches. On 6.12 a transition that takes 0.1 s took 10 s. So there nothing is
//! attached to the exit of a function that checks stacks.

/// In kernels whose unwinder trusts the frames of BPF programs, as that of 7.2 (`arch/x86/kernel/unwind_orc.c:
/// orc_bpf_find`).
pub(super) const FRAMES_FUNCTION: &str = "bpf_has_frame_pointer";

/// A program at the entry or exit of a kernel function.
pub(super) struct Tracer {
    /// Its name in the object.
    pub(super) program: &'static str,
    /// The function.
    pub(super) function: &'static str,
    /// What is lost without it, and what is used instead.
    pub(super) loses: &'static str,
    frame: Frame,
}

/// What the program's frame does to the kernel's stack checks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frame {
    /// Nothing: no stack is checked below it, or it leaves no frame.
    Harmless,
    /// It makes them fail where frames are not trusted; other programs stand in for it there.
    Replaceable,
    /// It makes them fail where frames are not trusted; there is no other way.
    Irreplaceable,
    /// None: it stands in for a replaceable one.
    StandIn,
}

/// What to do with a program on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Attach it.
    Attach,
    /// Another one does its work.
    NotNeeded,
    /// Leave it out, for this reason.
    Harmful(&'static str),
}

impl Tracer {
    /// Whether to attach it.
    pub(super) fn admit(&self, frames_are_trusted: bool) -> Admission {
        match (self.frame, frames_are_trusted) {
            (Frame::Harmless, _) | (Frame::Replaceable | Frame::Irreplaceable, true) | (Frame::StandIn, false) => {
                Admission::Attach
            }
            (Frame::Replaceable, false) | (Frame::StandIn, true) => Admission::NotNeeded,
            (Frame::Irreplaceable, false) => {
                Admission::Harmful("tracing it would make this kernel's stack checks fail")
            }
        }
    }
}

const ROUNDS_LOST: &str =
    "the end of the kernel's rounds is not known: pending tasks are looked for once a second while a transition runs";

/// All of them. The functions are in `kernel/livepatch/transition.c`, but for `kernel/cpu.c: cpus_read_unlock`.
pub(super) const TRACERS: [Tracer; 8] = [
    Tracer {
        program: "start_transition",
        function: "klp_start_transition",
        loses: "the start of a transition is known only from the kernel log",
        frame: Frame::Harmless,
    },
    Tracer {
        program: "try_complete_transition",
        function: "klp_try_complete_transition",
        loses: ROUNDS_LOST,
        frame: Frame::Replaceable,
    },
    Tracer {
        program: "round_begins",
        function: "klp_try_complete_transition",
        loses: ROUNDS_LOST,
        frame: Frame::StandIn,
    },
    Tracer {
        program: "round_ends",
        function: "cpus_read_unlock",
        loses: ROUNDS_LOST,
        frame: Frame::StandIn,
    },
    Tracer {
        program: "complete_transition",
        function: "klp_complete_transition",
        loses: "the end of a transition is known only from the kernel log",
        frame: Frame::Harmless,
    },
    Tracer {
        program: "reverse_transition",
        function: "klp_reverse_transition",
        loses: "a reversal by others is known only from the kernel log",
        frame: Frame::Harmless,
    },
    Tracer {
        program: "force_transition",
        function: "klp_force_transition",
        loses: "that a transition was forced by others is known only from the kernel log",
        frame: Frame::Harmless,
    },
    Tracer {
        program: "check_and_switch_task",
        function: "klp_check_and_switch_task",
        loses: "the kernel's own verdict on a task is not known: reasons come from stacks, and idle CPUs are not seen",
        frame: Frame::Irreplaceable,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(frames_are_trusted: bool) -> Vec<&'static str> {
        TRACERS
            .iter()
            .filter(|tracer| tracer.admit(frames_are_trusted) == Admission::Attach)
            .map(|tracer| tracer.program)
            .collect()
    }

    #[test]
    fn rounds_are_seen_by_one_way_or_the_other() {
        let (trusted, distrusted) = (attached(true), attached(false));
        assert!(trusted.contains(&"try_complete_transition"));
        assert!(!trusted.contains(&"round_begins") && !trusted.contains(&"round_ends"));
        assert!(!distrusted.contains(&"try_complete_transition"));
        assert!(distrusted.contains(&"round_begins") && distrusted.contains(&"round_ends"));
    }

    #[test]
    fn verdicts_are_given_up_where_asking_for_them_would_spoil_them() {
        assert!(attached(true).contains(&"check_and_switch_task"));
        assert!(!attached(false).contains(&"check_and_switch_task"));
    }
}
