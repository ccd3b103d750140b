// SPDX-License-Identifier: GPL-2.0-only
//! What others do is seen, shown and helped; and what an earlier daemon had begun is brought to an end.

use super::{
    fake_task::{Inside, Task},
    machine::{Machine, job},
};
use crate::model::{
    change::Change,
    job::JobResult,
    patch::{
        Direction,
        PatchState::{Disabled, Enabled, Enabling},
    },
    task::Reason,
    testing::name,
};

#[test]
fn insmod_echo_and_rmmod_by_hand_are_seen_at_once_and_shown() {
    for events in [true, false] {
        let mut m = Machine::new();
        m.kernel.events = events;
        let lp = name("lp");
        m.kernel.insmod(&lp);
        m.run_for(300);
        assert_eq!(m.state("lp"), Some(Enabled));
        m.kernel.write(&lp, Direction::Unpatching);
        m.run_for(300);
        assert_eq!(m.state("lp"), Some(Disabled));
        m.run_for(10_000);
        m.kernel.rmmod(&lp);
        m.run_for(300);
        assert_eq!(m.state("lp"), None);
        assert_eq!(m.count(|c| matches!(c, Change::StateChanged { ours: true, .. })), 0);
        assert_eq!(m.count(|c| matches!(c, Change::JobStarted(_))), 0);
        m.assert_asleep();
    }
}

#[test]
fn a_daemon_that_starts_in_the_middle_of_a_transition_adopts_it() {
    let mut m = Machine::new();
    m.kernel.add(Task::reader(812));
    m.kernel.insmod(&name("lp"));
    m.rules.nudge = false;
    m.run_for(3_300);
    m.rules.nudge = true;
    m.restart_daemon();
    m.run_for(100);
    assert_eq!(m.state("lp"), Some(Enabling));
    assert_eq!(m.snapshot().blockers[0].reason, Reason::SleepingInFunction);
    m.run_for(2_000);
    assert_eq!(m.kernel.nudged.len(), 1);
    assert_eq!(m.state("lp"), Some(Enabled));
    m.assert_asleep();
}

#[test]
fn somebody_who_reverses_by_hand_ends_the_job_and_is_not_fought() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    let apply = m.apply("lp");
    m.run_for(2_000);
    m.kernel.write(&name("lp"), Direction::Unpatching);
    m.run_for(5_000);
    assert_eq!(m.result(apply), Some(JobResult::Cancelled));
    assert!(m.message(apply).contains("somebody else"), "{}", m.message(apply));
    assert_eq!(m.kernel.writes, 0);
    assert_eq!(m.state("lp"), Some(Disabled));
    m.assert_asleep();
}

#[test]
fn a_core_that_disappears_ends_its_jobs() {
    for when in [0, 3, 500] {
        let mut m = Machine::new();
        m.kernel.add(Task::deaf(812));
        let apply = m.apply("lp");
        m.run_for(when);
        m.kernel.core = false;
        m.run_for(5_000);
        assert_eq!(m.result(apply), Some(JobResult::Failed), "after {when} ms");
        assert!(m.snapshot().cores.is_empty() && m.snapshot().patches.is_empty());
    }
}

#[test]
fn a_killed_daemons_job_is_told_to_its_end_whenever_that_was() {
    for delay in (0..40).chain((240..290).step_by(3)).chain([900, 1_005, 1_020]) {
        let mut m = Machine::new();
        m.kernel.add(Task::reader(812));
        let apply = m.apply("lp");
        m.run_for(delay);
        if m.result(apply).is_some() {
            continue;
        }
        m.restart_daemon();
        m.run_for(5_000);
        let result = m.result(apply);
        match m.state("lp") {
            Some(Enabled) => assert_eq!(result, Some(JobResult::Done), "after {delay} ms"),
            None => assert_eq!(result, Some(JobResult::Failed), "after {delay} ms"),
            other => panic!("{other:?} after {delay} ms"),
        }
        m.assert_asleep();
    }
}

#[test]
fn a_killed_daemons_revert_is_told_to_its_end_whenever_that_was() {
    for delay in (0..60).chain((240..290).step_by(3)).chain([900, 1_005, 1_020, 1_040]) {
        let mut m = Machine::applied("lp");
        m.kernel.add(Task {
            inside: Inside::New,
            ..Task::reader(812)
        });
        let revert = job(&m.revert("lp"));
        m.run_for(delay);
        if m.result(revert).is_some() {
            continue;
        }
        m.restart_daemon();
        m.run_for(5_000);
        assert_eq!(m.result(revert), Some(JobResult::Done), "after {delay} ms");
        assert!(m.kernel.modules.is_empty());
        m.assert_asleep();
    }
}

#[test]
fn a_model_that_knows_nothing_sleeps() {
    let mut m = Machine::new();
    m.assert_asleep();
    m.kernel.insmod(&name("lp"));
    m.run_for(10_000);
    m.assert_asleep();
}

#[test]
fn what_a_new_daemon_unloads_before_its_first_look_is_not_shown_after_it() {
    for list in 0..15 {
        let mut m = Machine::new();
        m.kernel.add(Task::deaf(812));
        m.apply("lp");
        m.run_for(100);
        m.cancel("lp").expect("a job");
        m.kernel.delays.put = 5_000;
        m.run_for(3_000);
        assert_eq!(m.client.running(), 2, "both wait for the module");
        // the last reference goes while nobody looks
        m.kernel.modules.get_mut(&name("lp")).expect("a module").held = false;
        (m.kernel.delays.list, m.kernel.delays.act) = (list, 0);
        m.restart_daemon();
        m.run_for(5_000);
        assert!(m.kernel.modules.is_empty());
        assert_eq!(m.state("lp"), None, "list {list}");
    }
}
