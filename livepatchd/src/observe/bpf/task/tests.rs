// SPDX-License-Identifier: GPL-2.0-only
//! What the kernel's bits mean, one test for each state that decides about a nudge.

use bytemuck::Zeroable as _;

use super::*;

const ALL: u32 = known::JOBCTL | known::SIGNAL_FLAGS | known::PTRACE | known::UID | known::CGROUP;

fn with(change: impl FnOnce(&mut TaskHead)) -> Task {
    let mut head = TaskHead {
        known: ALL,
        tid: 812,
        tgid: 812,
        state: TASK_INTERRUPTIBLE,
        ..TaskHead::zeroed()
    };
    change(&mut head);
    Task::new(head, Ok(Box::default()))
}

#[test]
fn a_sleeping_user_thread_is_neither_stopped_nor_traced_nor_frozen() {
    let task = with(|_| {});
    assert_eq!(task.scheduling(), Scheduling::Interruptible);
    assert_eq!(task.class(), TaskClass::User);
    assert!(!task.stop_pending() && !task.traced() && !task.frozen());
    assert_eq!((task.uid(), task.cgroup()), (Some(0), Some(0)));
}

#[test]
fn a_stop_is_seen_while_it_is_on_its_way_and_while_it_lasts() {
    assert!(with(|head| head.jobctl = JOBCTL_STOP_PENDING).stop_pending());
    assert!(with(|head| head.jobctl = JOBCTL_STOPPED).stop_pending());
    assert!(with(|head| head.signal_flags = SIGNAL_STOP_STOPPED).stop_pending());
    assert_eq!(with(|head| head.state = 0x104).scheduling(), Scheduling::Stopped);
}

#[test]
fn a_tracer_is_seen_before_it_stops_anything() {
    assert!(with(|head| head.ptrace = 1).traced());
    assert!(with(|head| head.jobctl = JOBCTL_TRACED).traced());
    assert_eq!(
        with(|head| head.state = TASK_TRACED).scheduling(),
        Scheduling::TracedStop
    );
}

#[test]
fn every_freezer_is_seen() {
    assert!(with(|head| head.frozen = 1).frozen());
    assert!(with(|head| head.jobctl = JOBCTL_TRAP_FREEZE).frozen());
    assert!(with(|head| head.state = TASK_FROZEN).frozen());
}

#[test]
fn what_was_not_recorded_counts_as_stopped_and_traced_and_has_no_owner() {
    for missing in [known::JOBCTL, known::SIGNAL_FLAGS] {
        assert!(with(|head| head.known &= !missing).stop_pending());
    }
    let task = with(|head| head.known = 0);
    assert!(task.traced());
    assert_eq!((task.uid(), task.cgroup()), (None, None));
}

#[test]
fn the_scheduler_states_have_their_order() {
    for (state, exit_state, on_cpu, expected) in [
        (0, 0, 1, Scheduling::Running),
        (0, 0, 0, Scheduling::Running),
        // about to sleep, still on its CPU
        (TASK_INTERRUPTIBLE, 0, 1, Scheduling::Running),
        // TASK_INTERRUPTIBLE | TASK_FREEZABLE
        (0x2001, 0, 0, Scheduling::Interruptible),
        (TASK_UNINTERRUPTIBLE, 0, 0, Scheduling::Uninterruptible),
        // TASK_KILLABLE, TASK_IDLE
        (0x102, 0, 0, Scheduling::Uninterruptible),
        (0x402, 0, 0, Scheduling::Uninterruptible),
        (TASK_FROZEN, 0, 0, Scheduling::Uninterruptible),
        (TASK_PARKED, 0, 0, Scheduling::Uninterruptible),
        (TASK_DEAD, 0x10, 0, Scheduling::Dead),
        // EXIT_ZOMBIE
        (0, 0x20, 0, Scheduling::Dead),
    ] {
        let task = with(|head| (head.state, head.exit_state, head.on_cpu) = (state, exit_state, on_cpu));
        assert_eq!(task.scheduling(), expected, "{state:#x} {exit_state:#x} {on_cpu}");
    }
}

#[test]
fn a_key_has_the_start_time_of_proc() {
    // boot time in ns; in ticks, rounded down
    assert_eq!(key(812, 30_019_999_999).start_ticks, 3_001);
    assert_eq!(
        with(|head| head.start_time = 10_000_000).key(),
        TaskKey {
            tid: 812,
            start_ticks: 1
        }
    );
}

#[test]
fn text_ends_at_its_nul_and_is_always_text() {
    assert_eq!(text(b"cat\0garbage"), "cat");
    assert_eq!(text(b"exactly_16_bytes"), "exactly_16_bytes");
    assert_eq!(text(b"\xff\xfe\0"), "\u{fffd}\u{fffd}");
    assert_eq!(text(b""), "");
}
