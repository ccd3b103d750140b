// SPDX-License-Identifier: GPL-2.0-only
//! Applying a patch: from the request to every task patched.

use super::{
    fake_kernel::Init,
    fake_task::Task,
    machine::{Machine, job},
};
use crate::model::{
    change::Change,
    job::{JobPhase, JobResult},
    patch::PatchState::{Enabled, Enabling},
    refusal::ErrorName,
    task::Reason,
    testing::name,
};

#[test]
fn with_nothing_in_the_way_a_patch_is_complete_at_once() {
    let mut m = Machine::new();
    let job = m.apply("lp");
    m.run_for(100);
    assert_eq!(m.result(job), Some(JobResult::Done));
    assert!(m.took(job) < 50, "{} ms", m.took(job));
    assert_eq!(m.state("lp"), Some(Enabled));
    m.assert_asleep();
}

#[test]
fn a_stuck_reader_is_named_nudged_once_after_a_quarter_of_a_second_and_the_patch_complete_at_the_next_round() {
    let mut m = Machine::new();
    m.kernel.add(Task::reader(812));
    let start = m.kernel.now;
    let job = m.apply("lp");
    m.run_for(100);
    let found = m.told.iter().find_map(|(at, change)| match change {
        Change::BlockerFound(blocker) => Some((at.since(start).0, blocker.clone())),
        _ => None,
    });
    let (after, blocker) = found.expect("a blocker");
    assert!(after < 100, "named after {after} ms");
    assert_eq!(
        (blocker.sighting.key.tid, blocker.reason, blocker.function.as_str()),
        (812, Reason::SleepingInFunction, "tgt_wait [tgt]")
    );
    m.run_for(2_000);
    assert_eq!(m.result(job), Some(JobResult::Done));
    assert_eq!(m.kernel.nudged.len(), 1);
    let nudged_after = m.kernel.nudged[0].0.since(start).0;
    assert!((250..300).contains(&nudged_after), "nudged after {nudged_after} ms");
    assert!((1_000..1_100).contains(&m.took(job)), "took {} ms", m.took(job));
    assert_eq!(m.count(|c| matches!(c, Change::Nudged { result: Ok(()), .. })), 1);
    assert_eq!(m.count(|c| matches!(c, Change::BlockerMoved { nudges: 1, .. })), 1);
    assert_eq!(m.history("lp").last(), Some(&Enabled));
    m.assert_asleep();
}

#[test]
fn without_any_events_the_same_takes_hardly_longer() {
    let mut m = Machine::new();
    m.kernel.events = false;
    m.kernel.add(Task::reader(812));
    let job = m.apply("lp");
    m.run_for(3_000);
    assert_eq!(m.result(job), Some(JobResult::Done));
    assert_eq!(m.kernel.nudged.len(), 1);
    assert!(m.took(job) < 1_300, "took {} ms", m.took(job));
    m.assert_asleep();
}

#[test]
fn of_five_hundred_stuck_readers_each_is_nudged_once() {
    let mut m = Machine::new();
    for tid in 1_000..1_500 {
        m.kernel.add(Task::reader(tid));
    }
    let job = m.apply("lp");
    m.run_for(3_000);
    assert_eq!(m.result(job), Some(JobResult::Done));
    assert_eq!(m.kernel.nudged.len(), 500);
    assert!(m.took(job) < 1_100);
}

#[test]
fn a_reader_that_reads_on_in_the_new_code_holds_nothing_back() {
    let mut m = Machine::new();
    m.kernel.add(Task {
        returns: true,
        ..Task::reader(812)
    });
    let job = m.apply("lp");
    m.run_for(2_000);
    assert_eq!(m.result(job), Some(JobResult::Done));
    assert_eq!(m.kernel.nudged.len(), 1);
}

#[test]
fn a_module_that_the_kernel_refuses_fails_the_job_and_leaves_nothing() {
    let mut m = Machine::new();
    m.kernel.files.get_mut(&name("lp")).expect("a file").init = Init::Fails;
    let job = m.apply("lp");
    m.run_for(1_000);
    assert_eq!(m.result(job), Some(JobResult::Failed));
    assert_eq!(
        m.ended(job).and_then(|j| j.error.as_ref()).map(|e| e.name),
        Some(ErrorName::InvalidModule)
    );
    assert_eq!(m.state("lp"), None);
    m.assert_asleep();
}

#[test]
fn a_module_that_enables_nothing_fails_the_job_and_is_unloaded_again() {
    let mut m = Machine::new();
    m.kernel.files.get_mut(&name("lp")).expect("a file").init = Init::EnablesNothing;
    let job = m.apply("lp");
    m.run_for(1_000);
    assert_eq!(m.result(job), Some(JobResult::Failed));
    assert_eq!(
        m.ended(job).and_then(|j| j.error.as_ref()).map(|e| e.name),
        Some(ErrorName::InvalidModule)
    );
    assert!(m.kernel.modules.is_empty());
    m.assert_asleep();
}

#[test]
fn the_half_ways_of_loading_are_never_shown_as_disabling() {
    for step in [1, 2, 5, 40] {
        for events in [true, false] {
            let mut m = Machine::new();
            m.kernel.delays.step = step;
            m.kernel.events = events;
            m.kernel.add(Task::reader(812));
            m.kernel.insmod(&name("lp"));
            m.run_for(200);
            let history = m.history("lp");
            let meanwhile = [crate::model::patch::PatchState::Loaded, Enabling];
            assert!(
                history.iter().all(|state| meanwhile.contains(state)),
                "{step}: {history:?}"
            );
        }
    }
}

#[test]
fn a_job_shows_its_phase_and_its_progress() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m.apply("lp");
    m.run_for(500);
    let snapshot = m.snapshot();
    assert_eq!(snapshot.jobs[0].phase, JobPhase::Transition);
    assert_eq!(snapshot.job_progress, [(1, 6)]);
    assert_eq!(snapshot.transition, Some(name("lp")));
    assert_eq!((snapshot.patches[0].pending, snapshot.patches[0].total), (1, 6));
    assert_eq!(snapshot.blockers[0].state, "sleeping");
    assert!(
        snapshot.blockers[0].action.starts_with("nudged"),
        "{}",
        snapshot.blockers[0].action
    );
}

#[test]
fn finished_jobs_are_kept_sixteen_deep_in_the_order_in_which_they_ended() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    let slow = m.apply("lp");
    m.run_for(100);
    // one long job, while shorter ones come and go: each unloads a module that somebody loaded
    let idler = m.kernel.files.get_mut(&name("lp2")).expect("a file");
    idler.init = Init::EnablesNothing;
    for _ in 0..20 {
        m.kernel.insmod(&name("lp2"));
        m.run_for(300);
        let short = job(&m.revert("lp2"));
        m.run_for(500);
        assert_eq!(m.result(short), Some(JobResult::Done));
    }
    assert_eq!(m.snapshot().jobs.iter().filter(|j| j.result.is_some()).count(), 16);
    m.kernel.tasks.remove(&812);
    m.run_for(2_000);
    assert_eq!(m.result(slow), Some(JobResult::Done));
    let snapshot = m.snapshot();
    assert_eq!(snapshot.jobs.len(), 16);
    assert!(
        snapshot.jobs.iter().any(|j| j.id == slow),
        "the job that ended last is kept longest"
    );
    assert_eq!(m.count(|c| matches!(c, Change::JobForgotten(_))), 5);
}
