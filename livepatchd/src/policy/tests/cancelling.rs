// SPDX-License-Identifier: GPL-2.0-only
//! Cancelling: a running transition is turned round, whoever began it.

use super::{
    fake_task::{Inside, Task},
    machine::{Machine, job},
};
use crate::model::{
    change::Change,
    job::{JobOptions, JobResult},
    patch::{
        Direction,
        PatchState::{Enabled, Enabling},
    },
    refusal::ErrorName,
    request::Reply,
    testing::name,
    time::Millis,
};

fn refused(reply: Reply) -> ErrorName {
    reply.expect_err("a refusal").name
}

fn stuck() -> Machine {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m
}

#[test]
fn cancelling_an_apply_reverses_and_unloads() {
    let mut m = stuck();
    let apply = m.apply("lp");
    m.run_for(5_000);
    let cancel = job(&m.cancel("lp"));
    m.run_for(3_000);
    assert_eq!(m.result(apply), Some(JobResult::Cancelled));
    assert_eq!(m.result(cancel), Some(JobResult::Done));
    assert!(m.kernel.modules.is_empty());
    assert_eq!(m.kernel.writes, 1);
    m.assert_asleep();
}

#[test]
fn cancelling_while_the_module_loads_waits_for_the_load() {
    for delay in 0..15 {
        let mut m = stuck();
        let apply = m.apply("lp");
        m.run_for(delay);
        let cancel = job(&m.cancel("lp"));
        m.run_for(5_000);
        assert_eq!(m.result(apply), Some(JobResult::Cancelled), "after {delay} ms");
        assert_eq!(m.result(cancel), Some(JobResult::Done), "after {delay} ms");
        assert!(m.kernel.modules.is_empty());
        m.assert_asleep();
    }
}

#[test]
fn cancelling_twice_is_one_job() {
    let mut m = stuck();
    m.apply("lp");
    m.run_for(500);
    let first = job(&m.cancel("lp"));
    assert_eq!(job(&m.cancel("lp")), first);
    m.run_for(3_000);
    assert_eq!(m.count(|c| *c == Change::JobStarted(first)), 1);
    assert_eq!(refused(m.cancel("lp")), ErrorName::NotFound);
}

#[test]
fn cancelling_after_the_deadline_joins_the_reversal() {
    let mut m = stuck();
    let options = JobOptions {
        timeout: Millis(75_500),
        ..m.options()
    };
    let apply = job(&m.apply_with("lp", options));
    m.run_for(75_600);
    let cancel = job(&m.cancel("lp"));
    m.run_for(3_000);
    assert_eq!(m.result(apply), Some(JobResult::Timeout));
    assert_eq!(m.result(cancel), Some(JobResult::Done));
    assert_eq!(m.kernel.writes, 1);
}

#[test]
fn cancelling_a_revert_enables_the_patch_again() {
    let mut m = Machine::applied("lp");
    m.kernel.add(Task {
        inside: Inside::New,
        ..Task::deaf(812)
    });
    let revert = job(&m.revert("lp"));
    m.run_for(2_000);
    let cancel = job(&m.cancel("lp"));
    m.run_for(3_000);
    assert_eq!(m.result(revert), Some(JobResult::Cancelled));
    assert_eq!(m.result(cancel), Some(JobResult::Done));
    assert_eq!(m.state("lp"), Some(Enabled));
    m.assert_asleep();
}

#[test]
fn a_revert_cancelled_at_any_early_moment_ends_with_what_the_jobs_say() {
    for stuck in [true, false] {
        for delay in 0..30 {
            let mut m = Machine::applied("lp");
            (m.kernel.delays.act, m.kernel.delays.list) = (4, 3);
            if stuck {
                m.kernel.add(Task {
                    inside: Inside::New,
                    ..Task::deaf(812)
                });
            }
            let revert = job(&m.revert("lp"));
            m.run_for(delay);
            let cancel = m.cancel("lp");
            m.run_for(5_000);
            match m.result(revert) {
                Some(JobResult::Cancelled) => assert_eq!(m.state("lp"), Some(Enabled), "after {delay} ms"),
                Some(JobResult::Done) => assert_eq!(m.state("lp"), None, "after {delay} ms"),
                other => panic!("{other:?} after {delay} ms"),
            }
            if let Ok(crate::model::request::Answer::Job(cancel)) = cancel {
                assert!(m.result(cancel).is_some());
            }
            assert_eq!(m.kernel.moving(), None, "after {delay} ms");
            m.assert_asleep();
        }
    }
}

#[test]
fn a_transition_of_somebody_else_is_cancelled_too() {
    let mut m = stuck();
    m.kernel.insmod(&name("lp"));
    m.run_for(1_000);
    let cancel = job(&m.cancel("lp"));
    m.run_for(3_000);
    assert_eq!(m.result(cancel), Some(JobResult::Done));
    assert_eq!(m.state("lp"), None);
    m.assert_asleep();
}

#[test]
fn a_cancel_that_stalls_is_a_time_out_and_leaves_the_transition() {
    let mut m = stuck();
    let apply = m.apply("lp");
    m.run_for(100);
    m.kernel.add(Task {
        inside: Inside::New,
        patched: true,
        ..Task::deaf(813)
    });
    let cancel = job(&m.cancel("lp"));
    m.run_for(80_000);
    assert_eq!(m.result(apply), Some(JobResult::Timeout));
    assert_eq!(m.result(cancel), Some(JobResult::Timeout));
    assert_eq!(m.kernel.moving(), Some((&name("lp"), Direction::Unpatching)));
}

#[test]
fn a_cancel_has_the_time_of_a_reversal_however_short_that_of_jobs_is() {
    let mut m = stuck();
    m.rules.timeout = Millis(500);
    let options = JobOptions {
        timeout: Millis(20_000),
        ..m.options()
    };
    let apply = job(&m.apply_with("lp", options));
    m.run_for(1_050);
    // it reverses at the core's next round, a second later
    let cancel = job(&m.cancel("lp"));
    m.run_for(3_000);
    assert_eq!(m.result(cancel), Some(JobResult::Done), "{}", m.message(cancel));
    assert_eq!(m.result(apply), Some(JobResult::Cancelled));
}

#[test]
fn what_is_not_in_transition_is_not_cancelled() {
    let mut m = Machine::applied("lp");
    assert_eq!(refused(m.cancel("lp")), ErrorName::NotInTransition);
    assert_eq!(refused(m.cancel("lp2")), ErrorName::NotFound);
    assert_eq!(m.state("lp"), Some(Enabled));
}

#[test]
fn somebody_who_turns_the_transition_back_wins_and_the_cancel_says_so() {
    let mut m = stuck();
    m.apply("lp");
    m.run_for(500);
    let cancel = job(&m.cancel("lp"));
    m.run_for(300);
    m.kernel.write(&name("lp"), Direction::Patching);
    m.run_for(3_000);
    assert!(m.message(cancel).contains("somebody else"), "{}", m.message(cancel));
    assert_eq!(m.state("lp"), Some(Enabling));
    assert_eq!(m.kernel.writes, 1);
}
