// SPDX-License-Identifier: GPL-2.0-only
//! Requests that are refused, each by name and with nothing changed.

use super::{
    fake_task::Task,
    machine::{Machine, job},
};
use crate::model::{
    Model,
    job::JobResult,
    patch::{Core, Direction, PatchState::Enabled},
    refusal::ErrorName,
    request::{Reply, Request},
    testing::name,
    time::Moment,
};

fn refused(reply: Reply) -> ErrorName {
    reply.expect_err("a refusal").name
}

#[test]
fn a_second_patch_while_one_is_in_transition_is_busy() {
    let mut m = Machine::applied("lp");
    m.kernel.add(Task::deaf(812));
    m.apply("lp2");
    for _ in 0..2 {
        let options = m.options();
        assert_eq!(refused(m.apply_with("cumulative", options)), ErrorName::Busy);
        assert_eq!(refused(m.apply_with("lp2", options)), ErrorName::Busy);
        assert_eq!(refused(m.revert("lp")), ErrorName::Busy);
        assert_eq!(refused(m.revert("lp2")), ErrorName::Busy);
        m.run_for(1_000);
    }
    assert_eq!(m.client.running(), 1);
}

#[test]
fn the_same_patch_twice_is_already_loaded() {
    let mut m = Machine::applied("lp");
    let options = m.options();
    assert_eq!(refused(m.apply_with("lp", options)), ErrorName::AlreadyLoaded);
    m.assert_asleep();
}

#[test]
fn a_patch_that_is_not_there_is_not_found() {
    let mut m = Machine::new();
    assert_eq!(refused(m.revert("lp")), ErrorName::NotFound);
    assert_eq!(refused(m.cancel("lp")), ErrorName::NotFound);
    assert_eq!(refused(m.force("lp")), ErrorName::NotFound);
    assert_eq!(refused(m.nudge("lp")), ErrorName::NotFound);
    m.assert_asleep();
}

#[test]
fn a_core_that_was_loaded_a_moment_ago_takes_its_first_patch() {
    // that it is there was seen in sysfs just before (policy/admit.rs); no listing has shown it yet
    let mut model = Model::new();
    let options = Machine::new().options();
    let request = Request::Apply {
        patch: name("lp"),
        core: Core::KlpRs,
        options,
    };
    let (reply, _) = model.request(Moment(1_000), request);
    assert!(reply.is_ok(), "{reply:?}");
}

#[test]
fn a_write_that_finds_the_core_busy_waits_and_is_not_counted_to_death() {
    for delay in 0..12 {
        let mut m = Machine::applied("lp");
        m.kernel.delays.act = 4;
        m.kernel.add(Task::deaf(812));
        let revert = job(&m.revert("lp"));
        // somebody loads another patch while our write is on its way
        m.run_for(delay);
        m.kernel.insmod(&name("lp2"));
        m.run_for(20_000);
        m.kernel.tasks.remove(&812);
        m.run_for(5_000);
        assert_eq!(m.result(revert), Some(JobResult::Done), "after {delay} ms");
    }
}

#[test]
fn a_revert_while_somebody_disables_the_patch_goes_along() {
    for delay in 0..12 {
        let mut m = Machine::applied("lp");
        m.kernel.delays.act = 4;
        m.kernel.delays.list = 6;
        m.kernel.write(&name("lp"), Direction::Unpatching);
        m.run_for(delay);
        if let Ok(crate::model::request::Answer::Job(revert)) = m.revert("lp") {
            m.run_for(5_000);
            assert_eq!(m.result(revert), Some(JobResult::Done), "after {delay} ms");
            assert!(m.kernel.modules.is_empty());
        }
    }
}

#[test]
fn refusals_change_nothing() {
    let mut m = Machine::applied("lp");
    let told = m.told.len();
    let options = m.options();
    let _ = m.apply_with("lp", options);
    let _ = m.cancel("lp");
    let _ = m.force("lp");
    let _ = m.revert("lp2");
    m.run_for(5_000);
    assert_eq!(m.told.len(), told);
    assert_eq!(m.state("lp"), Some(Enabled));
}
