// SPDX-License-Identifier: GPL-2.0-only
//! Who is nudged, when, how often, and what is told of it.

use super::{
    fake_task::Task,
    machine::{Machine, job},
};
use crate::{
    model::{
        change::Change,
        job::{JobOptions, JobResult, OnTimeout},
        patch::Direction,
        refusal::ErrorName,
        request::Answer,
        task::TaskClass,
        testing::name,
        time::Millis,
    },
    policy::rules::{Exclusions, Rules},
};

#[test]
fn a_thread_is_nudged_every_two_seconds_and_at_most_five_times() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m.apply("lp");
    m.run_for(60_000);
    let times: Vec<_> = m.kernel.nudged.iter().map(|(at, _)| *at).collect();
    assert_eq!(times.len(), 5);
    for pair in times.windows(2) {
        let gap = pair[1].since(pair[0]).0;
        assert!((1_990..2_300).contains(&gap), "{gap} ms");
    }
    assert_eq!(m.snapshot().blockers[0].action, "not nudged: nudged 5 times already");
    assert_eq!(m.count(|c| matches!(c, Change::Nudged { .. })), 5);
}

#[test]
fn a_pass_that_misses_a_thread_does_not_make_us_forget_its_nudges() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m.apply("lp");
    for _ in 0..30 {
        m.run_for(1_000);
        let missed = m.kernel.tasks.remove(&812).expect("the reader");
        // away for one pass, and before the round that would complete
        m.run_for(260);
        m.kernel.add(missed);
        if m.kernel.moving().is_none() {
            break;
        }
    }
    assert!(m.kernel.nudged.len() <= 5, "{} nudges", m.kernel.nudged.len());
}

#[test]
fn excluded_units_users_and_names_are_left_alone() {
    let exclusions = [
        Exclusions {
            units: vec!["user@*".into()],
            ..Exclusions::default()
        },
        Exclusions {
            uids: vec![1000],
            ..Exclusions::default()
        },
        Exclusions {
            comms: vec!["cat".into()],
            ..Exclusions::default()
        },
    ];
    for exclude in exclusions {
        let mut m = Machine::new();
        m.rules = Rules {
            exclude,
            ..Rules::default()
        };
        m.kernel.add(Task::deaf(812));
        m.apply("lp");
        m.run_for(10_000);
        assert!(m.kernel.nudged.is_empty());
        let action = &m.snapshot().blockers[0].action;
        assert!(action.contains("excluded by livepatchd.toml"), "{action}");
        // not even when asked to
        assert_eq!(m.nudge("lp"), Ok(Answer::Nudging(0)));
        m.run_for(1_000);
        assert!(m.kernel.nudged.is_empty());
    }
}

#[test]
fn a_task_whose_user_is_not_known_may_be_of_one_that_is_excluded() {
    for (uids, nudges) in [(vec![33], 0), (vec![], 1)] {
        let mut m = Machine::new();
        m.rules.exclude.uids = uids;
        let mut unknown = Task::reader(812);
        unknown.seen.uid = None;
        m.kernel.add(unknown);
        m.apply("lp");
        m.run_for(5_000);
        assert_eq!(m.kernel.nudged.len(), nudges);
    }
}

#[test]
fn a_job_without_nudges_nudges_nobody_until_somebody_asks() {
    let mut m = Machine::new();
    m.kernel.add(Task::reader(812));
    let options = JobOptions {
        nudge: false,
        ..m.options()
    };
    m.apply_with("lp", options).expect("a job");
    m.run_for(5_000);
    assert!(m.kernel.nudged.is_empty());
    assert_eq!(
        m.snapshot().blockers[0].action,
        "not nudged: its job asked for no nudges"
    );
    assert_eq!(m.nudge("lp"), Ok(Answer::Nudging(1)));
    m.run_for(2_000);
    assert_eq!(m.kernel.nudged.len(), 1);
    assert_eq!(m.kernel.moving(), None);
}

#[test]
fn a_job_without_nudges_means_its_transition_and_that_may_outlive_it() {
    let mut m = Machine::new();
    m.kernel.add(Task::reader(812));
    let options = JobOptions {
        timeout: Millis(5_000),
        nudge: false,
        ..m.on_timeout(OnTimeout::Keep)
    };
    let apply = job(&m.apply_with("lp", options));
    // short of the kernel's own signal
    m.run_for(12_000);
    assert_eq!(m.result(apply), Some(JobResult::Timeout));
    assert!(m.kernel.moving().is_some() && m.kernel.nudged.is_empty());
    // not even once it is reversed, by us or by somebody else
    m.kernel.write(&name("lp"), Direction::Unpatching);
    m.kernel.add(Task::in_new(813));
    m.run_for(5_000);
    job(&m.cancel("lp"));
    m.run_for(5_000);
    assert!(m.kernel.nudged.is_empty(), "{:?}", m.kernel.nudged);
    // the next transition is another matter
    m.kernel.tasks.remove(&812);
    m.kernel.tasks.remove(&813);
    m.run_for(3_000);
    assert_eq!(m.kernel.moving(), None);
    m.kernel.add(Task::in_new(814));
    m.revert("lp").expect("a job");
    m.run_for(3_000);
    assert_eq!(m.kernel.nudged.len(), 1);
}

#[test]
fn cancelling_a_job_without_nudges_nudges_nobody_either() {
    for early in [true, false] {
        let mut m = Machine::new();
        m.kernel.add(Task::deaf(812));
        let options = JobOptions {
            nudge: false,
            ..m.options()
        };
        m.apply_with("lp", options).expect("a job");
        m.run_for(if early { 0 } else { 1_000 });
        m.kernel.add(Task::in_new(813));
        let cancel = job(&m.cancel("lp"));
        m.run_for(12_000);
        assert_eq!(m.result(cancel), None, "held back");
        assert!(m.kernel.nudged.is_empty());
    }
}

#[test]
fn a_nudge_that_was_asked_for_comes_at_once_and_once() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m.apply("lp");
    m.run_for(20_000);
    assert_eq!(m.kernel.nudged.len(), 5);
    assert_eq!(m.nudge("lp"), Ok(Answer::Nudging(1)));
    m.run_for(10);
    assert_eq!(m.kernel.nudged.len(), 6);
    m.run_for(20_000);
    assert_eq!(m.kernel.nudged.len(), 6);
}

#[test]
fn nudging_what_is_not_in_transition_is_refused_by_name() {
    let mut m = Machine::applied("lp");
    let refused = |reply: crate::model::request::Reply| reply.expect_err("a refusal").name;
    assert_eq!(refused(m.nudge("lp")), ErrorName::NotInTransition);
    assert_eq!(refused(m.nudge("lp2")), ErrorName::NotFound);
}

#[test]
fn with_nudging_switched_off_the_kernels_own_signal_helps_after_fifteen_rounds() {
    let mut m = Machine::new();
    m.rules.nudge = false;
    m.kernel.add(Task::reader(812));
    let job = m.apply("lp");
    m.run_for(30_000);
    assert!(m.kernel.nudged.is_empty());
    assert!((15_000..17_500).contains(&m.took(job)), "{}", m.took(job));
}

#[test]
fn a_task_that_somebody_stops_meanwhile_is_not_nudged_any_more() {
    let mut m = Machine::new();
    m.kernel.add(Task::deaf(812));
    m.apply("lp");
    m.run_for(1_000);
    assert_eq!(m.kernel.nudged.len(), 1);
    m.kernel.stop(812, true);
    m.run_for(20_000);
    assert_eq!(m.kernel.nudged.len(), 1);
    m.kernel.stop(812, false);
    m.run_for(20_000);
    assert_eq!(m.kernel.nudged.len(), 5);
}

#[test]
fn a_thread_that_has_moved_between_two_nudges_is_not_nudged_again() {
    let mut between = 0;
    // once stuck, tasks are looked at once a second, and no event tells of more
    for ms in (5_500..6_500).step_by(20) {
        let mut m = Machine::new();
        m.kernel.events = false;
        m.kernel.add(Task::deaf(812));
        m.kernel.add(Task {
            deaf: true,
            ..Task::stuck(813, |s| s.class = TaskClass::Kthread)
        });
        m.apply("lp");
        m.run_for(ms);
        between += usize::from(m.kernel.nudged.len() == 3);
        let nudged = |m: &Machine| m.count(|c| matches!(c, Change::Nudged { .. }));
        let before = nudged(&m);
        m.kernel.tasks.get_mut(&812).expect("the reader").patched = true;
        m.run_for(5_000);
        assert!(m.kernel.moving().is_some());
        assert_eq!(nudged(&m), before, "moved after {ms} ms");
    }
    assert!(between > 10, "the fourth nudge was due soon after");
}

#[test]
fn every_nudge_is_told_even_if_the_task_has_moved_when_its_outcome_comes() {
    let mut m = Machine::new();
    // the outcome is slower than the task, the pass over tasks and the next round together
    m.kernel.delays.act = 800;
    m.kernel.delays.wake = 0;
    m.kernel.add(Task::reader(812));
    m.apply("lp");
    m.run_for(10_000);
    assert_eq!(m.kernel.nudged.len(), 1);
    assert_eq!(m.count(|c| matches!(c, Change::Nudged { result: Ok(()), .. })), 1);
    assert_eq!(m.count(|c| matches!(c, Change::BlockerMoved { .. })), 1);
}

#[test]
fn tries_that_come_to_nothing_are_spaced_and_limited_as_nudges_are_but_not_told_as_such() {
    let mut m = Machine::new();
    // whatever is decided, somebody stops the task before the signals go out
    m.kernel.delays.act = 40;
    m.kernel.add(Task::deaf(812));
    m.apply("lp");
    let failed = |m: &Machine| m.count(|c| matches!(c, Change::Nudged { result: Err(_), .. }));
    for _ in 0..10_000 {
        let begun = m.is_nudging(812);
        m.kernel.stop(812, begun);
        m.run_for(5);
    }
    assert!(m.kernel.nudged.is_empty());
    assert_eq!(failed(&m), 5);
    let blocker = m.snapshot().blockers.remove(0);
    assert_eq!(blocker.nudges, 0);
    assert_eq!(blocker.action, "not nudged: tried 5 times already, nudged 0");
    m.kernel.tasks.remove(&812);
    m.run_for(2_000);
    let moved = |c: &Change| matches!(c, Change::BlockerMoved { nudges: 0, .. });
    assert_eq!(m.count(moved), 1);
}

#[test]
fn patches_of_others_are_helped_too() {
    let mut m = Machine::new();
    m.kernel.add(Task::reader(812));
    m.kernel.insmod(&name("lp"));
    m.run_for(2_000);
    assert_eq!(m.kernel.nudged.len(), 1);
    assert_eq!(m.kernel.moving(), None);
}
