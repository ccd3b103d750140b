// SPDX-License-Identifier: GPL-2.0-only
//! What a daemon makes of what an earlier one wrote down.

use super::*;
use crate::model::{
    refusal::{ErrorName, Refusal},
    resume::Lasting,
};

#[test]
fn a_job_taken_up_from_an_earlier_daemon_waits_for_the_first_listing() {
    let mut earlier = model([]);
    let id = apply(&mut earlier, 75_000, OnTimeout::Reverse);
    let job = earlier.jobs().find(|j| j.id == id).cloned();
    for (first, expected) in [
        (lp(ENABLED), JobResult::Done),
        (nothing(), JobResult::Failed),
        (Fact::CoreGone(Kernel), JobResult::Failed),
    ] {
        let mut model = Model::new();
        assert_eq!(
            model.resume(T, Lasting::default(), job.clone().into_iter().collect()),
            [Change::JobStarted(id)]
        );
        model.tick(T, Millis(3_000));
        assert_eq!(result(&model, id), None);
        model.observe(T, first);
        assert_eq!(result(&model, id), Some(expected));
        // numbers go on where they were
        model.observe(T, nothing());
        model.observe(T, nothing());
        let next = Request::Apply {
            patch: name("lp2"),
            core: Kernel,
            options: options(1, OnTimeout::Keep),
        };
        assert_eq!(ask(&mut model, next), JobId(id.0 + 1));
    }
}

#[test]
fn a_module_that_was_to_leave_and_is_in_use_again_at_the_next_start_stays() {
    for (first, leaves) in [(ENABLED, false), (ENABLING, false), (DISABLED, true)] {
        let mut model = Model::new();
        let lasting = Lasting {
            leaving: [name("lp")].into(),
            ..Lasting::default()
        };
        model.resume(T, lasting.clone(), Vec::new());
        assert_eq!(model.lasting(), lasting, "until it is known better");
        model.observe(T, lp(first));
        assert_eq!(model.leaving().count() > 0, leaves);
    }
}

#[test]
fn a_module_of_the_name_of_one_that_was_forced_off_is_another_one() {
    let mut model = Model::new();
    let kept: std::collections::BTreeSet<_> = [name("lp")].into();
    let lasting = Lasting {
        kept: kept.clone(),
        ..Lasting::default()
    };
    model.resume(T, lasting, Vec::new());
    model.observe(T, nothing());
    assert_eq!(model.lasting().kept, kept);
    model.observe(T, lp(ENABLING));
    assert!(model.lasting().kept.is_empty());
}

#[test]
fn a_job_that_had_ended_is_told_once_more_and_its_number_is_not_used_again() {
    let mut earlier = model([]);
    let id = apply(&mut earlier, 75_000, OnTimeout::Reverse);
    let why = Refusal::new(ErrorName::Refused, "no");
    let failed = Outcome::Loaded {
        job: id,
        result: Err(why),
    };
    earlier.observe(T, Fact::Outcome(failed));
    let ended = earlier.jobs().find(|j| j.id == id).cloned().expect("kept");
    assert_eq!(ended.result, Some(JobResult::Failed));

    let mut model = Model::new();
    let told = model.resume(T, Lasting::default(), vec![ended.clone()]);
    assert_eq!(told, [Change::JobStarted(id), Change::JobEnded(Box::new(ended))]);
    assert_eq!(model.lasting().last_job, id.0);
    // also when its record is long gone
    let mut model = Model::new();
    model.resume(T, earlier.lasting(), Vec::new());
    model.observe(T, nothing());
    assert_eq!(apply(&mut model, 75_000, OnTimeout::Reverse), JobId(id.0 + 1));
}
