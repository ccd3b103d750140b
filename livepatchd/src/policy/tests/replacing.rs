// SPDX-License-Identifier: GPL-2.0-only
//! A `replace` patch retires all others, and their modules are unloaded.

use super::{fake_task::Task, machine::Machine};
use crate::model::{
    change::Change,
    job::{JobResult, OnTimeout},
    patch::{
        Direction,
        PatchState::{Disabled, Enabled, Enabling},
    },
    refusal::ErrorName,
    testing::name,
};

fn two_applied() -> Machine {
    let mut m = Machine::applied("lp");
    m.apply_and_wait("lp2");
    m
}

#[test]
fn a_replace_patch_retires_two_others_and_their_modules_go() {
    // a listing may take long enough to see the new patch before its completion and the old ones after it
    for read in [0, 1, 2, 3, 50, 120, 200, 300] {
        for events in [true, false] {
            let mut m = two_applied();
            m.kernel.delays.read = read;
            m.kernel.events = events;
            m.kernel.add(Task::reader(812));
            let apply = m.apply("cumulative");
            m.run_for(6_000);
            assert_eq!(m.result(apply), Some(JobResult::Done));
            assert_eq!(m.state("cumulative"), Some(Enabled));
            assert_eq!(
                (m.state("lp"), m.state("lp2")),
                (None, None),
                "read {read}, events {events}"
            );
            assert_eq!(m.count(|c| matches!(c, Change::ModuleUnloaded(_))), 2);
            m.assert_asleep();
        }
    }
}

#[test]
fn who_is_retired_by_our_patch_was_not_disabled_by_somebody_else() {
    let mut m = two_applied();
    m.apply("cumulative");
    m.run_for(3_000);
    let not_ours = m.count(|c| matches!(c, Change::StateChanged { ours: false, .. }));
    assert_eq!(not_ours, 0);
}

#[test]
fn a_replace_patch_of_somebody_else_is_tidied_up_after_too() {
    let mut m = two_applied();
    m.kernel.insmod(&name("cumulative"));
    m.run_for(3_000);
    assert_eq!(m.kernel.modules.len(), 1);
}

#[test]
fn a_patch_disabled_by_hand_is_not_taken_for_a_retired_one() {
    let mut m = Machine::applied("cumulative");
    m.apply_and_wait("lp");
    m.kernel.events = false;
    m.kernel.delays.event = 2_000;
    m.kernel.write(&name("lp"), Direction::Unpatching);
    m.run_for(20_000);
    assert_eq!(m.state("lp"), Some(Disabled));
    assert!(m.kernel.modules.contains_key(&name("lp")));
}

#[test]
fn modules_that_a_forced_replace_patch_retires_stay_and_are_not_tried() {
    let mut m = two_applied();
    m.kernel.add(Task::deaf(812));
    let options = m.on_timeout(OnTimeout::Force);
    m.apply_with("cumulative", options).expect("a job");
    m.run_for(90_000);
    assert_eq!(m.state("cumulative"), Some(Enabled));
    assert_eq!((m.state("lp"), m.state("lp2")), (Some(Disabled), Some(Disabled)));
    assert_eq!(m.count(|c| matches!(c, Change::ModuleStays { .. })), 2);
    m.assert_asleep();
    m.restart_daemon();
    let again = m.revert("lp").expect_err("also the next daemon knows");
    assert_eq!(again.name, ErrorName::Refused);
}

#[test]
fn retired_modules_go_also_if_the_daemon_dies_before_they_can() {
    let mut m = two_applied();
    // the last reference is dropped late
    m.kernel.delays.put = 3_000;
    m.apply("cumulative");
    m.run_for(2_500);
    assert_eq!(m.state("lp"), Some(Disabled));
    assert!(m.model.leaving().count() > 0);
    m.restart_daemon();
    m.run_for(10_000);
    assert_eq!(m.kernel.modules.len(), 1);
    assert_eq!(m.model.leaving().count(), 0);
    m.assert_asleep();
}

#[test]
fn modules_that_are_retired_while_no_daemon_runs_go_when_one_does() {
    for away in [3_000, 60_000] {
        let mut m = two_applied();
        m.kernel.add(Task::deaf(812));
        m.apply("cumulative");
        m.run_for(2_000);
        assert_eq!(m.state("cumulative"), Some(Enabling));
        m.kernel.tasks.remove(&812);
        m.restart_daemon_after(away);
        m.run_for(10_000);
        assert_eq!(m.state("cumulative"), Some(Enabled));
        assert_eq!(m.kernel.modules.len(), 1, "away for {away} ms");
        m.assert_asleep();
    }
}

#[test]
fn a_patch_that_others_disable_while_no_daemon_runs_is_left_to_them() {
    let mut m = Machine::applied("cumulative");
    m.apply_and_wait("lp");
    m.kernel.write(&name("lp"), Direction::Unpatching);
    m.restart_daemon_after(20_000);
    m.run_for(20_000);
    assert_eq!(m.state("lp"), Some(Disabled));
    assert!(m.kernel.modules.contains_key(&name("lp")));
}
