// SPDX-License-Identifier: GPL-2.0-only
//! Forcing: ends a transition over the heads of the tasks that hold it back.

use super::{
    fake_task::{Inside, Task},
    machine::{Machine, job},
};
use crate::model::{
    change::Change,
    fact::{Fact, Outcome},
    job::{JobOptions, JobResult, OnTimeout},
    patch::{
        Core,
        PatchState::{Disabled, Enabled},
    },
    refusal::{ErrorName, Refusal},
    request::Request,
    resume::Lasting,
    testing::name,
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

#[test]
fn a_force_whose_outcome_nobody_heard_counts_as_taken() {
    let mut m = Machine::applied("lp");
    m.kernel.events = false;
    m.kernel.add(Task {
        inside: Inside::New,
        ..Task::deaf(812)
    });
    let options = JobOptions {
        nudge: false,
        ..m.on_timeout(OnTimeout::Keep)
    };
    job(&m.request(Request::Revert {
        patch: name("lp"),
        options,
    }));
    m.run_for(5_000);
    m.kernel.delays.act = 50;
    job(&m.force("lp"));
    // the kernel has taken it, and the daemon dies before it hears so
    m.run_for(60);
    assert!(!m.snapshot().reboot_advised);
    m.restart_daemon();
    assert!(m.snapshot().reboot_advised);
    m.kernel.delays.act = 1;
    m.run_for(20_000);
    assert_eq!(m.state("lp"), Some(Disabled));
    assert!(m.count(|c| matches!(c, Change::ModuleStays { .. })) > 0);
    m.restart_daemon();
    assert!(m.snapshot().reboot_advised, "also after the next death");
    let again = m.revert("lp").expect_err("its module stays");
    assert_eq!(again.name, ErrorName::Refused);
}

#[test]
fn a_force_that_the_kernel_refused_leaves_no_mark() {
    let mut m = Machine::applied("lp");
    m.model.force_asked(&name("lp"));
    assert_eq!(m.model.lasting().forcing.len(), 1);
    let now = m.kernel.now;
    let outcome = Outcome::Forced {
        core: Core::Kernel,
        patch: name("lp"),
        result: Err(Refusal::new(ErrorName::NotInTransition, "no")),
    };
    m.model.observe(now, Fact::Outcome(outcome));
    let enabled = [name("lp")].into();
    let nothing_else = Lasting {
        last_job: 1,
        enabled,
        ..Lasting::default()
    };
    assert_eq!(m.model.lasting(), nothing_else);
}
