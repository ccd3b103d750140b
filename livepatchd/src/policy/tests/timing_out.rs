// SPDX-License-Identifier: GPL-2.0-only
//! Deadlines and stalls: what happens to a transition that does not end.

use super::{
    fake_task::{Inside, Task},
    machine::{Machine, job},
};
use crate::model::{
    change::Change,
    job::{JobOptions, JobResult, OnTimeout},
    patch::{
        Direction,
        PatchState::{Enabled, Enabling},
    },
    refusal::ErrorName,
    task::{Reason, Scheduling, TaskClass, Verdict},
    testing::name,
    time::Millis,
};

#[test]
fn a_task_that_cannot_be_nudged_is_explained_and_the_deadline_reverses_the_patch() {
    type How = fn(&mut crate::model::task::Sighting);
    let kinds: [(How, Reason, &str); 8] = [
        (|s| s.class = TaskClass::Init, Reason::SleepingInFunction, "PID 1"),
        (
            |s| s.class = TaskClass::Kthread,
            Reason::SleepingInFunction,
            "kernel thread",
        ),
        (
            |s| s.class = TaskClass::IoWorker,
            Reason::SleepingInFunction,
            "I/O worker",
        ),
        (
            |s| s.scheduling = Scheduling::Uninterruptible,
            Reason::Uninterruptible,
            "signals",
        ),
        (|s| s.scheduling = Scheduling::Stopped, Reason::Stopped, "somebody else"),
        (|s| s.traced = true, Reason::Traced, "debugger"),
        (|s| s.frozen = true, Reason::Frozen, "frozen"),
        (|s| s.own = true, Reason::SleepingInFunction, "livepatchd"),
    ];
    for (how, reason, word) in kinds {
        let mut m = Machine::new();
        // the kernel's own signal moves some of them; here nothing does
        m.kernel.add(Task {
            deaf: true,
            ..Task::stuck(812, how)
        });
        let apply = m.apply("lp");
        m.run_for(60_000);
        let blocker = m.snapshot().blockers.remove(0);
        assert_eq!(blocker.reason, reason);
        assert!(blocker.action.starts_with("not nudged: "), "{}", blocker.action);
        assert!(blocker.action.contains(word), "{}", blocker.action);
        m.run_for(20_000);
        assert_eq!(m.result(apply), Some(JobResult::Timeout), "{reason}");
        assert_eq!(
            m.ended(apply).and_then(|j| j.error.as_ref()).map(|e| e.name),
            Some(ErrorName::Timeout)
        );
        assert!(m.message(apply).contains("1 task pending"), "{}", m.message(apply));
        assert!(m.kernel.nudged.is_empty());
        assert!(m.kernel.modules.is_empty(), "the system is as before");
        assert!((75_000..77_000).contains(&m.took(apply)), "{}", m.took(apply));
        m.assert_asleep();
    }
}

#[test]
fn a_reversal_that_stalls_too_is_reported_and_not_turned_round_again() {
    let mut m = Machine::new();
    // one task never leaves the old code, another never leaves the new
    m.kernel.add(Task::deaf(812));
    let apply = m.apply("lp");
    m.run_for(100);
    m.kernel.add(Task {
        inside: Inside::New,
        patched: true,
        ..Task::deaf(813)
    });
    m.run_for(200_000);
    assert_eq!(m.result(apply), Some(JobResult::Timeout));
    assert!(
        m.message(apply).contains("the reversal is not complete"),
        "{}",
        m.message(apply)
    );
    assert_eq!(m.kernel.writes, 1);
    assert_eq!(m.kernel.moving(), Some((&name("lp"), Direction::Unpatching)));
    assert_eq!(m.count(|c| matches!(c, Change::JobEnded(_))), 1);
}

#[test]
fn a_patch_that_completes_as_the_deadline_falls_is_done_not_disabled() {
    // every moment around the round in which it completes
    for timeout in 1_990..2_030 {
        let mut m = Machine::new();
        m.kernel.add(Task::deaf(812));
        let options = JobOptions {
            timeout: Millis(timeout),
            ..m.options()
        };
        let apply = job(&m.apply_with("lp", options));
        m.run_for(1_500);
        m.kernel.tasks.remove(&812);
        m.run_for(10_000);
        match m.result(apply) {
            Some(JobResult::Done) => assert_eq!(m.state("lp"), Some(Enabled), "timeout {timeout}"),
            Some(JobResult::Timeout) => assert_eq!(m.state("lp"), None, "timeout {timeout}"),
            other => panic!("{other:?}"),
        }
        m.assert_asleep();
    }
}

#[test]
fn with_keep_the_transition_goes_on_after_the_job() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    let options = m.on_timeout(OnTimeout::Keep);
    let apply = job(&m.apply_with("lp", options));
    m.run_for(80_000);
    assert_eq!(m.result(apply), Some(JobResult::Timeout));
    assert!(m.message(apply).contains("left in transition"), "{}", m.message(apply));
    assert_eq!(m.state("lp"), Some(Enabling));
    m.kernel.tasks.remove(&812);
    m.run_for(2_000);
    assert_eq!(m.state("lp"), Some(Enabled));
    m.assert_asleep();
}

#[test]
fn with_force_the_deadline_forces_once_and_a_reboot_is_advised() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    let options = m.on_timeout(OnTimeout::Force);
    let apply = job(&m.apply_with("lp", options));
    m.run_for(80_000);
    assert_eq!(m.result(apply), Some(JobResult::Done));
    assert_eq!(m.state("lp"), Some(Enabled));
    assert_eq!(m.kernel.writes, 1);
    assert!(m.snapshot().reboot_advised);
    assert_eq!(m.count(|c| *c == Change::RebootAdvised), 1);
    m.assert_asleep();
}

#[test]
fn a_revert_that_times_out_leaves_the_patch_enabled() {
    let mut m = Machine::applied("lp");
    m.kernel.add(Task {
        inside: Inside::New,
        ..Task::deaf(812)
    });
    let revert = job(&m.revert("lp"));
    m.run_for(80_000);
    assert_eq!(m.result(revert), Some(JobResult::Timeout));
    assert_eq!(m.state("lp"), Some(Enabled));
    m.assert_asleep();
}

#[test]
fn a_transition_without_progress_is_said_to_be_stalled_once_and_again_after_progress() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m.kernel.add(Task::deaf(813));
    m.apply("lp");
    m.run_for(2_900);
    let stalls = |m: &Machine| m.count(|c| matches!(c, Change::Stalled { .. }));
    assert_eq!(stalls(&m), 0);
    m.run_for(300);
    assert_eq!(stalls(&m), 1);
    assert!(m.snapshot().patches[0].stalled);
    m.run_for(10_000);
    assert_eq!(stalls(&m), 1);
    m.kernel.tasks.remove(&813);
    m.run_for(1_500);
    assert!(!m.snapshot().patches[0].stalled);
    m.run_for(5_000);
    assert_eq!(stalls(&m), 2);
}

#[test]
fn a_task_that_only_runs_is_told_as_a_blocker_when_it_does_so_for_a_second() {
    let mut m = Machine::new();
    m.kernel.add(Task {
        verdict: Verdict::Running,
        ..Task::stuck(812, |s| s.scheduling = Scheduling::Running)
    });
    m.apply("lp");
    m.run_for(900);
    let told = |m: &Machine| m.count(|c| matches!(c, Change::BlockerFound(_)));
    assert_eq!(told(&m), 0);
    m.run_for(10_000);
    assert_eq!(told(&m), 1);
    assert!(m.kernel.nudged.is_empty());
}

#[test]
fn a_blocker_that_flickers_between_two_reasons_is_told_once_for_each() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m.apply("lp");
    for i in 0..40 {
        m.kernel.stop(812, i % 2 == 0);
        m.run_for(500);
    }
    assert_eq!(m.count(|c| matches!(c, Change::BlockerFound(_))), 2);
}
