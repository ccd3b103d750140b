// SPDX-License-Identifier: GPL-2.0-only
//! Reverting: disable, wait, unload.

use super::{
    fake_task::{Inside, Task},
    machine::{Machine, job},
};
use crate::model::{
    change::Change,
    job::JobResult,
    patch::{
        Direction,
        PatchState::{Disabled, Disabling, Enabled},
    },
    refusal::ErrorName,
    testing::name,
};

#[test]
fn a_revert_disables_waits_and_unloads() {
    let mut m = Machine::applied("lp");
    m.kernel.add(Task {
        inside: Inside::New,
        ..Task::reader(812)
    });
    let revert = job(&m.revert("lp"));
    m.run_for(3_000);
    assert_eq!(m.result(revert), Some(JobResult::Done));
    assert_eq!(m.kernel.nudged.len(), 1);
    assert!(m.kernel.modules.is_empty());
    assert_eq!(m.count(|c| matches!(c, Change::ModuleUnloaded(_))), 1);
    assert_eq!(m.count(|c| matches!(c, Change::PatchGone(_))), 1);
    assert!(
        m.history("lp").ends_with(&[Disabling, Disabled]),
        "{:?}",
        m.history("lp")
    );
    m.assert_asleep();
}

#[test]
fn unloading_is_tried_again_until_the_last_reference_is_gone() {
    let mut m = Machine::applied("lp");
    m.kernel.delays.put = 2_500;
    let revert = job(&m.revert("lp"));
    m.run_for(2_000);
    assert_eq!((m.result(revert), m.state("lp")), (None, Some(Disabled)));
    m.run_for(2_000);
    assert_eq!(m.result(revert), Some(JobResult::Done));
    m.assert_asleep();
}

#[test]
fn a_module_that_somebody_keeps_fails_the_revert_after_ten_seconds() {
    let mut m = Machine::applied("lp");
    m.kernel.delays.put = 60_000;
    let revert = job(&m.revert("lp"));
    m.run_for(20_000);
    assert_eq!(m.result(revert), Some(JobResult::Failed));
    assert_eq!(
        m.ended(revert).and_then(|j| j.error.as_ref()).map(|e| e.name),
        Some(ErrorName::Busy)
    );
    assert_eq!(m.state("lp"), Some(Disabled));
    m.assert_asleep();
}

#[test]
fn a_patch_that_is_off_but_still_loaded_is_only_unloaded() {
    let mut m = Machine::applied("lp");
    m.kernel.write(&name("lp"), Direction::Unpatching);
    m.run_for(10_000);
    assert_eq!(m.state("lp"), Some(Disabled));
    assert!(
        m.kernel.modules.contains_key(&name("lp")),
        "who disables by hand keeps the module"
    );
    let revert = job(&m.revert("lp"));
    m.run_for(100);
    assert_eq!(m.result(revert), Some(JobResult::Done));
    assert_eq!(m.state("lp"), None);
    m.assert_asleep();
}

#[test]
fn a_revert_of_one_patch_leaves_the_other() {
    let mut m = Machine::applied("lp");
    m.apply_and_wait("lp2");
    let revert = job(&m.revert("lp"));
    m.run_for(3_000);
    assert_eq!(m.result(revert), Some(JobResult::Done));
    assert_eq!((m.state("lp"), m.state("lp2")), (None, Some(Enabled)));
}

#[test]
fn a_reverted_patch_can_be_applied_again_at_once_at_any_moment() {
    for list in [1, 3, 30, 150] {
        for (put, wait) in (0..60).zip([0, 20, 40, 110].into_iter().cycle()) {
            let mut m = Machine::applied("lp");
            (m.kernel.delays.list, m.kernel.delays.put) = (list, put * 5);
            let revert = job(&m.revert("lp"));
            while m.result(revert).is_none() {
                m.run_for(1);
            }
            m.run_for(wait);
            let again = m.apply_with("lp", m.options());
            let again = job(&again);
            m.run_for(3_000);
            assert_eq!(m.result(again), Some(JobResult::Done));
        }
    }
}
