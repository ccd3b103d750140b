// SPDX-License-Identifier: GPL-2.0-only
//! Forcing: ends a transition over the heads of the tasks that hold it back.

use super::{
    fake_task::{Inside, Task},
    machine::{Machine, job},
};
use crate::model::{
    change::Change,
    job::JobResult,
    patch::PatchState::{Disabled, Enabled},
    refusal::ErrorName,
};

#[test]
fn force_completes_the_patch_and_advises_a_reboot() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    let apply = m.apply("lp");
    m.run_for(5_000);
    let force = job(&m.force("lp"));
    m.run_for(2_000);
    assert_eq!(m.result(apply), Some(JobResult::Done));
    assert_eq!(m.result(force), Some(JobResult::Done));
    assert_eq!(m.state("lp"), Some(Enabled));
    assert!(m.snapshot().reboot_advised);
    m.assert_asleep();
}

#[test]
fn a_revert_that_is_forced_is_done_and_its_module_stays_without_being_tried() {
    let mut m = Machine::applied("lp");
    m.kernel.add(Task {
        inside: Inside::New,
        ..Task::deaf(812)
    });
    let revert = job(&m.revert("lp"));
    m.run_for(5_000);
    let force = job(&m.force("lp"));
    m.run_for(2_000);
    assert_eq!(m.result(revert), Some(JobResult::Done));
    assert_eq!(m.result(force), Some(JobResult::Done));
    assert_eq!(m.state("lp"), Some(Disabled));
    assert!(m.count(|c| matches!(c, Change::ModuleStays { .. })) > 0);
    let again = m.revert("lp").expect_err("nothing left to revert");
    assert_eq!(again.name, ErrorName::Refused);
    m.run_for(10_000);
    m.assert_asleep();
}

#[test]
fn a_force_that_comes_too_late_finds_the_patch_complete() {
    for delay in 0..12 {
        let mut m = Machine::new();
        m.kernel.delays.act = 5;
        m.kernel.add(Task::deaf(812));
        m.apply("lp");
        m.run_for(500);
        m.kernel.tasks.remove(&812);
        // up to the round that completes, and over it
        m.run_for(510 + delay);
        if let Ok(crate::model::request::Answer::Job(force)) = m.force("lp") {
            m.run_for(3_000);
            assert_eq!(m.result(force), Some(JobResult::Done), "after {delay} ms");
        }
        assert_eq!(m.state("lp"), Some(Enabled));
    }
}

#[test]
fn what_is_not_in_transition_is_not_forced() {
    let mut m = Machine::applied("lp");
    assert_eq!(m.force("lp").expect_err("a refusal").name, ErrorName::NotInTransition);
    assert_eq!(m.force("lp2").expect_err("a refusal").name, ErrorName::NotFound);
    assert!(!m.snapshot().reboot_advised);
}
