// SPDX-License-Identifier: GPL-2.0-only
//! livepatchd's BPF programs: who is pending, what the transition does, what the kernel thinks of each task.
//!
//! One file per program; `emit` alone writes to the ring buffer, `task_fields` alone reads task structures. The
//! transition programs run with the livepatch mutex and, for verdicts, with scheduler locks held: they reserve and
//! submit, nothing else.
#![no_std]
#![no_main]

mod check_and_switch_task;
mod complete_transition;
mod emit;
mod force_transition;
mod granules;
mod klp_rs_transition;
mod klp_rs_verdict;
mod offsets;
mod patch_state;
mod reverse_transition;
mod round_begins;
mod round_ends;
mod start_transition;
mod task_fields;
mod task_iter;
mod task_states;
mod try_complete_transition;

/// Lets the kernel admit the helpers that are for GPL programs only.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 4] = *b"GPL\0";

#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}
